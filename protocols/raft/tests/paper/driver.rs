//! One node of Raft on a bench, and what tests say to it.
//!
//! Read on: [`synod_stage::Node`], [`crate::cluster`].

use std::iter;

use synod_consensus::{Epoch, Index, Role, Snapshot};
use synod_engine::{NodeId, Sound};
use synod_raft::{
    AppendResult, Checkpoint, Config, EntryId, HardState, Message, Raft, Record, Rules, Timer,
};
pub(crate) use synod_stage::Disk;
pub(crate) use synod_stage::words::{add, batches, entry, founders, snapshot};

/// A node of Raft and its driver.
pub(crate) type Node<R = Sound> = synod_stage::Node<Raft<R>>;

/// What a test asks of a node that keeps all rules.
pub(crate) trait Whole {
    /// Node `id` of a new cluster of `voters`, started.
    fn founder(id: u64, voters: u64) -> Self;

    /// Node `id` in `term`, started, with a log of entries of these terms.
    fn with_log(id: u64, voters: u64, term: u64, log: &[u64]) -> Self;
}

impl Whole for Node {
    fn founder(id: u64, voters: u64) -> Self {
        Self::with_log(id, voters, 0, &[])
    }

    fn with_log(id: u64, voters: u64, term: u64, log: &[u64]) -> Self {
        Self::recover(config(id, voters), lived(voters, term, None, log))
    }
}

/// What only Raft's nodes do.
pub(crate) trait RaftNode {
    /// The terms of all its entries, from index 1 on where nothing is compacted.
    fn terms(&self) -> Vec<u64>;

    /// Wins pre-vote and election with the help of `peers`.
    fn win(&mut self, peers: &[u64]);
}

impl<R: Rules> RaftNode for Node<R> {
    fn terms(&self) -> Vec<u64> {
        let log = self.engine.log();
        (log.base().index.0 + 1..=log.last().index.0)
            .map(|index| log.epoch_at(Index(index)).expect("a log without gaps").0)
            .collect()
    }

    fn win(&mut self, peers: &[u64]) {
        self.fire(Timer::Election);
        let term = self.view().term.next();
        for peer in peers {
            self.hear(*peer, Message::PreVoteReply { term, granted: true, better: None });
        }
        for peer in peers {
            self.hear(*peer, Message::VoteReply { term, granted: true });
        }
        assert_eq!(self.view().role, Role::Leader, "{}", self.view());
    }
}

pub(crate) fn config(id: u64, voters: u64) -> Config {
    config_with(id, voters, Sound)
}

pub(crate) fn config_with<R: Rules>(id: u64, voters: u64, rules: R) -> Config<R> {
    Config::with_rules(NodeId(id), (1..=voters).map(NodeId), rules)
}

/// The records of a node that has lived.
pub(crate) fn lived(
    voters: u64,
    term: u64,
    snapshot: Option<Snapshot>,
    log: &[u64],
) -> Vec<Record> {
    let first = snapshot.map_or(1, |snapshot| snapshot.index.0 + 1);
    let checkpoint = Record::Checkpoint(Checkpoint {
        hard: HardState { term: Epoch(term), vote: None },
        members: founders(1..=voters),
        snapshot,
        keeps: 0,
    });
    iter::once(checkpoint).chain(batches(first, log).into_iter().map(Record::Entries)).collect()
}

/// AppendEntries with entries of these terms after `previous`.
pub(crate) fn append(term: u64, previous: EntryId, terms: &[u64], commit: u64) -> Message {
    let mut entries = batches(previous.index.0 + 1, terms);
    assert!(entries.len() <= 1, "one append carries entries of one term");
    Message::Append { term: Epoch(term), previous, entries: entries.pop(), commit: Index(commit) }
}

pub(crate) fn pre_vote(term: u64, last: EntryId) -> Message {
    Message::PreVote { term: Epoch(term), last }
}

pub(crate) fn pre_vote_reply(term: u64, granted: bool) -> Message {
    Message::PreVoteReply { term: Epoch(term), granted, better: None }
}

pub(crate) fn vote(term: u64, last: EntryId) -> Message {
    Message::Vote { term: Epoch(term), last, transfer: false }
}

/// RequestVote of whom its leader wishes in its place.
pub(crate) fn wished_vote(term: u64, last: EntryId) -> Message {
    Message::Vote { term: Epoch(term), last, transfer: true }
}

pub(crate) fn vote_reply(term: u64, granted: bool) -> Message {
    Message::VoteReply { term: Epoch(term), granted }
}

pub(crate) fn matches(term: u64, index: u64) -> Message {
    let result = AppendResult::Matches(Index(index));
    Message::AppendReply { term: Epoch(term), result }
}

pub(crate) fn heartbeat(term: u64, commit: u64) -> Message {
    let (commit, matched) = (Index(commit), Index::ZERO);
    Message::Heartbeat { term: Epoch(term), commit, matched, round: Some(0) }
}
