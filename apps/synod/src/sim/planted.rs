//! Planted faults: a simulation in which one rule is not kept, to show that it would be found.

use synod_engine::{Sound, Without};
use synod_kv::rules::Rules;
use synod_sim::{Decisions, Plan, Report, Step};

use super::{Cluster, cluster, recovery};
use crate::engines::{EngineName, Wired, with_engine};

/// What a simulation leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Planted {
    /// Nothing: this is what servers run.
    #[default]
    Nothing,
    /// A rule of the log, by its number in [`EngineName::rules`].
    Log(usize),
    /// A rule of the store, by its number in [`synod_kv::rules::RULES`].
    Store(usize),
}

impl Planted {
    /// The names of all rules that can be taken out.
    pub fn names(engine: EngineName) -> impl Iterator<Item = &'static str> {
        engine.rules().iter().chain(synod_kv::rules::RULES).copied()
    }

    /// The fault of not keeping the rule called `name`, or none for `nothing`; `None` if there is no
    /// such rule.
    #[must_use]
    pub fn named(engine: EngineName, name: &str) -> Option<Self> {
        if name == NOTHING {
            return Some(Self::Nothing);
        }
        let among = |rules: &[&str]| rules.iter().position(|rule| *rule == name);
        let log = among(engine.rules()).map(Self::Log);
        log.or_else(|| among(synod_kv::rules::RULES).map(Self::Store))
    }

    /// What is left out, by name.
    #[must_use]
    pub fn name(self, engine: EngineName) -> &'static str {
        match self {
            Self::Nothing => NOTHING,
            Self::Log(number) => engine.rules()[number],
            Self::Store(number) => synod_kv::rules::RULES[number],
        }
    }

    /// Runs `plan` on this engine with this fault; `words` describe it in the log of decisions.
    #[must_use]
    pub fn run(self, engine: EngineName, plan: Plan, words: &str) -> Run {
        let (log, store) = match self {
            Self::Nothing => {
                return with_engine!(engine, Log => {
                    finish(cluster::<Log, _>(plan, Sound, Sound), words)
                });
            }
            Self::Log(number) => (without(engine.rules(), number), Without::default()),
            Self::Store(number) => (Without::default(), without(synod_kv::rules::RULES, number)),
        };
        with_engine!(engine, without Log => finish(cluster::<Log, _>(plan, log, store), words))
    }
}

/// All of these rules but the one of this number.
fn without(rules: &[&str], number: usize) -> Without {
    Without::named(rules, &rules[number..=number]).expect("a rule's own name")
}

/// A run that was made.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it came to.
    pub report: Report,
    /// All that happened, if the plan asked for it.
    pub trace: Option<String>,
    /// All that was drawn, if the plan asked for it.
    pub decisions: Option<Decisions>,
    /// Every step, if the plan asked for it.
    pub steps: Vec<Step>,
}

const NOTHING: &str = "nothing";

fn finish<L, S>(mut cluster: Cluster<L, S>, words: &str) -> Run
where
    L: Wired,
    S: Rules,
{
    cluster.run_events();
    recovery::recover(&mut cluster);
    cluster.judge();
    let report = cluster.report();
    let trace = cluster.trace().map(str::to_owned);
    Run { report, trace, decisions: cluster.decisions(words), steps: cluster.steps() }
}
