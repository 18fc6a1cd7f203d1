//! A node that has found its leader: it answers those who still look.

use synod_engine::{Context, NodeId};

use crate::fle::{Config, Fle, Notification, Round, Rules, State, Vote};

/// What a node that has found a leader tells others.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Settled {
    /// Following, leading or observing.
    pub(crate) state: State,
    /// Whom, and the standing it was elected for; or its new epoch, once that is established.
    pub(crate) vote: Vote,
    /// The round that elected it.
    pub(crate) round: Round,
    /// How it knows.
    pub(crate) found: Found,
}

/// How a node knows who leads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Found {
    /// A quorum voted as it does.
    Polled,
    /// A quorum follows that one already.
    Joined,
    /// The outer engine says so: no election vouches for it.
    Told,
}

impl Settled {
    fn answer(&self) -> Notification {
        Notification { state: self.state, round: self.round, vote: Some(self.vote), asks: false }
    }

    /// Rule `settled_answers`: who looks is told who leads. All else is of no interest any more.
    pub(crate) fn hear<R: Rules>(
        &self,
        config: &Config<R>,
        context: &mut Context<'_, Fle<R>>,
        from: NodeId,
        said: Notification,
    ) {
        if said.asks && config.rules.settled_answers() {
            context.send(from, self.answer());
        }
    }
}
