//! A node at one moment, for traces, scripts and the lab.

use core::fmt;

use super::node::Fle;
use super::role::Role;
use super::{Round, Rules, State, Vote};

/// What a node is and stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct View {
    /// What it is.
    pub state: State,
    /// The round it votes in, or in which its leader was elected; 0 if it never looked.
    pub round: Round,
    /// Its vote, or its leader.
    pub vote: Option<Vote>,
    /// Whether a quorum votes as it does and it waits for a better vote.
    pub is_closing: bool,
}

impl View {
    pub(crate) fn of<R: Rules>(node: &Fle<R>) -> Self {
        let is_closing = match &node.role {
            Role::Looking(looking) => looking.is_closing,
            Role::Idle | Role::Settled(_) => false,
        };
        Self { state: node.state(), round: node.round(), vote: node.vote(), is_closing }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} r{}", self.state, self.round)?;
        if let Some(vote) = self.vote {
            write!(f, " {vote}")?;
        }
        if self.is_closing {
            write!(f, ", a quorum agrees")?;
        }
        Ok(())
    }
}
