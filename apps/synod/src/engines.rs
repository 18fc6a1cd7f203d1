//! The replicated logs that this program runs, each by its name.
//!
//! Services, drivers and servers name none of them; here they are bound. What must be known of one besides
//! its face ([`ReplicatedLog`]) is [`Wired`], with a file for each engine; [`knobs`] are what all of them
//! are configured by. To add one: a name, an arm in `with_engine!`, a file.

pub mod knobs;
mod paxos;
mod raft;
mod zab;

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use synod_consensus::ReplicatedLog;
use synod_engine::{ConfigError, Incarnation, Invariants};
use synod_log::Part;
use synod_sim::Wipe;

use knobs::LogKnobs;

/// The name of a replicated log.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    ValueEnum,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// Raft (Ongaro and Ousterhout, 2014)
    #[default]
    Raft,
    /// Multi-Paxos (Lamport, 2001)
    Paxos,
    /// ZAB, the atomic broadcast of ZooKeeper (Junqueira, Reed and Serafini, 2011)
    Zab,
}

/// Runs `$body` with `$Log` as the engine of this name: with all of its rules, or `without` some.
macro_rules! with_engine {
    ($name:expr, $Log:ident => $body:expr) => {
        with_engine!(@ synod_engine::Sound, $name, $Log => $body)
    };
    ($name:expr, without $Log:ident => $body:expr) => {
        with_engine!(@ synod_engine::Without, $name, $Log => $body)
    };
    (@ $Rules:ty, $name:expr, $Log:ident => $body:expr) => {
        match $name {
            $crate::engines::EngineName::Raft => {
                type $Log = synod_raft::Raft<$Rules>;
                $body
            }
            $crate::engines::EngineName::Paxos => {
                type $Log = synod_paxos::multi::MultiPaxos<$Rules>;
                $body
            }
            $crate::engines::EngineName::Zab => {
                type $Log = synod_zab::Zab<$Rules>;
                $body
            }
        }
    };
}
pub(crate) use with_engine;

/// A replicated log, and what this program must know of it besides its face.
pub trait Wired: ReplicatedLog {
    /// What it is called, in files and on the command line.
    const NAME: &'static str;

    /// What must always hold.
    type Invariants: Invariants<Self> + Default;

    /// The names of its safety rules.
    const RULES: &'static [&'static str];

    /// What a thousand simulations must have met of what is its own.
    const POINTS: &'static [&'static str];

    /// The knobs that it does not have: a file that sets one is refused.
    const LACKS: &'static [&'static str];

    /// A node that takes part like this.
    fn config(part: Part, knobs: &LogKnobs, rules: Self::Rules) -> Self::Config;

    /// Checks the knobs against each other.
    ///
    /// # Errors
    /// [`ConfigError`], naming the knob.
    fn check(config: &Self::Config) -> Result<(), ConfigError>;

    /// The same node after it lost all that it had.
    fn after(config: &Self::Config, wipe: Wipe, incarnation: Incarnation) -> Self::Config;
}

impl EngineName {
    /// Whether it does not have this knob.
    #[must_use]
    pub fn lacks(self, knob: &str) -> bool {
        with_engine!(self, Log => Log::LACKS.contains(&knob))
    }

    /// The names of its safety rules.
    #[must_use]
    pub fn rules(self) -> &'static [&'static str] {
        with_engine!(self, Log => Log::RULES)
    }

    /// What a thousand simulations must have met of what is its own.
    #[must_use]
    pub fn points(self) -> &'static [&'static str] {
        with_engine!(self, Log => Log::POINTS)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        with_engine!(self, Log => Log::NAME)
    }

    /// The engine of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::value_variants().iter().copied().find(|engine| engine.name() == name)
    }

    /// What directories and hellos call it. Raft was there before engines had names: it has none there, so
    /// that programs of that time understand it.
    pub(crate) fn written(self) -> Option<&'static str> {
        Some(self.name()).filter(|_| !self.is_default())
    }

    /// The engine that a directory names so.
    pub(crate) fn read(name: Option<&str>) -> Option<Self> {
        name.map_or(Some(Self::default()), Self::named)
    }

    /// Whether it is the one that is meant where none is named.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is typed, what is written in files and what nodes tell each other is one name.
    #[test]
    fn an_engine_has_one_name() {
        for engine in EngineName::value_variants() {
            let typed = engine.to_possible_value().expect("it can be typed");
            let written = serde_json::to_value(engine).expect("it can be written");
            assert_eq!((typed.get_name(), &written), (engine.name(), &engine.name().into()));
            assert_eq!(EngineName::named(engine.name()), Some(*engine));
        }
    }
}
