//! What a write costs among many, and what it costs that there are none.

use std::time::Duration;

use clap::ValueEnum;
use synod_engine::Token;

use super::MEMBERS;
use super::stand::{DELAY, Measured, Setting, Stand};
use super::table::{Table, per};
use super::tally::Spent;
use crate::engines::{EngineName, with_engine};

/// How soon the next writes come: many rounds are under way at once.
const EVERY: Duration = Duration::from_micros(DELAY.as_micros() as u64 / 4);
/// How often writes come.
const TURNS: u64 = 200;
/// Long enough for all that they set off.
const QUIET: Duration = Duration::from_millis(100);
/// How long nothing is asked for.
const IDLE: Duration = Duration::from_secs(10);

/// Costs of writes that follow each other closely, at three members.
pub(super) fn table() -> Table {
    let head = "writes each D/4 | engine | told after, median | messages/write | bytes/write | \
                syncs/write";
    let mut table = Table::new("A stream of writes", head);
    for (count, follower) in [(1, false), (16, false), (256, false), (16, true)] {
        for &engine in EngineName::value_variants() {
            let (median, spent) = with_engine!(engine, Log => stream::<Log>(count, follower));
            let place = if follower { "a follower" } else { "the leader" };
            let delays = median.as_secs_f64() / DELAY.as_secs_f64();
            let writes = count * TURNS;
            table.rows.push(vec![
                format!("{count}, at {place}"),
                engine.to_string(),
                format!("{delays:.1} D"),
                per(spent.messages, writes, 3),
                per(spent.bytes, writes, 0),
                per(spent.syncs, writes, 3),
            ]);
        }
    }
    table
}

/// How soon half of the writes were told to be done, and what all of them cost.
fn stream<L: Measured>(count: u64, follower: bool) -> (Duration, Spent) {
    let setting = Setting { batches: true, ..Setting::of(3).without_timers() };
    let mut stand = Stand::<L>::new(&setting);
    let leader = stand.settle();
    let other = stand.nodes().find(|node| *node != leader).expect("there are others");
    let asked = if follower { other } else { leader };
    let (before, first, began) = (stand.spent(), stand.next(), stand.sim.now());
    for _ in 0..TURNS {
        stand.write(asked, count);
        stand.sim.run_for(EVERY);
    }
    stand.sim.run_for(QUIET);
    let probe = stand.sim.app(asked).expect("all nodes are up");
    let took = |Token(token): Token, at: Duration| {
        let turn = u32::try_from((token - first.0) / count).expect("few turns");
        at - began - EVERY * turn
    };
    let mut times: Vec<Duration> =
        probe.done_since(first).map(|(token, done)| took(token, done.at)).collect();
    assert_eq!(times.len() as u64, count * TURNS, "nothing stands in their way");
    times.sort();
    (times[times.len() / 2], stand.spent().since(&before))
}

/// What nodes say that have nothing to do.
pub(super) fn idle() -> Table {
    let head = "members | engine | messages/s | bytes/s | syncs/s | in a heartbeat of 50 ms";
    let mut table = Table::new("Idle", head);
    for members in MEMBERS {
        for &engine in EngineName::value_variants() {
            let spent = with_engine!(engine, Log => nothing::<Log>(members));
            let beats = IDLE.as_millis() as u64 / 50;
            let seconds = IDLE.as_secs();
            let said = spent.kinds.iter();
            let said = said.map(|(kind, count)| format!("{} {kind}", per(*count, beats, 1)));
            table.rows.push(vec![
                members.to_string(),
                engine.to_string(),
                per(spent.messages, seconds, 0),
                per(spent.bytes, seconds, 0),
                per(spent.syncs, seconds, 0),
                said.collect::<Vec<_>>().join(", "),
            ]);
        }
    }
    table
}

fn nothing<L: Measured>(members: u64) -> Spent {
    let mut stand = Stand::<L>::new(&Setting::of(members));
    stand.sim.run_for(Duration::from_secs(1));
    let before = stand.spent();
    stand.sim.run_for(IDLE);
    stand.spent().since(&before)
}
