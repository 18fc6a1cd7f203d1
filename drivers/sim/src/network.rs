//! Partitions, clogged links, and how long a message takes.

use std::ops::Range;

use crate::Dice;
use crate::acquaintances::Acquaintances;
use crate::dice::mix;
use crate::faults::Faults;

/// What the network is like at this moment.
#[derive(Debug, Default)]
pub(crate) struct Network {
    partition: Option<Cut>,
    /// Counts partitions, so that the end of one does not heal the next.
    partitions: u32,
    clogs: Vec<Clog>,
    acquaintances: Acquaintances,
}

/// Who does not hear whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// Nodes of different sides do not hear each other; `one_way` silences only side `true`.
    Sides { side: Vec<bool>, one_way: bool },
    /// Only neighbours in this order hear each other.
    Chain { place: Vec<u32> },
    /// All hear this one, and it hears all; the others do not hear each other.
    Star { hub: u32 },
}

impl Cut {
    /// Whether nothing gets through from `from` to `to`.
    pub(crate) fn blocks(&self, from: u32, to: u32) -> bool {
        match self {
            Self::Sides { side, one_way } => {
                let (from, to) = (side[from as usize], side[to as usize]);
                from != to && (from || !one_way)
            }
            Self::Chain { place } => place[from as usize].abs_diff(place[to as usize]) > 1,
            Self::Star { hub } => from != *hub && to != *hub,
        }
    }
}

#[derive(Debug)]
struct Clog {
    from: u32,
    to: u32,
    since: u64,
    until: u64,
}

impl Network {
    /// Begins a partition, which ends any other; gives its number.
    pub(crate) fn part(&mut self, cut: Cut) -> u32 {
        self.partition = Some(cut);
        self.partitions += 1;
        self.partitions
    }

    /// The partition of this number, if it lasts still.
    pub(crate) fn cut(&self, number: u32) -> Option<&Cut> {
        self.partition.as_ref().filter(|_| self.partitions == number)
    }

    /// Gives the partition of this number another shape, if it lasts still; true if it does.
    pub(crate) fn reshape(&mut self, number: u32, cut: Cut) -> bool {
        let lasts = self.partitions == number && self.partition.is_some();
        if lasts {
            self.partition = Some(cut);
        }
        lasts
    }

    /// Ends the partition of this number, if it lasts still; true if it did.
    pub(crate) fn heal(&mut self, number: u32) -> bool {
        self.partitions == number && self.partition.take().is_some()
    }

    /// Ends every partition and every clog.
    pub(crate) fn heal_all(&mut self) {
        self.partition = None;
        self.clogs.clear();
    }

    /// Nothing that `from` sends to `to` within this time arrives before its end.
    pub(crate) fn clog(&mut self, now: u64, from: u32, to: u32, within: Range<u64>) {
        self.clogs.retain(|clog| clog.until > now);
        self.clogs.push(Clog { from, to, since: within.start, until: within.end });
    }

    /// Whether nothing gets through from `from` to `to`.
    pub(crate) fn blocks(&self, from: u32, to: u32) -> bool {
        self.partition.as_ref().is_some_and(|cut| cut.blocks(from, to))
    }

    /// Who is known to whom.
    pub(crate) fn acquaintances(&mut self) -> &mut Acquaintances {
        &mut self.acquaintances
    }

    /// Whether `node` is the incarnation that `observer` counts on.
    pub(crate) fn knows(&self, observer: u32, node: u32) -> bool {
        self.acquaintances.knows(observer, node)
    }

    /// Whether one of them refuses the other: it takes itself for the founder that the other counts on, and
    /// is not.
    pub(crate) fn refuses(&self, a: u32, b: u32) -> bool {
        self.acquaintances.refuses(a, b) || self.acquaintances.refuses(b, a)
    }

    /// Changes whenever one of the two loses all that it had: what was sent before is not for it.
    pub(crate) fn generation(&self, from: u32, to: u32) -> u64 {
        self.acquaintances.generation(from, to)
    }

    /// When a message that is sent now arrives.
    pub(crate) fn arrival(
        &self,
        now: u64,
        from: u32,
        to: u32,
        faults: &Faults,
        dice: &mut Dice,
    ) -> u64 {
        let low = faults.delay.low.as_nanos() as u64;
        let width = faults.delay.high.as_nanos() as u64 - low;
        let place = mix(faults.delay_salt, u64::from(from) << 32 | u64::from(to));
        let usual = low + ((u128::from(place) * u128::from(width)) >> 64) as u64;
        let mut at = now + usual + dice.below(faults.jitter + 1);
        if dice.chance(faults.late_ppm) {
            at += dice.below(faults.late_by + 1);
        }
        for clog in &self.clogs {
            if clog.from == from && clog.to == to && clog.since <= now && clog.until > now {
                at += clog.until - now;
            }
        }
        at
    }
}
