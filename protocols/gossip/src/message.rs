//! What gossiping nodes say to each other.
//!
//! All messages are datagrams. Nothing is durable, so there is nothing that a message could wait for:
//! held or now makes no difference here.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use synod_engine::Class;

use crate::{Rumor, RumorId};

/// A message.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Message {
    /// The call of a round (section 1.4): to one other node.
    Call {
        /// What is hot at the caller, if it pushes.
        rumors: Vec<Rumor>,
        /// Whether the callee is to tell what is hot there.
        pull: bool,
    },
    /// To a caller that pulls: what is hot at the callee, and not in the call.
    Answer {
        /// The rumors; at least one.
        rumors: Vec<Rumor>,
    },
    /// To whoever told something, if feedback is wanted.
    Feedback {
        /// One for each rumor told.
        verdicts: Vec<Verdict>,
    },
}

/// What a listener says of a rumor that it was told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// Which rumor.
    pub id: RumorId,
    /// Whether it was news in the present round.
    pub news: bool,
}

impl synod_engine::Message for Message {
    fn class(&self) -> Class {
        Class::Datagram
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |f: &mut fmt::Formatter<'_>, rumors: &[Rumor]| {
            rumors.iter().try_for_each(|rumor| write!(f, " {}", rumor.id))
        };
        match self {
            Self::Call { rumors, pull } => {
                f.write_str("Call")?;
                listed(f, rumors)?;
                f.write_str(if *pull { ", pull" } else { "" })
            }
            Self::Answer { rumors } => {
                f.write_str("Answer")?;
                listed(f, rumors)
            }
            Self::Feedback { verdicts } => {
                f.write_str("Feedback")?;
                verdicts.iter().try_for_each(|Verdict { id, news }| {
                    write!(f, " {id} {}", if *news { "news" } else { "known" })
                })
            }
        }
    }
}
