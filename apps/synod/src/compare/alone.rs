//! What one write or one read costs that is alone.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use synod_consensus::Request;
use synod_engine::NodeId;

use super::MEMBERS;
use super::stand::{DELAY, Measured, SYNC, Setting, Stand, value};
use super::table::{Table, per};
use super::tally::Spent;
use crate::engines::{EngineName, with_engine};

/// How often each is done; it is the same every time.
const TIMES: u64 = 10;
/// Long enough for everything that one of them sets off.
const QUIET: Duration = Duration::from_millis(40);

/// Something that a user asks of a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Errand {
    Write,
    Read,
    /// The leader holds a lease.
    LeasedRead,
}

/// A time in units of the network and of the disk.
#[derive(Clone, Copy, PartialEq)]
struct Path {
    delays: f64,
    syncs: f64,
}

/// What one of them costs.
struct Cost {
    /// Until its user is told.
    answered: Path,
    /// Until every node's user is told.
    everywhere: Path,
    spent: Spent,
}

impl Path {
    /// Of a time with disks that take no time, and one with disks that do.
    fn of(at_no_sync: Duration, with_syncs: Duration) -> Self {
        let tenths = |time: Duration, unit: Duration| {
            (time.as_secs_f64() / unit.as_secs_f64() * 10.0).round() / 10.0
        };
        let syncs = tenths(with_syncs.saturating_sub(at_no_sync), SYNC);
        Self { delays: tenths(at_no_sync, DELAY), syncs }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.delays, self.syncs) {
            (0.0, 0.0) => write!(f, "0"),
            (delays, 0.0) => write!(f, "{delays} D"),
            (delays, 1.0) => write!(f, "{delays} D + S"),
            (delays, syncs) => write!(f, "{delays} D + {syncs} S"),
        }
    }
}

/// Costs of writes and reads at the leader and at a follower, of every engine.
pub(super) fn table() -> Table {
    let head = "members | what | engine | told after | all told after | messages | bytes | syncs | \
                which messages";
    let mut table = Table::new("One at a time", head);
    for members in MEMBERS {
        for (errand, follower, name) in [
            (Errand::Write, false, "write at the leader"),
            (Errand::Write, true, "write at a follower"),
            (Errand::Read, false, "read at the leader"),
            (Errand::Read, true, "read at a follower"),
            (Errand::LeasedRead, false, "read at the leader, by lease"),
        ] {
            for &engine in EngineName::value_variants() {
                let lacks_lease = engine.lacks("lease_max_drift_percent");
                if errand == Errand::LeasedRead && lacks_lease {
                    continue;
                }
                let cost = with_engine!(engine, Log => cost::<Log>(members, errand, follower));
                let mut row = vec![members.to_string(), name.to_owned(), engine.to_string()];
                row.extend(cost.cells(errand));
                table.rows.push(row);
            }
        }
    }
    table
}

impl Cost {
    fn cells(&self, errand: Errand) -> [String; 6] {
        let Self { answered, everywhere, spent } = self;
        let each = |count: u64| per(count, TIMES, 1);
        let kinds: Vec<_> =
            spent.kinds.iter().map(|(kind, count)| format!("{} {kind}", each(*count))).collect();
        let everywhere = match errand {
            Errand::Write => everywhere.to_string(),
            Errand::Read | Errand::LeasedRead => "-".to_owned(),
        };
        let kinds = if kinds.is_empty() { "-".to_owned() } else { kinds.join(", ") };
        let [messages, bytes, syncs] = [spent.messages, spent.bytes, spent.syncs].map(each);
        [answered.to_string(), everywhere, messages, bytes, syncs, kinds]
    }
}

fn cost<L: Measured>(members: u64, errand: Errand, follower: bool) -> Cost {
    let mut setting = Setting::of(members).without_timers();
    setting.knobs.lease_max_drift_percent = (errand == Errand::LeasedRead).then_some(1);
    let slow = errands::<L>(&setting, errand, follower);
    let fast = errands::<L>(&Setting { sync: Duration::ZERO, ..setting }, errand, follower);
    Cost {
        answered: Path::of(fast.answered, slow.answered),
        everywhere: Path::of(fast.everywhere, slow.everywhere),
        spent: slow.spent,
    }
}

/// What the errands came to: the longest times, and the costs of all.
#[derive(Default)]
struct Errands {
    answered: Duration,
    everywhere: Duration,
    spent: Spent,
}

fn errands<L: Measured>(setting: &Setting, errand: Errand, follower: bool) -> Errands {
    let mut stand = Stand::<L>::new(setting);
    let leader = stand.settle();
    let others = stand.nodes().find(|node| *node != leader);
    let asked: NodeId = if follower { others.expect("there are others") } else { leader };
    let before = stand.spent();
    let mut all = Errands::default();
    for _ in 0..TIMES {
        let began = stand.sim.now();
        let request = match errand {
            Errand::Write => value(),
            Errand::Read | Errand::LeasedRead => Request::Read,
        };
        let token = stand.ask(asked, request);
        stand.sim.run_for(QUIET);
        let done = stand.done(asked, token).expect("nothing stands in its way");
        all.answered = all.answered.max(done.at - began);
        if errand == Errand::Write {
            let told = stand.nodes().map(|node| stand.told(node, done.index));
            let last = told.max().expect("there are nodes");
            all.everywhere = all.everywhere.max(last - began);
        }
    }
    all.spent = stand.spent().since(&before);
    all
}
