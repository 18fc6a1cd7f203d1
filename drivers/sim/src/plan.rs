//! What a run is made from.

use std::time::Duration;

use crate::{Decisions, Mix};

/// Everything about a run but the engines.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Determines the run, with the engines and the code.
    pub seed: u64,
    /// Which faults are drawn.
    pub mix: Mix,
    /// How messages travel.
    pub transport: Transport,
    /// The run ends after this many events: inputs of engines (flushes not counted), syncs, faults,
    /// words of clients.
    pub max_events: u64,
    /// The run ends at this virtual time, if not before.
    pub max_time: Duration,
    /// A run in which more than this comes due, events or not, is given up as undecided.
    pub give_up_after: u64,
    /// Everything is checked after every so many events.
    pub checkpoint_every: u64,
    /// Whether to write the trace down.
    pub trace: bool,
    /// Whether to keep every step, so that it can be told where another run [parts](crate::parting).
    pub keep_steps: bool,
    /// Where chance comes from.
    pub chance: Chance,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 0,
            mix: Mix::DEFAULT,
            transport: Transport::Sessions,
            max_events: 20_000,
            max_time: Duration::from_secs(3_600),
            give_up_after: u64::MAX,
            checkpoint_every: 5_000,
            trace: false,
            keep_steps: false,
            chance: Chance::Drawn,
        }
    }
}

impl Plan {
    /// The same plan, but its run is the one of these decisions.
    #[must_use]
    pub fn replaying(self, log: Decisions) -> Self {
        Self { chance: Chance::Replayed(log), ..self }
    }
}

/// How messages travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// As their class says. Every pair of nodes has a link, whose sessions the engines see.
    Sessions,
    /// All as datagrams, whatever their class. There are no links, and engines hear of none: what
    /// large groups need, and what a protocol that assumes no order must survive.
    Datagrams,
}

/// Where chance comes from.
#[derive(Clone, Debug)]
pub enum Chance {
    /// From the seed.
    Drawn,
    /// From the seed, and kept: see [`Sim::decisions`](crate::Sim::decisions).
    Recorded,
    /// From an earlier run; its seed counts, not the plan's.
    Replayed(Decisions),
}
