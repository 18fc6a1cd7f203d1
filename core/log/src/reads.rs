//! Linearizable reads without log entries: one round of confirmations that the leader still leads answers
//! all that wait (Raft's thesis §6.4, "ReadIndex"). A follower's side is [`Questions`](crate::Questions).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use synod_consensus::Index;
use synod_engine::{NodeId, Token};

use crate::ReadId;

/// The reads that a leader has not answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Reads {
    /// Not in a round yet.
    waiting: Readers,
    rounds: VecDeque<Round>,
    newest: u64,
    len: usize,
}

/// Who waits for the same index.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Readers {
    /// Reads of the leader's own user.
    pub tokens: Vec<Token>,
    /// Other nodes, with the newest question of each: its answer counts for their earlier ones too.
    pub nodes: Vec<(NodeId, ReadId)>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Round {
    number: u64,
    index: Index,
    readers: Readers,
}

impl Readers {
    fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.nodes.is_empty()
    }

    fn len(&self) -> usize {
        self.tokens.len() + self.nodes.len()
    }
}

impl Reads {
    /// How many reads wait; the questions of a node in one round are one.
    pub fn count(&self) -> usize {
        self.len
    }

    /// A read was asked for.
    pub fn ask(&mut self, token: Token) {
        self.waiting.tokens.push(token);
        self.len += 1;
    }

    /// Another node asks for its reads.
    pub fn ask_for(&mut self, node: NodeId, id: ReadId) {
        let same = |(asker, asked): &&mut (NodeId, ReadId)| *asker == node && asked.life == id.life;
        if let Some((_, asked)) = self.waiting.nodes.iter_mut().find(same) {
            asked.number = asked.number.max(id.number);
        } else {
            self.waiting.nodes.push((node, id));
            self.len += 1;
        }
    }

    /// Nobody waits for this read any more; returns whether it was here.
    pub fn cancel(&mut self, token: Token) -> bool {
        let rounds = self.rounds.iter_mut().map(|round| &mut round.readers.tokens);
        let found = rounds.chain([&mut self.waiting.tokens]).any(|tokens| {
            let place = tokens.iter().position(|waiting| *waiting == token);
            place.map(|place| tokens.remove(place)).is_some()
        });
        if found {
            self.len -= 1;
            self.rounds.retain(|round| !round.readers.is_empty());
        }
        found
    }

    /// Opens a round for the reads that wait, at the commit index `index`; returns its number, or
    /// `None` if none waits.
    pub fn open_round(&mut self, index: Index) -> Option<u64> {
        if self.waiting.is_empty() {
            return None;
        }
        self.newest += 1;
        let readers = core::mem::take(&mut self.waiting);
        self.rounds.push_back(Round { number: self.newest, index, readers });
        Some(self.newest)
    }

    /// Whether reads wait for a round.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes out the reads that wait for a round.
    pub fn take_waiting(&mut self) -> Readers {
        let readers = core::mem::take(&mut self.waiting);
        self.len -= readers.len();
        readers
    }

    /// Opens a round that no read waits for.
    pub fn open_empty_round(&mut self) -> u64 {
        self.newest += 1;
        self.newest
    }

    /// The newest round, for heartbeats to repeat.
    pub fn newest_round(&self) -> u64 {
        self.newest
    }

    /// The next reads that a majority's confirmation of round `confirmed` answers.
    pub fn confirmed(&mut self, confirmed: u64) -> Option<(Index, Readers)> {
        if self.rounds.front()?.number > confirmed {
            return None;
        }
        let round = self.rounds.pop_front()?;
        self.len -= round.readers.len();
        Some((round.index, round.readers))
    }

    /// Every read of the own user that waits, in order. Other nodes hear of the end by other ways.
    pub fn drain(self) -> impl Iterator<Item = Token> {
        let rounds = self.rounds.into_iter().flat_map(|round| round.readers.tokens);
        rounds.chain(self.waiting.tokens)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn one_round_answers_all_that_waited_and_none_that_came_later() {
        let mut reads = Reads::default();
        reads.ask(Token(1));
        reads.ask(Token(2));
        assert_eq!(reads.open_round(Index(5)), Some(1));
        reads.ask(Token(3));
        let first = Readers { tokens: vec![Token(1), Token(2)], nodes: vec![] };
        assert_eq!(reads.confirmed(1), Some((Index(5), first)));
        assert_eq!(reads.confirmed(1), None);
        assert_eq!(reads.open_round(Index(6)), Some(2));
        assert_eq!(reads.confirmed(1), None);
        assert_eq!(reads.count(), 1);
        assert!(reads.cancel(Token(3)) && !reads.cancel(Token(3)));
        assert_eq!((reads.count(), reads.rounds.len()), (0, 0));
    }

    /// Where a lease stands for the round.
    #[test]
    fn reads_that_are_taken_out_before_a_round_wait_no_more() {
        let mut reads = Reads::default();
        (1..=3).for_each(|token| reads.ask(Token(token)));
        assert_eq!(reads.open_round(Index(5)), Some(1));
        reads.ask(Token(4));
        reads.ask_for(NodeId(2), ReadId { life: 7, number: 1 });
        let taken = reads.take_waiting();
        assert_eq!((taken.tokens.len(), taken.nodes.len()), (1, 1));
        assert_eq!((reads.count(), reads.has_waiting()), (3, false), "those in the round");
    }

    #[test]
    fn the_newest_question_of_a_node_stands_for_its_earlier_ones() {
        let mut reads = Reads::default();
        for (life, number) in [(7, 2), (7, 3), (7, 1), (8, 1)] {
            reads.ask_for(NodeId(2), ReadId { life, number });
        }
        assert_eq!(reads.count(), 2);
        assert_eq!(reads.open_round(Index(5)), Some(1));
        let (_, readers) = reads.confirmed(1).unwrap();
        let newest = [(7, 3), (8, 1)].map(|(life, number)| (NodeId(2), ReadId { life, number }));
        assert_eq!((readers.nodes, reads.count()), (newest.to_vec(), 0));
    }
}
