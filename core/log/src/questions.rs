//! Reads at a node that does not lead: it asks its leader which index they must reach, once per flush
//! for all that wait (Raft's thesis §6.4, last paragraph).
//!
//! A read is answered only by a question that was asked after it. So every question has a name that no
//! other life of this node uses, and an answer counts for the reads of that question and of earlier
//! ones, not for later ones: whatever is late, doubled, or meant for a question that was asked again,
//! finds nothing to answer. The leader's side is [`Reads`](crate::Reads).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use synod_consensus::Index;
use synod_engine::Token;

/// The name of a question which index reads must reach, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ReadId {
    /// Drawn at random by each life of a node: what was meant for another finds nobody.
    pub life: u64,
    /// Counts the questions of that life.
    pub number: u64,
}

/// The reads of a follower's own user.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Questions {
    /// For the next flush.
    waiting: Vec<Token>,
    /// In the order of their names.
    asked: VecDeque<Question>,
    /// Waiting for the log to be known as committed up to an index.
    answered: VecDeque<(Index, Vec<Token>)>,
    len: usize,
    /// Heartbeats with a question and without any answer.
    silence: u32,
    /// Whether the timer that counts them runs.
    pub is_timed: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Question {
    id: ReadId,
    tokens: Vec<Token>,
    /// Whether it had been asked when the timer last fired.
    is_old: bool,
}

impl Questions {
    /// How many reads wait.
    pub fn count(&self) -> usize {
        self.len
    }

    /// A read was asked for.
    pub fn ask(&mut self, token: Token) {
        self.waiting.push(token);
        self.len += 1;
    }

    /// Whether there are reads that no question was asked for.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Asks for all reads that wait, under the name `id`.
    pub fn asked(&mut self, id: ReadId) {
        let tokens = core::mem::take(&mut self.waiting);
        self.asked.push_back(Question { id, tokens, is_old: false });
    }

    /// The leader names the index for question `id`: the reads of that question and of earlier ones may
    /// be answered there. Unless answers need not be `fresh`.
    pub fn answered(&mut self, id: ReadId, index: Index, fresh: bool) {
        let covers = |question: &Question| {
            !fresh || question.id.life == id.life && question.id.number <= id.number
        };
        let mut tokens = Vec::new();
        while let Some(question) = self.asked.pop_front_if(|question| covers(question)) {
            self.silence = 0;
            if tokens.is_empty() {
                tokens = question.tokens;
            } else {
                tokens.extend(question.tokens);
            }
        }
        if !tokens.is_empty() {
            self.answered.push_back((index, tokens));
        }
    }

    /// The leader has no answer to question `id`: takes out its reads.
    pub fn rejected(&mut self, id: ReadId) -> Vec<Token> {
        let place = self.asked.iter().position(|question| question.id == id);
        let question = place.and_then(|place| self.asked.remove(place));
        let tokens = question.map_or_else(Vec::new, |question| question.tokens);
        self.silence = 0;
        self.len -= tokens.len();
        tokens
    }

    /// The next reads that may be answered now that everything up to `commit` was told.
    pub fn ready(&mut self, commit: Index) -> Option<(Index, Vec<Token>)> {
        let (index, tokens) = self.answered.pop_front_if(|(index, _)| *index <= commit)?;
        self.len -= tokens.len();
        Some((index, tokens))
    }

    /// A heartbeat has passed: questions that had its time are forgotten, and their reads wait to be
    /// asked for again; returns for how many heartbeats in a row there was no answer.
    pub fn heartbeat_passed(&mut self) -> u32 {
        self.silence = if self.asked.is_empty() { 0 } else { self.silence + 1 };
        let mut again = Vec::new();
        while let Some(question) = self.asked.pop_front_if(|question| question.is_old) {
            again.extend(question.tokens);
        }
        self.asked.iter_mut().for_each(|question| question.is_old = true);
        again.append(&mut self.waiting);
        self.waiting = again;
        self.silence
    }

    /// Whether a question was asked and not answered, or will be.
    pub fn is_asking(&self) -> bool {
        !(self.asked.is_empty() && self.waiting.is_empty())
    }

    /// Nobody waits for this read any more; returns whether it was here.
    pub fn cancel(&mut self, token: Token) -> bool {
        let asked = self.asked.iter_mut().map(|question| &mut question.tokens);
        let answered = self.answered.iter_mut().map(|(_, tokens)| tokens);
        let found = asked.chain(answered).chain([&mut self.waiting]).any(|tokens| {
            let place = tokens.iter().position(|waiting| *waiting == token);
            place.map(|place| tokens.remove(place)).is_some()
        });
        if found {
            self.len -= 1;
            self.asked.retain(|question| !question.tokens.is_empty());
            self.answered.retain(|(_, tokens)| !tokens.is_empty());
        }
        found
    }

    /// Every read that waits; none is left.
    pub fn drain(&mut self) -> impl Iterator<Item = Token> + use<> {
        let Self { waiting, asked, answered, .. } =
            core::mem::replace(self, Self { is_timed: self.is_timed, ..Self::default() });
        let answered = answered.into_iter().flat_map(|(_, tokens)| tokens);
        answered.chain(asked.into_iter().flat_map(|question| question.tokens)).chain(waiting)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn id(number: u64) -> ReadId {
        ReadId { life: 9, number }
    }

    /// A question for each of these tokens.
    fn asked(tokens: impl IntoIterator<Item = u64>) -> Questions {
        let mut questions = Questions::default();
        for token in tokens {
            questions.ask(Token(token));
            questions.asked(id(token));
        }
        questions
    }

    #[test]
    fn an_answer_counts_for_its_question_and_earlier_ones_of_the_same_life() {
        let mut questions = asked(1..=3);
        questions.answered(ReadId { life: 8, number: 3 }, Index(5), true);
        assert_eq!(questions.ready(Index(99)), None);
        questions.answered(id(2), Index(5), true);
        assert_eq!(questions.ready(Index(4)), None);
        assert_eq!(questions.ready(Index(5)), Some((Index(5), vec![Token(1), Token(2)])));
        questions.answered(id(2), Index(6), true);
        assert_eq!((questions.ready(Index(99)), questions.count()), (None, 1));
    }

    #[test]
    fn what_a_heartbeat_did_not_answer_is_asked_again_and_the_old_name_is_void() {
        let mut questions = asked(1..=1);
        assert_eq!((questions.heartbeat_passed(), questions.has_waiting()), (1, false));
        assert_eq!((questions.heartbeat_passed(), questions.has_waiting()), (2, true));
        questions.asked(id(2));
        questions.answered(id(1), Index(5), true);
        assert_eq!(questions.ready(Index(99)), None);
        questions.answered(id(2), Index(6), true);
        assert_eq!(questions.ready(Index(99)), Some((Index(6), vec![Token(1)])));
        assert_eq!((questions.heartbeat_passed(), questions.is_asking()), (0, false));
    }

    #[test]
    fn each_read_ends_once() {
        let mut questions = asked(1..=4);
        questions.answered(id(1), Index(5), true);
        questions.ask(Token(5));
        assert!(questions.cancel(Token(2)) && !questions.cancel(Token(2)));
        assert_eq!(questions.rejected(id(3)), [Token(3)]);
        assert_eq!(questions.rejected(id(3)), []);
        assert_eq!(questions.count(), 3);
        assert_eq!(questions.drain().collect::<Vec<_>>(), [1, 4, 5].map(Token));
        assert_eq!((questions.count(), questions.drain().count()), (0, 0));
    }
}
