//! Linearizable reads without log entries: one round of confirmations that the leader still leads answers
//! all that wait (Raft's thesis §6.4, "ReadIndex"). A follower's side is [`Questions`](crate::Questions).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use synod_consensus::{Event, Index, Refusal};
use synod_engine::{NodeId, Token};

use crate::{ReadId, ReadResult};

/// The reads that a leader has not answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Reads {
    /// Not in a round yet.
    waiting: Readers,
    rounds: VecDeque<Round>,
    newest: u64,
    len: usize,
}

/// What is to be told to whom, once reads are answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadAnswer {
    /// To the leader's own user.
    User(Event),
    /// To a follower that asked.
    Node {
        /// Which one.
        node: NodeId,
        /// What it asked.
        id: ReadId,
        /// The answer.
        result: ReadResult,
    },
}

/// Who waits for the same index.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Readers {
    /// Reads of the leader's own user.
    tokens: Vec<Token>,
    /// Other nodes, with the newest question of each: its answer counts for their earlier ones too.
    nodes: Vec<(NodeId, ReadId)>,
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

    /// They may be answered at `index`.
    fn at(self, index: Index) -> impl Iterator<Item = ReadAnswer> {
        let Self { tokens, nodes } = self;
        let result = ReadResult::Index(index);
        let own = (!tokens.is_empty()).then_some(Event::ReadReady { index, tokens });
        let others = nodes.into_iter().map(move |(node, id)| ReadAnswer::Node { node, id, result });
        own.map(ReadAnswer::User).into_iter().chain(others)
    }
}

impl Reads {
    /// How many reads wait; the questions of a node in one round are one.
    pub fn count(&self) -> usize {
        self.len
    }

    /// A read is asked for, to be confirmed by the next round; refused while so many wait.
    ///
    /// # Errors
    /// [`Refusal::Busy`].
    pub fn ask(&mut self, token: Token, max_pending: usize) -> Result<(), Refusal> {
        if self.len >= max_pending {
            return Err(Refusal::Busy);
        }
        self.waiting.tokens.push(token);
        self.len += 1;
        Ok(())
    }

    /// Another node asks for its reads, which join the same round.
    ///
    /// # Errors
    /// [`ReadResult::Busy`] to tell it, while so many wait.
    pub fn ask_for(
        &mut self,
        node: NodeId,
        id: ReadId,
        max_pending: usize,
    ) -> Result<(), ReadResult> {
        if self.len >= max_pending {
            return Err(ReadResult::Busy);
        }
        let same = |(asker, asked): &&mut (NodeId, ReadId)| *asker == node && asked.life == id.life;
        if let Some((_, asked)) = self.waiting.nodes.iter_mut().find(same) {
            asked.number = asked.number.max(id.number);
        } else {
            self.waiting.nodes.push((node, id));
            self.len += 1;
        }
        Ok(())
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

    /// Answers the reads that wait for a round, without one.
    pub fn without_round(&mut self, index: Index) -> impl Iterator<Item = ReadAnswer> + use<> {
        let readers = core::mem::take(&mut self.waiting);
        self.len -= readers.len();
        readers.at(index)
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

    /// A majority has confirmed round `confirmed`: answers the reads of that one and of earlier ones.
    pub fn confirmed(&mut self, confirmed: u64) -> impl Iterator<Item = ReadAnswer> {
        let count = self.rounds.partition_point(|round| round.number <= confirmed);
        self.len -= self.rounds.range(..count).map(|round| round.readers.len()).sum::<usize>();
        self.rounds.drain(..count).flat_map(|round| round.readers.at(round.index))
    }

    /// It leads no more: every read of the own user ends. Other nodes hear of that by other ways.
    pub fn refuse(self, leader: Option<NodeId>) -> impl Iterator<Item = Event> {
        let rounds = self.rounds.into_iter().flat_map(|round| round.readers.tokens);
        let refusal = Refusal::NotLeader { leader };
        rounds.chain(self.waiting.tokens).map(move |token| Event::Refused { token, refusal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(tokens: impl IntoIterator<Item = u64>) -> Reads {
        let mut reads = Reads::default();
        tokens.into_iter().for_each(|token| reads.ask(Token(token), 10).unwrap());
        reads
    }

    fn confirmed(reads: &mut Reads, round: u64) -> Vec<ReadAnswer> {
        reads.confirmed(round).collect()
    }

    fn own(index: u64, tokens: &[u64]) -> ReadAnswer {
        let tokens = tokens.iter().copied().map(Token).collect();
        ReadAnswer::User(Event::ReadReady { index: Index(index), tokens })
    }

    fn other(index: u64, (life, number): (u64, u64)) -> ReadAnswer {
        let (id, result) = (ReadId { life, number }, ReadResult::Index(Index(index)));
        ReadAnswer::Node { node: NodeId(2), id, result }
    }

    #[test]
    fn one_round_answers_all_that_waited_and_none_that_came_later() {
        let mut reads = asked([1, 2]);
        assert_eq!(reads.open_round(Index(5)), Some(1));
        reads.ask(Token(3), 10).unwrap();
        assert_eq!(confirmed(&mut reads, 1), [own(5, &[1, 2])]);
        assert_eq!(confirmed(&mut reads, 1), []);
        assert_eq!(reads.open_round(Index(6)), Some(2));
        assert_eq!(confirmed(&mut reads, 1), []);
        assert_eq!(reads.count(), 1);
        assert!(reads.cancel(Token(3)) && !reads.cancel(Token(3)));
        assert_eq!((reads.count(), reads.rounds.len()), (0, 0));
    }

    #[test]
    fn a_round_that_is_confirmed_answers_the_earlier_ones_too() {
        let mut reads = asked([1]);
        for (index, token) in [(5, 2), (6, 3), (7, 4)] {
            assert!(reads.open_round(Index(index)).is_some());
            reads.ask(Token(token), 10).unwrap();
        }
        assert_eq!(confirmed(&mut reads, 2), [own(5, &[1]), own(6, &[2])]);
        assert_eq!(reads.count(), 2);
        let refusal = Refusal::NotLeader { leader: None };
        let refused = [3, 4].map(|token| Event::Refused { token: Token(token), refusal });
        assert_eq!(reads.refuse(None).collect::<Vec<_>>(), refused);
    }

    /// Where a lease stands for the round.
    #[test]
    fn reads_that_are_answered_without_a_round_wait_no_more() {
        let mut reads = asked(1..=3);
        assert_eq!(reads.open_round(Index(5)), Some(1));
        reads.ask(Token(4), 10).unwrap();
        reads.ask_for(NodeId(2), ReadId { life: 7, number: 1 }, 10).unwrap();
        let answers: Vec<_> = reads.without_round(Index(6)).collect();
        assert_eq!(answers, [own(6, &[4]), other(6, (7, 1))]);
        assert_eq!((reads.count(), reads.has_waiting()), (3, false), "those in the round");
    }

    #[test]
    fn the_newest_question_of_a_node_stands_for_its_earlier_ones() {
        let mut reads = Reads::default();
        for (life, number) in [(7, 2), (7, 3), (7, 1), (8, 1)] {
            reads.ask_for(NodeId(2), ReadId { life, number }, 10).unwrap();
        }
        assert_eq!(reads.count(), 2);
        assert_eq!(reads.open_round(Index(5)), Some(1));
        assert_eq!(confirmed(&mut reads, 1), [other(5, (7, 3)), other(5, (8, 1))]);
        assert_eq!(reads.count(), 0);
    }

    #[test]
    fn reads_are_bounded() {
        let mut reads = asked([1]);
        let id = ReadId { life: 7, number: 1 };
        assert_eq!(reads.ask(Token(2), 1), Err(Refusal::Busy));
        assert_eq!(reads.ask_for(NodeId(2), id, 1), Err(ReadResult::Busy));
        assert_eq!((reads.ask_for(NodeId(2), id, 2), reads.count()), (Ok(()), 2));
    }
}
