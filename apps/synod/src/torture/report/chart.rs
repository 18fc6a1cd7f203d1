//! Throughput, latency and faults over one axis of time, as SVG.

use std::fmt::{self, Write};
use std::time::Duration;

use super::page::Escaped;
use crate::torture::faults::Kind;
use crate::torture::span;
use crate::torture::timeline::{Record, Second};

/// Sizes in pixels.
const WIDTH: f64 = 1_000.0;
const LEFT: f64 = 80.0;
const HEIGHT: f64 = 120.0;
const LANE: f64 = 16.0;
const GAP: f64 = 34.0;

/// About so many points are drawn at the most; of more, several seconds are one point.
const POINTS: u64 = 900;

/// The drawings of what happened in so many milliseconds.
pub(super) fn charts(record: &Record, elapsed_ms: u64) -> String {
    let mut chart = Chart { svg: String::new(), elapsed_ms: elapsed_ms.max(1_000) };
    chart.draw(record).expect("text takes text");
    chart.svg
}

struct Chart {
    svg: String,
    elapsed_ms: u64,
}

impl Chart {
    fn draw(&mut self, record: &Record) -> fmt::Result {
        let kinds: Vec<Kind> = record.counts().into_keys().collect();
        let height = 2.0 * (HEIGHT + GAP) + GAP + kinds.len() as f64 * LANE + 20.0;
        let width = LEFT + WIDTH + 30.0;
        writeln!(
            self.svg,
            "<svg viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"11\">"
        )?;
        let together = (self.elapsed_ms / 1_000).div_ceil(POINTS).max(1);
        let points = points(&record.seconds, together);
        self.throughput(&points)?;
        self.latency(&points)?;
        self.faults(record, &kinds)?;
        writeln!(self.svg, "</svg>")
    }

    fn throughput(&mut self, points: &[Second]) -> fmt::Result {
        let failed = |point: &Second| point.not_done + point.unknown;
        let most = points.iter().map(|point| point.done.max(failed(point))).max();
        let most = most.unwrap_or(0).max(1);
        let bottom = GAP + HEIGHT;
        let y = |count: u32| bottom - HEIGHT * f64::from(count) / f64::from(most);
        self.heading(GAP, "operations a second: done (blue), not done or unknown (red)")?;
        self.axis(bottom, &[(bottom, "0"), (y(most), &most.to_string())])?;
        self.line("#2b6cb0", points.iter().map(|point| (point.at, y(point.done))))?;
        self.line("#c53030", points.iter().map(|point| (point.at, y(failed(point)))))
    }

    /// On a logarithmic scale, from 0.1 ms to 10 s.
    fn latency(&mut self, points: &[Second]) -> fmt::Result {
        const DECADES: f64 = 5.0;
        let top = 2.0 * GAP + HEIGHT;
        let bottom = top + HEIGHT;
        let y = |us: u32| {
            let decades = (f64::from(us.max(1)) / 100.0).log10().clamp(0.0, DECADES);
            bottom - HEIGHT * decades / DECADES
        };
        self.heading(top, "latency of what was done: p50 (green), p99 (orange), longest (grey)")?;
        let ticks = [(100, "0.1 ms"), (1_000, "1 ms"), (10_000, "10 ms"), (100_000, "0.1 s")];
        let ticks = ticks.into_iter().chain([(1_000_000, "1 s"), (10_000_000, "10 s")]);
        let ticks: Vec<_> = ticks.map(|(us, name)| (y(us), name)).collect();
        self.axis(bottom, &ticks)?;
        let some = || points.iter().filter(|point| point.done > 0);
        self.line("#a0aec0", some().map(|point| (point.at, y(point.max_us))))?;
        self.line("#dd6b20", some().map(|point| (point.at, y(point.p99_us))))?;
        self.line("#2f855a", some().map(|point| (point.at, y(point.p50_us))))
    }

    fn faults(&mut self, record: &Record, kinds: &[Kind]) -> fmt::Result {
        let top = 3.0 * GAP + 2.0 * HEIGHT;
        self.heading(top, "faults under way")?;
        for (lane, kind) in kinds.iter().enumerate() {
            let y = top + lane as f64 * LANE;
            let (x, below) = (LEFT - 6.0, y + 12.0);
            writeln!(self.svg, "<text x=\"{x}\" y=\"{below}\" text-anchor=\"end\">{kind}</text>")?;
            for fault in record.faults.iter().filter(|fault| fault.kind == *kind) {
                let from = self.x(fault.from_ms);
                let until = self.x(fault.until_ms.unwrap_or(self.elapsed_ms));
                writeln!(
                    self.svg,
                    "<rect x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" \
                     fill=\"#805ad5\"><title>{}</title></rect>",
                    y + 2.0,
                    (until - from).max(1.0),
                    LANE - 4.0,
                    Escaped(&fault.what)
                )?;
            }
        }
        let below = top + kinds.len() as f64 * LANE + 14.0;
        for part in 0..=10 {
            let ms = self.elapsed_ms * part / 10;
            let (x, name) = (self.x(ms), span::show(Duration::from_millis(ms)));
            writeln!(
                self.svg,
                "<text x=\"{x:.1}\" y=\"{below}\" text-anchor=\"middle\" fill=\"#555\">{name}</text>"
            )?;
        }
        Ok(())
    }

    fn x(&self, ms: u64) -> f64 {
        LEFT + WIDTH * ms as f64 / self.elapsed_ms as f64
    }

    fn heading(&mut self, top: f64, words: &str) -> fmt::Result {
        let y = top - 8.0;
        writeln!(self.svg, "<text x=\"{LEFT}\" y=\"{y}\" font-weight=\"bold\">{words}</text>")
    }

    fn axis(&mut self, bottom: f64, ticks: &[(f64, &str)]) -> fmt::Result {
        let (right, names) = (LEFT + WIDTH, LEFT - 6.0);
        for (y, name) in ticks {
            let below = y + 4.0;
            writeln!(
                self.svg,
                "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#eee\"/>\
                 <text x=\"{names}\" y=\"{below:.1}\" text-anchor=\"end\" fill=\"#555\">{name}</text>"
            )?;
        }
        let top = bottom - HEIGHT;
        writeln!(
            self.svg,
            "<line x1=\"{LEFT}\" x2=\"{LEFT}\" y1=\"{top}\" y2=\"{bottom}\" stroke=\"#999\"/>"
        )
    }

    /// Through these seconds and heights.
    fn line(&mut self, colour: &str, points: impl Iterator<Item = (u64, f64)>) -> fmt::Result {
        write!(self.svg, "<polyline fill=\"none\" stroke=\"{colour}\" points=\"")?;
        for (second, y) in points {
            write!(self.svg, "{:.1},{y:.1} ", self.x(second * 1_000))?;
        }
        writeln!(self.svg, "\"/>")
    }
}

/// So many seconds are one point: the mean of what was done, and the worst latency.
fn points(seconds: &[Second], together: u64) -> Vec<Second> {
    let mut points: Vec<Second> = Vec::new();
    for second in seconds {
        let at = second.at / together * together;
        match points.last_mut().filter(|point| point.at == at) {
            Some(point) => {
                point.done += second.done;
                point.not_done += second.not_done;
                point.unknown += second.unknown;
                point.p50_us = point.p50_us.max(second.p50_us);
                point.p99_us = point.p99_us.max(second.p99_us);
                point.max_us = point.max_us.max(second.max_us);
            }
            None => points.push(Second { at, ..second.clone() }),
        }
    }
    for point in &mut points {
        for count in [&mut point.done, &mut point.not_done, &mut point.unknown] {
            *count = count.div_ceil(together as u32);
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_drawn_by_as_many_points_as_minutes() {
        let second = |at| Second { at, done: 10, p50_us: at as u32, ..Second::default() };
        let seconds: Vec<_> = (0..7_200).map(second).collect();
        let points = points(&seconds, 8);
        assert_eq!(points.len(), 900);
        assert!(points.iter().all(|point| point.done == 10));
        assert_eq!(points[1].p50_us, 15, "the worst of eight seconds");
    }
}
