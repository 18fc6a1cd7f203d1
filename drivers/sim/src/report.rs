//! What a run came to.

use std::fmt;
use std::time::Duration;

use synod_engine::{Corrupt, NodeId, Sometimes, Violation};

/// What one run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// The name of its mix of faults.
    pub mix: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// How much happened.
    pub events: u64,
    /// How long it took in virtual time.
    pub elapsed: Duration,
    /// The hash of all that happened: equal for equal runs.
    pub trace_hash: u64,
    /// How often which interesting point was reached.
    pub sometimes: Sometimes,
    /// What went wrong how often.
    pub counts: Counts,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything held.
    Sound,
    /// An invariant was broken.
    Violated(Violation),
    /// A node could not be rebuilt from its records.
    Corrupt(NodeId, Corrupt),
    /// The code under test panicked.
    Panicked(String),
    /// Nothing went wrong any more, and what must come did not: this is missing.
    Stuck(String),
    /// Nobody can say: a judge gave up, or what did not come could not be demanded.
    Undecided(String),
    /// The same run took another way when it was made again.
    Parted(String),
}

/// What sort of verdict it is: those of one kind are followed in the same way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Everything held.
    Ok,
    /// Nobody can say. Never to be taken for [`Ok`](Self::Ok).
    Undecided,
    /// What must come in the end did not.
    Liveness,
    /// A panic, or a node that could not be rebuilt.
    Crash,
    /// The same run took two ways: nothing else that it says can be relied on.
    Nondeterministic,
    /// What must never happen did.
    Safety,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Undecided => "undecided",
            Self::Liveness => "liveness",
            Self::Crash => "crash",
            Self::Nondeterministic => "nondeterministic",
            Self::Safety => "safety",
        }
    }
}

impl Verdict {
    /// Whether everything held.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        *self == Self::Sound
    }

    /// What sort of verdict it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Sound => Kind::Ok,
            Self::Violated(_) => Kind::Safety,
            Self::Corrupt(..) | Self::Panicked(_) => Kind::Crash,
            Self::Stuck(_) => Kind::Liveness,
            Self::Undecided(_) => Kind::Undecided,
            Self::Parted(_) => Kind::Nondeterministic,
        }
    }

    /// Its kind, and the property that is broken: what a run keeps that is the same failure, but smaller.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Violated(violation) => {
                format!("{}: {}", Kind::Safety.name(), violation.invariant)
            }
            other => other.kind().name().to_owned(),
        }
    }
}

impl From<Result<(), Violation>> for Verdict {
    fn from(judged: Result<(), Violation>) -> Self {
        judged.map_or_else(Self::Violated, |()| Self::Sound)
    }
}

/// What went wrong how often, and what went well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that reached a node.
    pub delivered: u64,
    /// Messages and words of clients that did not.
    pub lost: u64,
    /// Datagrams that came twice.
    pub duplicated: u64,
    /// Sessions that ended.
    pub sessions_lost: u64,
    /// Partitions that began.
    pub partitions: u64,
    /// Links that were clogged.
    pub clogs: u64,
    /// Times that links were clogged one by one, and let go in another order.
    pub swizzles: u64,
    /// Nodes that crashed.
    pub crashes: u64,
    /// Nodes that paused.
    pub pauses: u64,
    /// Clocks that jumped ahead.
    pub clock_steps: u64,
    /// Disks that stalled.
    pub stalls: u64,
    /// Disks that filled up.
    pub full_disks: u64,
    /// Nodes that lost all they had.
    pub wipes: u64,
    /// Syncs that ended well.
    pub syncs: u64,
    /// Syncs that failed and stopped their node.
    pub failed_syncs: u64,
    /// Records that crashes took.
    pub records_lost: u64,
}

impl Counts {
    /// Adds what another run counted.
    pub fn merge(&mut self, other: &Self) {
        for ((_, mine), (_, theirs)) in self.fields_mut().into_iter().zip(other.fields()) {
            *mine += theirs;
        }
    }

    /// All counts, by name.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, u64); 16] {
        let mut copy = *self;
        copy.fields_mut().map(|(name, count)| (name, *count))
    }

    fn fields_mut(&mut self) -> [(&'static str, &mut u64); 16] {
        [
            ("delivered", &mut self.delivered),
            ("lost", &mut self.lost),
            ("duplicated", &mut self.duplicated),
            ("sessions lost", &mut self.sessions_lost),
            ("partitions", &mut self.partitions),
            ("clogs", &mut self.clogs),
            ("swizzled cloggings", &mut self.swizzles),
            ("crashes", &mut self.crashes),
            ("pauses", &mut self.pauses),
            ("clock steps", &mut self.clock_steps),
            ("stalls", &mut self.stalls),
            ("full disks", &mut self.full_disks),
            ("wipes", &mut self.wipes),
            ("syncs", &mut self.syncs),
            ("failed syncs", &mut self.failed_syncs),
            ("records lost", &mut self.records_lost),
        ]
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sound => write!(f, "sound"),
            Self::Violated(violation) => write!(f, "{violation}"),
            Self::Corrupt(node, corrupt) => write!(f, "{node} cannot start: {corrupt}"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Stuck(missing) => write!(f, "stuck: {missing}"),
            Self::Undecided(why) => write!(f, "undecided: {why}"),
            Self::Parted(where_to) => write!(f, "not deterministic: {where_to}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, verdict, events, elapsed, trace_hash, .. } = self;
        write!(f, "seed {seed}: {verdict} ({events} events, {elapsed:?}, trace {trace_hash:016x})")
    }
}
