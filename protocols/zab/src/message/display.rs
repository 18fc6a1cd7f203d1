//! How messages are spelled in traces and scripts: what it is, its epoch, and what it says.

use core::fmt;

use super::{Message, Summary};

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Election(message) => write!(f, "{message}"),
            Self::FollowerInfo { accepted } => write!(f, "FollowerInfo accepted e{accepted}"),
            Self::NewEpoch { epoch } => write!(f, "NewEpoch e{epoch}"),
            Self::AckEpoch { epoch, counts: true, summary } => {
                write!(f, "AckEpoch e{epoch}, {summary}")
            }
            Self::AckEpoch { epoch, counts: false, summary } => {
                write!(f, "AckEpoch e{epoch} accepted of another, {summary}")
            }
            Self::Diff { epoch, after } => write!(f, "Diff e{epoch} after {after}"),
            Self::Trunc { epoch, last, to } => write!(f, "Trunc e{epoch} from {last} to {to}"),
            Self::Snap { epoch, snapshot, .. } => write!(f, "Snap e{epoch} {snapshot}"),
            Self::NewLeader { epoch, last, .. } => write!(f, "NewLeader e{epoch} last {last}"),
            Self::AckNewLeader { epoch, last } => write!(f, "AckNewLeader e{epoch} last {last}"),
            Self::UpToDate { epoch, commit } => write!(f, "UpToDate e{epoch} commit {commit}"),
            Self::Propose { epoch, previous, entries, commit } => {
                write!(f, "Propose e{epoch} after {previous}: {entries}, commit {commit}")
            }
            Self::Inform { epoch, previous, entries, commit } => {
                write!(f, "Inform e{epoch} after {previous}: {entries}, commit {commit}")
            }
            Self::Ack { epoch, index } => write!(f, "Ack e{epoch} {index}"),
            Self::Commit { epoch, index } => write!(f, "Commit e{epoch} {index}"),
            Self::Ping { epoch, established: true, commit, round } => {
                write!(f, "Ping e{epoch} commit {commit} round {round}")
            }
            Self::Ping { epoch, established: false, round, .. } => {
                write!(f, "Ping e{epoch} not established, round {round}")
            }
            Self::Pong { epoch, round } => write!(f, "Pong e{epoch} round {round}"),
            Self::Request { epoch, lane: _, first, commands } => {
                write!(f, "Request e{epoch} {} from number {first}", commands.len())
            }
            Self::Requested { epoch, lane: _, first, answers } => {
                write!(f, "Requested e{epoch} from number {first}:")?;
                answers.iter().try_for_each(|answer| match answer {
                    Ok(index) => write!(f, " {index}"),
                    Err(refusal) => write!(f, " ({refusal})"),
                })
            }
            Self::Sync { epoch, id } => write!(f, "Sync e{epoch} number {}", id.number),
            Self::SyncReply { epoch, id, result } => {
                write!(f, "SyncReply e{epoch} number {}: {result}", id.number)
            }
            Self::HandOver { epoch, successor, last } => {
                write!(f, "HandOver e{epoch} to {successor}, last {last}")
            }
            Self::Look { epoch } => write!(f, "Look e{epoch}"),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "current {} last {}", self.current, self.last())
    }
}
