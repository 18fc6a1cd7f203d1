//! How messages are spelled in traces and scripts: what it is, its term, and what it says.

use core::fmt;

use super::{AppendResult, Message};

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = |granted: &bool| if *granted { "yes" } else { "no" };
        match self {
            Self::PreVote { term, last } => write!(f, "PreVote t{term} last {last}"),
            Self::PreVoteReply { term, granted, better: None } => {
                write!(f, "PreVoteReply t{term} {}", answer(granted))
            }
            Self::PreVoteReply { term, granted, better: Some(last) } => {
                write!(f, "PreVoteReply t{term} {}, mine ends with {last}", answer(granted))
            }
            Self::Vote { term, last, transfer: false } => write!(f, "Vote t{term} last {last}"),
            Self::Vote { term, last, transfer: true } => {
                write!(f, "Vote t{term} last {last}, as the leader wishes")
            }
            Self::VoteReply { term, granted } => write!(f, "VoteReply t{term} {}", answer(granted)),
            Self::Append { term, previous, entries: Some(entries), commit } => {
                write!(f, "Append t{term} after {previous}: {entries}, commit {commit}")
            }
            Self::Append { term, previous, entries: None, commit } => {
                write!(f, "Append t{term} after {previous}: nothing, commit {commit}")
            }
            Self::AppendReply { term, result: AppendResult::Matches(index) } => {
                write!(f, "AppendReply t{term} matches {index}")
            }
            Self::AppendReply { term, result: AppendResult::Conflict { previous, hint, .. } } => {
                write!(f, "AppendReply t{term} conflict at {previous}, hint {hint}")
            }
            Self::Heartbeat { term, commit, round: Some(round), .. } => {
                write!(f, "Heartbeat t{term} commit {commit} round {round}")
            }
            Self::Heartbeat { term, commit, round: None, .. } => {
                write!(f, "Heartbeat t{term} commit {commit}")
            }
            Self::HeartbeatReply { term, round, promise_ms: 0 } => {
                write!(f, "HeartbeatReply t{term} round {round}")
            }
            Self::HeartbeatReply { term, round, promise_ms } => {
                write!(f, "HeartbeatReply t{term} round {round}, a promise for {promise_ms} ms")
            }
            Self::Pull { term, last, shared } => {
                write!(f, "Pull t{term} after {last} or {shared}")
            }
            Self::Pulled { term, previous, entries, last } => {
                write!(f, "Pulled t{term} after {previous}:")?;
                entries.iter().try_for_each(|batch| write!(f, " {batch}"))?;
                write!(f, " of a log to {last}")
            }
            Self::Forward { term, lane: _, first, commands } => {
                write!(f, "Forward t{term} {} from number {first}", commands.len())
            }
            Self::Forwarded { term, lane: _, first, answers } => {
                write!(f, "Forwarded t{term} from number {first}:")?;
                answers.iter().try_for_each(|answer| match answer {
                    Ok(index) => write!(f, " {index}"),
                    Err(refusal) => write!(f, " ({refusal})"),
                })
            }
            Self::Rest { term, last } => write!(f, "Rest t{term} last {last}"),
            Self::TimeoutNow { term, last } => write!(f, "TimeoutNow t{term} last {last}"),
            Self::ReadIndex { term, id } => write!(f, "ReadIndex t{term} number {}", id.number),
            Self::ReadIndexReply { term, id, result } => {
                write!(f, "ReadIndexReply t{term} number {}: {result}", id.number)
            }
            Self::Install { term, snapshot, .. } => write!(f, "Install t{term} {snapshot}"),
        }
    }
}
