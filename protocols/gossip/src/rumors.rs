//! The rumors that a node knows: hot, cold, and what happens to them at the end of a round.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_engine::{NodeId, Random};

use crate::{Config, Judgement, Rules, Stop};

/// Bytes that a rumor takes in a packet beyond what it says: its name, its length, and its verdict in
/// the feedback, rounded up.
pub(crate) const RUMOR_OVERHEAD_BYTES: usize = 32;

/// The name of a rumor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RumorId {
    /// Who started it.
    pub origin: NodeId,
    /// Drawn at random: the origin remembers nothing of its earlier lives.
    pub number: u64,
}

/// A rumor. Reference-counted; never copied inside a node.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Rumor {
    /// Its name.
    pub id: RumorId,
    /// What it says.
    pub content: Bytes,
}

impl Rumor {
    /// Bytes that it takes in a packet, with its bookkeeping.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.content.len() + RUMOR_OVERHEAD_BYTES
    }
}

impl fmt::Display for RumorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:04x}", self.origin, self.number >> 48)
    }
}

/// What a node knows.
#[derive(Clone, Default, Hash)]
pub(crate) struct Rumors {
    hot: BTreeMap<RumorId, Hot>,
    cold: BTreeSet<RumorId>,
    /// The cold ones, in the order in which they became so.
    oldest: VecDeque<RumorId>,
}

#[derive(Clone, Hash)]
struct Hot {
    rumor: Rumor,
    /// Heard in the present round: still news, and not told before the next.
    fresh: bool,
    /// Rounds of useless telling; with a counter, in a row.
    useless: u32,
    told: Told,
}

/// What telling it has brought in the present round.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Told {
    /// It was told to nobody, or nobody has judged.
    Nobody,
    /// To nodes that knew it, or that do not judge.
    Useless,
    /// To at least one node that did not know it.
    Useful,
}

/// What became of a rumor that a node was told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// It did not know it, and forgot this one for lack of room.
    First { forgot: Option<RumorId> },
    /// It has heard it before, but in this very round.
    Again,
    /// It knew it.
    Known,
    /// There is no room for it, or it is larger than a rumor may be.
    NoRoom,
}

impl Rumors {
    /// Takes in a rumor, if there is room.
    pub(crate) fn hear<R: Rules>(&mut self, config: &Config<R>, rumor: Rumor) -> Hearing {
        if let Some(hot) = self.hot.get(&rumor.id) {
            return if hot.fresh { Hearing::Again } else { Hearing::Known };
        }
        if self.cold.contains(&rumor.id) {
            return Hearing::Known;
        }
        if rumor.content.len() > config.max_rumor_bytes {
            return Hearing::NoRoom;
        }
        let full = self.hot.len() + self.cold.len() >= config.max_rumors
            && config.rules.memory_is_bounded();
        let forgot = if full { self.oldest.pop_front() } else { None };
        match forgot {
            Some(oldest) => self.cold.remove(&oldest),
            None if full => return Hearing::NoRoom,
            None => false,
        };
        let id = rumor.id;
        self.hot.insert(id, Hot { rumor, fresh: true, useless: 0, told: Told::Nobody });
        Hearing::First { forgot }
    }

    /// The rumors to tell in one message, least useless first: those heard before this round, but
    /// `except` these, as far as they fit.
    pub(crate) fn tell<R: Rules>(&mut self, config: &Config<R>, except: &[Rumor]) -> Vec<Rumor> {
        let is_told = |hot: &Hot| !hot.fresh && !except.iter().any(|told| told.id == hot.rumor.id);
        let mut ready: Vec<_> = self.hot.values_mut().filter(|hot| is_told(hot)).collect();
        ready.sort_by_key(|hot| hot.useless);
        let mut size_bytes = 0;
        let fitting = ready.into_iter().take_while(|hot| {
            size_bytes += hot.rumor.size_bytes();
            size_bytes <= config.max_packet_bytes || !config.rules.packets_are_bounded()
        });
        let blind = config.judgement == Judgement::Blind;
        let told = fitting.map(|hot| {
            if blind {
                hot.told = Told::Useless;
            }
            hot.rumor.clone()
        });
        told.collect()
    }

    /// A listener has judged, or showed that it knows the rumor.
    pub(crate) fn judged(&mut self, id: RumorId, news: bool) {
        if let Some(hot) = self.hot.get_mut(&id).filter(|hot| !hot.fresh) {
            hot.told = if news || hot.told == Told::Useful { Told::Useful } else { Told::Useless };
        }
    }

    /// The round ends: what was fresh is told from now on, and interest is lost in what was told in
    /// vain.
    pub(crate) fn end_round<R: Rules>(&mut self, config: &Config<R>, random: &mut Random) {
        let Self { hot, cold, oldest, .. } = self;
        hot.retain(|id, hot| {
            hot.fresh = false;
            if hot.stays_hot(config.stop, random) {
                return true;
            }
            if config.rules.cold_is_remembered() {
                cold.insert(*id);
                oldest.push_back(*id);
            }
            false
        });
    }

    /// Whether the node remembers this rumor.
    pub(crate) fn knows(&self, id: RumorId) -> bool {
        self.hot.contains_key(&id) || self.cold.contains(&id)
    }

    pub(crate) fn hot(&self) -> usize {
        self.hot.len()
    }

    pub(crate) fn cold(&self) -> usize {
        self.cold.len()
    }
}

impl Hot {
    /// Whether the node goes on telling it in the next round.
    fn stays_hot(&mut self, stop: Stop, random: &mut Random) -> bool {
        match (core::mem::replace(&mut self.told, Told::Nobody), stop) {
            (Told::Nobody, _) => true,
            (Told::Useful, _) => {
                self.useless = 0;
                true
            }
            (Told::Useless, stop) => {
                self.useless = self.useless.saturating_add(1);
                match stop {
                    Stop::Coin(k) => random.below(u64::from(k)) > 0,
                    Stop::Counter(k) => self.useless < k,
                }
            }
        }
    }
}
