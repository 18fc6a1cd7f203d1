//! What the local user, or the engine around this one, may ask; what it is told; the timers.

use core::fmt;

use synod_engine::NodeId;
use synod_quorum::Quorum;

use super::{Round, State, Vote, Zxid};

/// What the local user may ask. No event answers a request as such: its token is ignored.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Request {
    /// Look for a leader, in a new round: there is none, or the old one is gone or of no use. Ends in
    /// [`Event::Elected`], unless another request comes before. Also asked again while looking, when the
    /// node's history or the voters have changed.
    Look {
        /// The last epoch that this node took part in. Of no matter if it has no vote.
        epoch: u32,
        /// The last write in this node's history. Of no matter if it has no vote.
        zxid: Zxid,
        /// Who votes and may be elected: two sets while the members change.
        voters: Quorum,
    },
    /// This node leads, or is led, however that came about, and the leader's epoch is established: stop
    /// looking, and tell it to those who look. So all who follow one leader tell the same, in whichever
    /// round, and by whatever way, each of them found it.
    Settle {
        /// Who leads.
        leader: NodeId,
        /// Its epoch.
        epoch: u32,
    },
}

/// What the local user is told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// The node no longer looks. It is a suggestion: others may have come to another leader, and
    /// whoever was chosen may be dead. Whoever finds it so looks again.
    Elected {
        /// What this node is now; never [`State::Looking`].
        state: State,
        /// The leader, which is this node if it is [`State::Leading`], and the standing it was
        /// elected for.
        vote: Vote,
        /// The round that elected it.
        round: Round,
    },
}

/// The timers of a node that looks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Timer {
    /// A quorum has voted alike: no better vote came in the meantime.
    Finalize,
    /// Nothing happened: repeat the vote.
    Notify,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Elected { state, vote, round } = self;
        match state {
            State::Leading => write!(f, "leads, elected in round {round}"),
            State::Following | State::Observing | State::Looking => {
                write!(f, "is {state} {vote}, elected in round {round}")
            }
        }
    }
}
