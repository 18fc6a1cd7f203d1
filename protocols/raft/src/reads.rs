//! Linearizable reads without log entries: one round of confirmations for all that wait (thesis
//! §6.4, "ReadIndex").

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use synod_consensus::Index;
use synod_engine::Token;

/// The reads that a leader has not answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Reads {
    /// Not in a round yet.
    waiting: Vec<Token>,
    rounds: VecDeque<Round>,
    newest: u64,
    len: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Round {
    number: u64,
    index: Index,
    tokens: Vec<Token>,
}

impl Reads {
    /// How many reads wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// A read was asked for.
    pub(crate) fn ask(&mut self, token: Token) {
        self.waiting.push(token);
        self.len += 1;
    }

    /// Nobody waits for this read any more; returns whether it was here.
    pub(crate) fn cancel(&mut self, token: Token) -> bool {
        let rounds = self.rounds.iter_mut().map(|round| &mut round.tokens);
        let found = rounds.chain([&mut self.waiting]).any(|tokens| {
            let place = tokens.iter().position(|waiting| *waiting == token);
            place.map(|place| tokens.remove(place)).is_some()
        });
        if found {
            self.len -= 1;
            self.rounds.retain(|round| !round.tokens.is_empty());
        }
        found
    }

    /// Opens a round for the reads that wait, at the commit index `index`; returns its number, or
    /// `None` if none waits.
    pub(crate) fn open_round(&mut self, index: Index) -> Option<u64> {
        if self.waiting.is_empty() {
            return None;
        }
        self.newest += 1;
        let tokens = core::mem::take(&mut self.waiting);
        self.rounds.push_back(Round { number: self.newest, index, tokens });
        Some(self.newest)
    }

    /// The newest round, for heartbeats to repeat.
    pub(crate) fn newest_round(&self) -> u64 {
        self.newest
    }

    /// The next reads that a majority's confirmation of round `confirmed` answers.
    pub(crate) fn confirmed(&mut self, confirmed: u64) -> Option<(Index, Vec<Token>)> {
        if self.rounds.front()?.number > confirmed {
            return None;
        }
        let round = self.rounds.pop_front()?;
        self.len -= round.tokens.len();
        Some((round.index, round.tokens))
    }

    /// Every read that waits, in order; none is left.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Token> {
        self.len = 0;
        let rounds = core::mem::take(&mut self.rounds).into_iter().flat_map(|round| round.tokens);
        rounds.chain(core::mem::take(&mut self.waiting))
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
        assert_eq!(reads.confirmed(1), Some((Index(5), vec![Token(1), Token(2)])));
        assert_eq!(reads.confirmed(1), None);
        assert_eq!(reads.open_round(Index(6)), Some(2));
        assert_eq!(reads.confirmed(1), None);
        assert_eq!(reads.len(), 1);
        assert!(reads.cancel(Token(3)) && !reads.cancel(Token(3)));
        assert_eq!((reads.len(), reads.rounds.len()), (0, 0));
    }
}
