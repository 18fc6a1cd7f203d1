//! What a torture comes to: a file that it can be resumed from, and a page for people.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::faults::Kind;
use super::round::Outcome;
use super::timeline::Record;
use super::verdict::Verdict;
use crate::engines::EngineName;

mod chart;
mod page;

/// The version written; the only one read.
const VERSION: u32 = 1;

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Of this file.
    pub(crate) version: u32,
    /// Of this program.
    pub(crate) synod: String,
    /// `None` if the cluster is not ours.
    pub(crate) engine: Option<EngineName>,
    /// How many nodes founded it, or were named.
    pub(crate) nodes: u64,
    pub(crate) seed: u64,
    pub(crate) kinds: Vec<Kind>,
    /// Kinds that were asked for and are not possible here, and why.
    pub(crate) skipped: BTreeMap<Kind, String>,
    pub(crate) elapsed_ms: u64,
    /// Who belonged to the group after the last round.
    pub(crate) members: Vec<u64>,
    pub(crate) rounds: Vec<Outcome>,
    pub(crate) record: Record,
}

/// Sums over all rounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub(crate) struct Totals {
    pub(crate) rounds: u64,
    pub(crate) done: u64,
    pub(crate) not_done: u64,
    pub(crate) unknown: u64,
    pub(crate) judged: u64,
    /// The longest time from calm to well, in milliseconds.
    pub(crate) slowest_recovery_ms: u64,
}

impl Report {
    pub(crate) fn new(engine: Option<EngineName>, nodes: u64, seed: u64) -> Self {
        Self {
            version: VERSION,
            synod: env!("CARGO_PKG_VERSION").into(),
            engine,
            nodes,
            seed,
            kinds: Vec::new(),
            skipped: BTreeMap::new(),
            elapsed_ms: 0,
            members: Vec::new(),
            rounds: Vec::new(),
            record: Record::default(),
        }
    }

    /// From now on these kinds of faults strike, except those for which `forbids` has a reason.
    pub(crate) fn choose(&mut self, kinds: &[Kind], forbids: impl Fn(Kind) -> Option<String>) {
        self.skipped = kinds.iter().filter_map(|kind| Some((*kind, forbids(*kind)?))).collect();
        self.kinds = kinds.to_vec();
        self.kinds.retain(|kind| !self.skipped.contains_key(kind));
    }

    /// Reads the one in `dir`.
    pub(crate) fn read(dir: &Path) -> Result<Self, String> {
        let path = file(dir);
        let cannot = |why: String| format!("{} cannot be read: {why}", path.display());
        let bytes = std::fs::read(&path).map_err(|error| cannot(error.to_string()))?;
        let report: Self =
            serde_json::from_slice(&bytes).map_err(|error| cannot(error.to_string()))?;
        match report.version {
            VERSION => Ok(report),
            other => Err(cannot(format!("its version is {other}, this reads {VERSION}"))),
        }
    }

    /// Writes it and its page to `dir`, each whole or not at all.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let text = serde_json::to_string(self)?;
        replace(&file(dir), &text)?;
        replace(&page(dir), &page::of(self))
    }

    /// The worst of all rounds.
    pub(crate) fn verdict(&self) -> &Verdict {
        let bad = |round: &&Outcome| !round.verdict.goes_on();
        let undecided = |round: &&Outcome| round.verdict != Verdict::Ok;
        let worst = self.rounds.iter().find(bad).or_else(|| self.rounds.iter().find(undecided));
        worst.map_or(&Verdict::Ok, |round| &round.verdict)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms)
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals { rounds: self.rounds.len() as u64, ..Totals::default() };
        for second in &self.record.seconds {
            totals.done += u64::from(second.done);
            totals.not_done += u64::from(second.not_done);
            totals.unknown += u64::from(second.unknown);
        }
        for round in &self.rounds {
            totals.judged += round.operations;
            totals.slowest_recovery_ms = totals.slowest_recovery_ms.max(round.recovery_ms);
        }
        totals
    }
}

/// The report's place.
pub(crate) fn file(dir: &Path) -> PathBuf {
    dir.join("report.json")
}

/// The page's place.
pub(crate) fn page(dir: &Path) -> PathBuf {
    dir.join("report.html")
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("tmp");
    std::fs::write(&unfinished, text)?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(number: u64, verdict: Verdict) -> Outcome {
        let (from_ms, calm_ms, recovery_ms) = (0, 900, 100 * number);
        Outcome { number, from_ms, calm_ms, recovery_ms, operations: 5, unknown: 1, verdict }
    }

    #[test]
    fn a_report_that_was_written_can_be_read_and_the_worst_round_decides() {
        let dir = tempfile::tempdir().unwrap();
        let mut report = Report::new(Some(EngineName::Zab), 5, 7);
        let no_slow = |kind| (kind == Kind::Slow).then(|| "too slow".to_owned());
        report.choose(&[Kind::Kill, Kind::Slow], no_slow);
        assert_eq!((&report.kinds[..], report.skipped.len()), (&[Kind::Kill][..], 1));
        report.rounds.push(round(1, Verdict::Ok));
        assert_eq!(report.verdict(), &Verdict::Ok);
        report.rounds.push(round(2, Verdict::Undecided("a key".into())));
        assert_eq!(report.verdict().word(), "undecided");
        report.rounds.push(round(3, Verdict::Stalled("nobody <leads>".into())));
        report.write(dir.path()).unwrap();
        let read = Report::read(dir.path()).unwrap();
        assert_eq!(read.rounds, report.rounds);
        assert_eq!(read.verdict().word(), "stalled");
        assert_eq!((read.totals().judged, read.totals().slowest_recovery_ms), (15, 300));
        let page = std::fs::read_to_string(page(dir.path())).unwrap();
        assert!(page.contains("nobody &lt;leads&gt;") && !page.contains("http"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left");
    }
}
