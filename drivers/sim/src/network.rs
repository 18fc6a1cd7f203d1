//! Partitions, clogged links, and how long a message takes.

use crate::Dice;
use crate::dice::mix;
use crate::faults::Faults;

/// What the network is like at this moment.
#[derive(Debug, Default)]
pub(crate) struct Network {
    partition: Option<Partition>,
    /// Counts partitions, so that the end of one does not heal the next.
    partitions: u32,
    clogs: Vec<Clog>,
}

/// Two sides that do not hear each other.
#[derive(Debug)]
struct Partition {
    /// Which side each node is on.
    side: Vec<bool>,
    /// Whether the nodes of side `false` can still be heard by the others.
    one_way: bool,
}

#[derive(Debug)]
struct Clog {
    from: u32,
    to: u32,
    until: u64,
}

impl Network {
    /// Parts the nodes on side `true` from the others; `one_way` silences only side `true`.
    pub(crate) fn part(&mut self, side: Vec<bool>, one_way: bool) -> u32 {
        self.partition = Some(Partition { side, one_way });
        self.partitions += 1;
        self.partitions
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

    pub(crate) fn clog(&mut self, now: u64, from: u32, to: u32, until: u64) {
        self.clogs.retain(|clog| clog.until > now);
        self.clogs.push(Clog { from, to, until });
    }

    /// Whether nothing gets through from `from` to `to`.
    pub(crate) fn blocks(&self, from: u32, to: u32) -> bool {
        self.partition.as_ref().is_some_and(|partition| {
            let (from, to) = (partition.side[from as usize], partition.side[to as usize]);
            from != to && (from || !partition.one_way)
        })
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
            if clog.from == from && clog.to == to && clog.until > now {
                at += clog.until - now;
            }
        }
        at
    }
}
