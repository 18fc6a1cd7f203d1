//! Facts that a script expects of a node.

use std::fmt;
use std::str::FromStr;

use synod_consensus::{Epoch, Role, Status};

use crate::command::{epochs, number};

/// Something that may hold for a node.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    Down,
    Role(Role),
    Epoch(u64),
    Last(u64),
    Commit(u64),
    Applied(u64),
    Snapshot(u64),
    Log(Vec<Epoch>),
    Applies(Vec<String>),
}

/// What there is to know of a node that is up.
pub(crate) struct Known {
    pub(crate) status: Status,
    pub(crate) log: Vec<Epoch>,
    pub(crate) applies: Vec<String>,
}

impl Fact {
    /// The same kind of fact as it is: equal to this one if this one holds.
    pub(crate) fn found(&self, known: Option<&Known>) -> Self {
        let Some(Known { status, log, applies }) = known else { return Self::Down };
        match self {
            Self::Down | Self::Role(_) => Self::Role(status.role),
            Self::Epoch(_) => Self::Epoch(status.epoch.0),
            Self::Last(_) => Self::Last(status.last.0),
            Self::Commit(_) => Self::Commit(status.commit.0),
            Self::Applied(_) => Self::Applied(status.applied.0),
            Self::Snapshot(_) => Self::Snapshot(status.snapshot.0),
            Self::Log(_) => Self::Log(log.clone()),
            Self::Applies(_) => Self::Applies(applies.clone()),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down => write!(f, "down"),
            Self::Role(role) => write!(f, "{role}"),
            Self::Epoch(epoch) => write!(f, "epoch={epoch}"),
            Self::Last(last) => write!(f, "last={last}"),
            Self::Commit(commit) => write!(f, "commit={commit}"),
            Self::Applied(applied) => write!(f, "applied={applied}"),
            Self::Snapshot(snapshot) => write!(f, "snapshot={snapshot}"),
            Self::Log(log) => {
                let epochs: Vec<String> = log.iter().map(ToString::to_string).collect();
                write!(f, "log={}", epochs.join(","))
            }
            Self::Applies(commands) => write!(f, "applies={}", commands.join(",")),
        }
    }
}

impl FromStr for Fact {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let Some((name, value)) = word.split_once('=') else {
            return match word {
                "down" => Ok(Self::Down),
                "leader" => Ok(Self::Role(Role::Leader)),
                "follower" => Ok(Self::Role(Role::Follower)),
                "candidate" => Ok(Self::Role(Role::Candidate)),
                _ => Err(format!("there is no fact {word:?}")),
            };
        };
        Ok(match name {
            "epoch" => Self::Epoch(number(value)?),
            "last" => Self::Last(number(value)?),
            "commit" => Self::Commit(number(value)?),
            "applied" => Self::Applied(number(value)?),
            "snapshot" => Self::Snapshot(number(value)?),
            "log" => Self::Log(epochs(value)?),
            "applies" => {
                let commands = value.split(',').filter(|command| !command.is_empty());
                Self::Applies(commands.map(str::to_owned).collect())
            }
            _ => return Err(format!("there is no fact {name:?}")),
        })
    }
}
