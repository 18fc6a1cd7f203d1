//! From the crash of a leader to the first write under the next.

use std::time::Duration;

use clap::ValueEnum;
use synod_engine::Random;
use synod_sim::Transport;

use super::MEMBERS;
use super::stand::{Measured, Setting, Stand, value};
use super::table::{Table, quantile};
use crate::engines::{EngineName, with_engine};

/// How often somebody tries to write.
const TRY_EVERY: Duration = Duration::from_millis(1);
/// Nobody waits longer than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a crash of the leader came to.
struct Outage {
    /// Until the first write that was asked for after it was done.
    time: Duration,
    /// What was said until then.
    messages: u64,
}

/// How long writing stands still when the leader is gone, over so many seeds.
pub(super) fn table(seeds: u64) -> Table {
    let head = "members | the leader's | engine | least ms | p50 ms | p90 ms | most ms | \
                messages, median";
    let mut table = Table::new("A new leader", head);
    for members in MEMBERS {
        for (transport, what) in
            [(Transport::Sessions, "process dies"), (Transport::Datagrams, "machine dies")]
        {
            for &engine in EngineName::value_variants() {
                let outage =
                    |seed| with_engine!(engine, Log => outage::<Log>(members, transport, seed));
                let (mut times, mut messages): (Vec<_>, Vec<_>) =
                    (1..=seeds).map(outage).map(|it| (it.time, it.messages)).unzip();
                times.sort_unstable();
                messages.sort_unstable();
                let mut row = vec![members.to_string(), what.to_owned(), engine.to_string()];
                let ms = |percent| quantile(&times, percent).as_millis().to_string();
                row.extend([0, 50, 90, 100].map(ms));
                row.push(quantile(&messages, 50).to_string());
                table.rows.push(row);
            }
        }
    }
    table
}

fn outage<L: Measured>(members: u64, transport: Transport, seed: u64) -> Outage {
    let mut setting = Setting { transport, seed, ..Setting::of(members) };
    setting.knobs.forward_proposals = Some(false);
    let mut stand = Stand::<L>::new(&setting);
    // At any time between two heartbeats.
    let calm = Random::new(seed).duration(Duration::from_secs(1), Duration::from_millis(1_100));
    stand.sim.run_for(calm);
    let leader = stand.settle();
    let (crashed, before) = (stand.sim.now(), stand.spent());
    stand.sim.crash(leader);
    let first = stand.next();
    while stand.sim.now() < crashed + PATIENCE {
        for node in stand.nodes() {
            stand.ask(node, value());
        }
        stand.sim.run_for(TRY_EVERY);
        if let Some(at) = stand.first_done(first) {
            let messages = stand.spent().since(&before).messages;
            return Outage { time: at - crashed, messages };
        }
    }
    panic!("{} of {members} has no leader, seed {seed}", L::NAME);
}
