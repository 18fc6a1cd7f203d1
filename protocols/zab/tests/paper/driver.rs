//! One node of ZAB on a bench, and how it comes to be where a story begins.
//!
//! Read on: [`synod_stage::Node`], [`crate::words`], [`crate::cluster`].

use synod_consensus::{Epoch, Event, Index, ReplicatedLog as _, Task};
use synod_election::fle::{self, Notification, State, Vote};
use synod_engine::{NodeId, Sound, Token};
pub(crate) use synod_stage::Disk;
use synod_zab::{Config, Message, Phase, Record, Rules, Timer, Zab, Zxid};

use crate::words::{Past, ack_epoch, ack_new_leader, follower_info, lived, new_epoch, says};

/// A node of ZAB and its driver.
pub(crate) type Node<R = Sound> = synod_stage::Node<Zab<R>>;

/// A node that finds these records, started.
pub(crate) fn recover<R: Rules>(
    config: Config<R>,
    records: impl IntoIterator<Item = Record>,
) -> Node<R> {
    let mut node = Node::recover(config, records);
    node.is_background = is_background;
    node
}

/// Nodes that keep all rules.
pub(crate) trait Whole {
    /// Node `id` of so many voters, which has lived through this.
    fn lived(id: u64, voters: u64, past: &Past<'_>) -> Self;
}

impl Whole for Node {
    fn lived(id: u64, voters: u64, past: &Past<'_>) -> Self {
        Self::lived_with(id, voters, past, Sound)
    }
}

/// What only ZAB's nodes do.
pub(crate) trait ZabNode<R: Rules> {
    /// The same with these rules.
    fn lived_with(id: u64, voters: u64, past: &Past<'_>, rules: R) -> Self;

    /// The epochs of all its entries, from the first that it keeps on.
    fn history(&self) -> Vec<u64>;

    /// It looks, and these vote for it.
    fn wins(&mut self, voters: &[u64]);

    /// The index at which this read was declared ready, if it was.
    fn ready_at(&self, token: u64) -> Option<u64>;

    /// Its state machine applies what is committed, and writes the snapshot that is due, if one is.
    fn catch_up(&mut self);

    /// An established leader of `epoch` calls it: it follows that one.
    fn called_by(&mut self, leader: u64, epoch: u64);

    /// Its election comes to this leader, whom all others follow.
    fn follow(&mut self, leader: u64);
}

impl<R: Rules> ZabNode<R> for Node<R> {
    fn lived_with(id: u64, voters: u64, past: &Past<'_>, rules: R) -> Self {
        let records = if past.is_none() { Vec::new() } else { lived(voters, past) };
        recover(config_with(id, voters, rules), records)
    }

    fn history(&self) -> Vec<u64> {
        history(&self.engine)
    }

    fn wins(&mut self, voters: &[u64]) {
        self.fire(Timer::Election(fle::Timer::Notify));
        let vote = self.sent.iter().rev().find_map(|(_, message)| match message {
            Message::Election(notification) => Some(*notification),
            _ => None,
        });
        let vote = vote.expect("it looks");
        for voter in voters {
            self.hear(*voter, Message::Election(Notification { asks: false, ..vote }));
        }
        self.fire(Timer::Election(fle::Timer::Finalize));
    }

    fn ready_at(&self, token: u64) -> Option<u64> {
        self.events.iter().find_map(|event| match event {
            Event::ReadReady { index, tokens } if tokens.contains(&Token(token)) => Some(index.0),
            _ => None,
        })
    }

    fn catch_up(&mut self) {
        let commit = self.view().commit.0;
        self.applied(commit);
        if self.tasks.iter().any(|(_, task)| matches!(task, Task::Snapshot)) {
            self.compact(commit);
        }
    }

    fn called_by(&mut self, leader: u64, epoch: u64) {
        let (epoch, commit) = (Epoch(epoch), Index::ZERO);
        self.hear(leader, Message::Ping { epoch, established: true, commit, round: 0 });
    }

    fn follow(&mut self, leader: u64) {
        if self.view().phase != Phase::Election {
            self.fire(Timer::Limit);
        }
        let vote = Vote { epoch: 0, zxid: Zxid::ZERO, leader: NodeId(leader) };
        let voters: Vec<_> = self.engine.status().members.quorum().iter().collect();
        let me = self.id();
        for voter in voters.into_iter().filter(|voter| *voter != me) {
            let is_it = voter == NodeId(leader);
            let state = if is_it { State::Leading } else { State::Following };
            self.hear(voter.0, says(state, vote));
        }
        assert_eq!(self.view().leader, Some(NodeId(leader)), "{}", self.view());
    }
}

/// Node `id` of so many voters, which has lived through this and was elected by the others.
pub(crate) fn elected(id: u64, voters: u64, past: &Past<'_>) -> Node {
    elected_with(id, voters, past, Sound)
}

pub(crate) fn elected_with<R: Rules>(id: u64, voters: u64, past: &Past<'_>, rules: R) -> Node<R> {
    let mut node = Node::lived_with(id, voters, past, rules);
    let others: Vec<_> = (1..=voters).filter(|voter| *voter != id).collect();
    node.wins(&others);
    assert_eq!(node.view().phase, Phase::Discovery, "{}", node.view());
    node.sent.clear();
    node
}

/// Node 1 of three, which has lived through this and was elected, and whose epoch 2 has accepted, with a
/// history of these epochs: it leads the epoch that it has chosen, but is not established.
pub(crate) fn leading(past: &Past<'_>, history: &[u64]) -> Node {
    let mut node = elected(1, 3, past);
    let current = history.last().copied().unwrap_or(0);
    node.hear(2, follower_info(current));
    node.sent.clear();
    node.hear(2, ack_epoch(node.view().accepted.0, current, history));
    assert_eq!(node.view().phase, Phase::Synchronisation, "{}", node.view());
    node
}

/// Node 1 of a new cluster of three, which leads epoch 1 with 2. Node 3 is away.
pub(crate) fn established() -> Node {
    let mut node = leading(&Past::default(), &[]);
    node.hear(2, ack_new_leader(1, 0));
    assert_eq!(node.view().phase, Phase::Broadcast, "{}", node.view());
    node.sent.clear();
    node
}

/// Node 1 of a new cluster of three, which has accepted epoch 2 of node 2, an established leader.
pub(crate) fn called() -> Node {
    let mut node = recover(config(1, 3), []);
    node.called_by(2, 2);
    node.hear(2, new_epoch(2));
    assert_eq!(node.view().phase, Phase::Synchronisation);
    node.sent.clear();
    node
}

/// Elections and heartbeats.
pub(crate) fn is_background(message: &Message) -> bool {
    matches!(message, Message::Election(_) | Message::Ping { .. } | Message::Pong { .. })
}

/// The epochs of all entries that a node keeps.
pub(crate) fn history<R: Rules>(zab: &Zab<R>) -> Vec<u64> {
    let log = zab.log();
    (log.base().index.0 + 1..=log.last().index.0)
        .map(|index| log.epoch_at(Index(index)).expect("a history without gaps").0)
        .collect()
}

pub(crate) fn config(id: u64, voters: u64) -> Config {
    config_with(id, voters, Sound)
}

pub(crate) fn config_with<R: Rules>(id: u64, voters: u64, rules: R) -> Config<R> {
    Config::with_rules(NodeId(id), (1..=voters).map(NodeId), rules)
}
