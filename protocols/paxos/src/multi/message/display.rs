//! How messages are spelled in traces and scripts: what it is, its ballot, and what it says.

use core::fmt;

use synod_consensus::Batch;

use super::Message;
use crate::Ballot;

/// Values as `3..5@2.n1`: of which instances, and the ballot in which they were accepted.
pub(crate) struct InBallot<'a>(pub(crate) &'a Batch);

impl fmt::Display for InBallot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(batch) = self;
        match (batch.first(), batch.last(), Ballot::of(batch.epoch())) {
            (first, last, ballot) if first == last => write!(f, "{first}@{ballot}"),
            (first, last, ballot) => write!(f, "{first}..{last}@{ballot}"),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prepare { ballot, from, handover } => {
                let wish = if handover.is_some() { ", as the leader wishes" } else { "" };
                write!(f, "Prepare {ballot} from {from}{wish}")
            }
            Self::Promise { ballot, from, accepted, next, chosen } => {
                write!(f, "Promise {ballot} from {from}:")?;
                accepted.iter().try_for_each(|batch| write!(f, " {}", InBallot(batch)))?;
                if let Some(next) = next {
                    write!(f, " and more from {next}")?;
                }
                write!(f, ", chosen to {chosen}")
            }
            Self::Refused { ballot, promised } => {
                write!(f, "Refused {ballot}, promised {promised}")
            }
            Self::Accept { batch, chosen } => {
                write!(f, "Accept {}, chosen to {chosen}", InBallot(batch))
            }
            Self::Accepted { ballot, prefix, beyond, .. } => {
                write!(f, "Accepted {ballot} to {prefix}")?;
                match beyond {
                    Some((first, last)) => write!(f, " and {first}..{last}"),
                    None => Ok(()),
                }
            }
            Self::Heartbeat { ballot, chosen, round: Some(round), .. } => {
                write!(f, "Heartbeat {ballot} chosen to {chosen} round {round}")
            }
            Self::Heartbeat { ballot, chosen, round: None, .. } => {
                write!(f, "Heartbeat {ballot} chosen to {chosen}")
            }
            Self::HeartbeatReply { ballot, round, promise_ms } => {
                write!(f, "HeartbeatReply {ballot} round {round}")?;
                if *promise_ms > 0 { write!(f, " for {promise_ms} ms") } else { Ok(()) }
            }
            Self::Learn { ballot, from } => write!(f, "Learn {ballot} from {from}"),
            Self::Learned { ballot, values, chosen } => {
                write!(f, "Learned {ballot}:")?;
                values.iter().try_for_each(|batch| write!(f, " {}", InBallot(batch)))?;
                write!(f, ", chosen to {chosen}")
            }
            Self::Install { ballot, snapshot, .. } => write!(f, "Install {ballot} {snapshot}"),
            Self::TakeOver { ballot, last } => write!(f, "TakeOver {ballot} after {last}"),
            Self::ReadIndex { ballot, id } => write!(f, "ReadIndex {ballot} {}", id.number),
            Self::ReadIndexReply { ballot, id, result } => {
                write!(f, "ReadIndexReply {ballot} {}: {result}", id.number)
            }
            Self::Forward { ballot, first, commands, .. } => {
                write!(f, "Forward {ballot} {first} and on, {} commands", commands.len())
            }
            Self::Forwarded { ballot, first, answers, .. } => {
                write!(f, "Forwarded {ballot} {first} and on, {} answers", answers.len())
            }
        }
    }
}
