//! The page: one file of HTML with the drawings in it, which needs nothing else.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use super::Report;
use super::chart::charts;
use crate::torture::span;
use crate::torture::verdict::Verdict;

const STYLE: &str = "body{font:14px/1.5 sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;\
    color:#222}table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;text-align:left;\
    border-bottom:1px solid #ddd}.ok{color:#176b2c}.bad{color:#a11}\
    pre{background:#f6f6f6;padding:1em;overflow:auto}svg{display:block;margin:1em 0}";

/// The page of a report.
pub(super) fn of(report: &Report) -> String {
    let mut html = String::new();
    write_page(&mut html, report).expect("text takes text");
    html
}

fn write_page(html: &mut String, report: &Report) -> fmt::Result {
    let engine = report.engine.map_or("attached".to_owned(), |engine| engine.to_string());
    let title = format!("synod torture: {engine}, {} nodes", report.nodes);
    let (verdict, totals) = (report.verdict(), report.totals());
    let class = if *verdict == Verdict::Ok { "ok" } else { "bad" };
    writeln!(
        html,
        "<!doctype html><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\n\
         <h1>{title}</h1>\n<p><b class=\"{class}\">{}</b> after {} in {} rounds; seed {}, synod {}.</p>",
        verdict.word(),
        span::show(report.elapsed()),
        totals.rounds,
        report.seed,
        Escaped(&report.synod),
    )?;
    if !verdict.told().is_empty() {
        writeln!(html, "<pre>{}</pre>", Escaped(verdict.told()))?;
    }
    let gap = report.record.longest_gap;
    let gap = format!("{}, from {} on", seconds(gap.ms), at(gap.from_ms));
    table(
        html,
        &["", "in all rounds"],
        [
            ["operations done".to_owned(), totals.done.to_string()],
            ["surely not done".to_owned(), totals.not_done.to_string()],
            ["of unknown fate".to_owned(), totals.unknown.to_string()],
            ["judged".to_owned(), totals.judged.to_string()],
            ["longest time without a completed write".to_owned(), gap],
            ["slowest recovery".to_owned(), seconds(totals.slowest_recovery_ms)],
        ],
    )?;
    html.push_str(&charts(&report.record, report.elapsed_ms));
    let counts = report.record.counts();
    let loose = report.kinds.iter().map(|kind| {
        let count = counts.get(kind).copied().unwrap_or_default();
        [kind.to_string(), count.to_string(), kind.words()]
    });
    let skipped =
        report.skipped.iter().map(|(kind, why)| [kind.to_string(), "skipped".into(), why.clone()]);
    table(html, &["fault", "how often", "what it is"], loose.chain(skipped))?;
    let rounds = report.rounds.iter().map(|round| {
        [
            round.number.to_string(),
            at(round.from_ms),
            seconds(round.recovery_ms),
            round.operations.to_string(),
            round.unknown.to_string(),
            round.verdict.word().to_owned(),
        ]
    });
    table(html, &["round", "begin", "recovery", "judged", "unknown", "verdict"], rounds)
}

fn table<const N: usize>(
    html: &mut String,
    head: &[&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> fmt::Result {
    write!(html, "<table><tr>")?;
    head.iter().try_for_each(|cell| write!(html, "<th>{cell}"))?;
    for row in rows {
        write!(html, "<tr>")?;
        row.iter().try_for_each(|cell| write!(html, "<td>{}", Escaped(cell)))?;
    }
    writeln!(html, "</table>")
}

fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1_000.0)
}

fn at(ms: u64) -> String {
    span::show(Duration::from_millis(ms))
}

/// Text within HTML.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|it| match it {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            '"' => f.write_str("&quot;"),
            other => f.write_char(other),
        })
    }
}
