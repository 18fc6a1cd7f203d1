//! What a measurement says.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::BenchArgs;
use super::load::Tally;
use crate::output::{say, table, tell};

const WIDTH: u64 = 40;

/// Prints what was measured during `time`.
pub(super) fn show(args: &BenchArgs, tally: &Tally, time: Duration) {
    if args.cluster.json {
        tell(&as_json(args, tally, time));
    } else {
        show_table(args, tally, time);
    }
}

fn show_table(args: &BenchArgs, tally: &Tally, time: Duration) {
    let BenchArgs { in_flight, connections, value_bytes, keys, .. } = args;
    let at_most = if args.rate.is_some() { "at most " } else { "" };
    say!(
        "{at_most}{in_flight} in flight over {connections} connections, {value_bytes}-byte values, \
         {keys} keys, {time:?}"
    );
    if let Some(rate) = args.rate {
        let done = tally.done() as f64 / time.as_secs_f64();
        say!("asked for {rate} a second, done {done:.0}, dropped {}", tally.dropped);
    }
    let headings =
        ["", "per second", "p50 us", "p90 us", "p99 us", "p99.9 us", "max us", "requests"];
    let mut table = table(&headings);
    for (name, histogram) in kinds(tally) {
        table.add_row([
            name.to_owned(),
            format!("{:.0}", per_second(histogram, time)),
            micros(histogram.value_at_quantile(0.5)),
            micros(histogram.value_at_quantile(0.9)),
            micros(histogram.value_at_quantile(0.99)),
            micros(histogram.value_at_quantile(0.999)),
            micros(histogram.max()),
            histogram.len().to_string(),
        ]);
    }
    say!("\n{table}");
    for (name, histogram) in kinds(tally) {
        say!("\n{name}, latency:");
        bars(histogram).iter().for_each(|bar| say!("{bar}"));
    }
    let (not_done, unknown) = (tally.not_done, tally.unknown);
    say!("\nerrors: {not_done} not done, {unknown} unknown");
    if tally.elections > 0 {
        say!("elections meanwhile: {}", tally.elections);
    }
    if let Some(error) = &tally.last_error {
        say!("the last one: {error}");
    }
}

/// The kinds of requests that were made.
fn kinds(tally: &Tally) -> impl Iterator<Item = (&'static str, &Histogram<u64>)> {
    [("puts", &tally.writes), ("reads", &tally.reads)]
        .into_iter()
        .filter(|(_, histogram)| !histogram.is_empty())
}

fn per_second(histogram: &Histogram<u64>, time: Duration) -> f64 {
    histogram.len() as f64 / time.as_secs_f64()
}

fn micros(nanos: u64) -> String {
    format!("{:.0}", nanos as f64 / 1_000.0)
}

/// One line for each doubling of the latency, from the first that has requests to the last.
fn bars(histogram: &Histogram<u64>) -> Vec<String> {
    let doublings = doublings(histogram);
    let most = doublings.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    let line = |(up_to_ns, count): &(u64, u64)| {
        let bar = "█".repeat((count * WIDTH).div_ceil(most) as usize);
        let share = 100.0 * *count as f64 / histogram.len() as f64;
        format!("{:>12} us {share:6.2} % {bar}", format!("<= {}", up_to_ns / 1_000))
    };
    doublings.iter().map(line).collect()
}

/// How many requests took up to 1 us, 2 us, 4 us, … but more than the bound before.
fn doublings(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    let mut bounds: Vec<(u64, u64)> = Vec::new();
    let mut up_to_ns = 1_000;
    for value in histogram.iter_recorded() {
        while value.value_iterated_to() > up_to_ns {
            up_to_ns *= 2;
        }
        match bounds.last_mut() {
            Some((bound, count)) if *bound == up_to_ns => {
                *count += value.count_since_last_iteration();
            }
            _ => bounds.push((up_to_ns, value.count_since_last_iteration())),
        }
    }
    bounds
}

fn as_json(args: &BenchArgs, tally: &Tally, time: Duration) -> Value {
    let kind = |histogram: &Histogram<u64>| {
        let us = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        let doublings = doublings(histogram);
        let bars = doublings
            .iter()
            .map(|(ns, count)| json!({ "up_to_us": ns / 1_000, "requests": count }));
        json!({
            "requests": histogram.len(),
            "per_second": per_second(histogram, time),
            "mean_us": histogram.mean() / 1_000.0,
            "p50_us": us(0.5),
            "p90_us": us(0.9),
            "p99_us": us(0.99),
            "p999_us": us(0.999),
            "max_us": histogram.max() as f64 / 1_000.0,
            "histogram": bars.collect::<Vec<_>>(),
        })
    };
    json!({
        "in_flight": args.in_flight,
        "rate": args.rate,
        "dropped": tally.dropped,
        "elections": tally.elections,
        "connections": args.connections,
        "value_bytes": args.value_bytes,
        "read_share": args.read_share,
        "keys": args.keys,
        "seconds": time.as_secs_f64(),
        "per_second": tally.done() as f64 / time.as_secs_f64(),
        "puts": kind(&tally.writes),
        "reads": kind(&tally.reads),
        "errors": { "not_done": tally.not_done, "unknown": tally.unknown, "last": tally.last_error },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_doublings_of_their_latency() {
        let mut tally = Tally::new();
        for nanos in [500, 900, 1_500, 3_900, 4_100, 4_200, 1_000_000] {
            tally.writes.record(nanos).unwrap();
        }
        let counts = [(1_000, 2), (2_000, 1), (4_000, 1), (8_000, 2), (1_024_000, 1)];
        assert_eq!(doublings(&tally.writes), counts);
        assert_eq!(bars(&tally.writes).len(), counts.len());
    }

    #[test]
    fn throughput_is_requests_by_time() {
        let mut tally = Tally::new();
        (0..50).for_each(|_| tally.reads.record(1_000_000).unwrap());
        assert!((per_second(&tally.reads, Duration::from_secs(2)) - 25.0).abs() < 1e-9);
    }
}
