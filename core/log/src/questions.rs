//! Reads at a node that does not lead: it asks its leader which index they must reach, once per flush
//! for all that wait (Raft's thesis §6.4, last paragraph).
//!
//! A read is answered only by a question that was asked after it. So every question has a name that no
//! other life of this node uses, and an answer counts for the reads of that question and of earlier
//! ones, not for later ones: whatever is late, doubled, or meant for a question that was asked again,
//! finds nothing to answer. The leader's side is [`Reads`](crate::Reads).

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use synod_consensus::{Event, Index, Refusal};
use synod_engine::{NodeId, Random, Token};

/// The name of a question which index reads must reach, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ReadId {
    /// Drawn at random by each life of a node: what was meant for another finds nobody.
    pub life: u64,
    /// Counts the questions of that life.
    pub number: u64,
}

/// What comes of a question.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ReadResult {
    /// When the question arrived, nothing beyond this index had been committed.
    Index(Index),
    /// Too many reads wait at the leader.
    Busy,
    /// It does not lead.
    NotLeader,
}

/// Names the questions of one life.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct ReadIds {
    newest: Option<ReadId>,
}

impl ReadIds {
    /// A name that was never used, in this life or another.
    fn next(&mut self, random: &mut Random) -> ReadId {
        let newest = self.newest.get_or_insert_with(|| ReadId { life: random.bits(), number: 0 });
        newest.number += 1;
        *newest
    }
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
    silence: u64,
    /// Whether the timer that counts them runs.
    is_timed: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Question {
    id: ReadId,
    tokens: Vec<Token>,
    /// Whether it had been asked when the timer last fired.
    is_old: bool,
}

impl Questions {
    /// A read is asked for; refused while so many wait.
    ///
    /// # Errors
    /// [`Refusal::Busy`].
    pub fn ask(&mut self, token: Token, max_pending: usize) -> Result<(), Refusal> {
        if self.len >= max_pending {
            return Err(Refusal::Busy);
        }
        self.waiting.push(token);
        self.len += 1;
        Ok(())
    }

    /// The next question to ask, for all reads that wait; `None` if none does.
    pub fn next(&mut self, ids: &mut ReadIds, random: &mut Random) -> Option<ReadId> {
        if self.waiting.is_empty() {
            return None;
        }
        let (id, tokens) = (ids.next(random), core::mem::take(&mut self.waiting));
        self.asked.push_back(Question { id, tokens, is_old: false });
        Some(id)
    }

    /// The leader answers question `id`. Its index counts for the reads of that question and of earlier
    /// ones, unless answers need not be `fresh`; that it has none ends those of this question.
    pub fn answered(&mut self, id: ReadId, result: ReadResult, fresh: bool) -> Vec<Event> {
        let refusal = match result {
            ReadResult::Index(index) => {
                self.may_be_answered(id, index, fresh);
                return Vec::new();
            }
            ReadResult::Busy => Refusal::Busy,
            ReadResult::NotLeader => Refusal::NotLeader { leader: None },
        };
        self.silence = 0;
        let place = self.asked.iter().position(|question| question.id == id);
        let question = place.and_then(|place| self.asked.remove(place));
        let tokens = question.map_or_else(Vec::new, |question| question.tokens);
        self.len -= tokens.len();
        tokens.into_iter().map(|token| Event::Refused { token, refusal }).collect()
    }

    fn may_be_answered(&mut self, id: ReadId, index: Index, fresh: bool) {
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

    /// Answers the reads whose index was told, now that everything up to `commit` was.
    pub fn ready(&mut self, commit: Index) -> impl Iterator<Item = Event> {
        core::iter::from_fn(move || {
            let (index, tokens) = self.answered.pop_front_if(|(index, _)| *index <= commit)?;
            self.len -= tokens.len();
            Some(Event::ReadReady { index, tokens })
        })
    }

    /// Whether to set the timer now by which questions grow old: there are some, and it does not run.
    pub fn starts_timer(&mut self) -> bool {
        let is_asking = !(self.asked.is_empty() && self.waiting.is_empty());
        is_asking && !core::mem::replace(&mut self.is_timed, true)
    }

    /// Whether that timer runs.
    pub fn is_timed(&self) -> bool {
        self.is_timed
    }

    /// The timer fired, after a heartbeat's time: questions that had all of it are forgotten, and their
    /// reads wait to be asked for again. After so many heartbeats without any answer all reads end.
    pub fn heartbeat_passed(
        &mut self,
        patience: u64,
        leader: Option<NodeId>,
    ) -> impl Iterator<Item = Event> + use<> {
        self.is_timed = false;
        self.silence = if self.asked.is_empty() { 0 } else { self.silence + 1 };
        let mut again = Vec::new();
        while let Some(question) = self.asked.pop_front_if(|question| question.is_old) {
            again.extend(question.tokens);
        }
        self.asked.iter_mut().for_each(|question| question.is_old = true);
        again.append(&mut self.waiting);
        self.waiting = again;
        let gives_up = self.silence >= patience;
        gives_up.then(|| self.refuse(leader)).into_iter().flatten()
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

    /// The leader is lost, and with it all that it was asked: every read ends.
    pub fn refuse(&mut self, leader: Option<NodeId>) -> impl Iterator<Item = Event> + use<> {
        let Self { waiting, asked, answered, .. } =
            core::mem::replace(self, Self { is_timed: self.is_timed, ..Self::default() });
        let answered = answered.into_iter().flat_map(|(_, tokens)| tokens);
        let asked = asked.into_iter().flat_map(|question| question.tokens);
        let refusal = Refusal::NotLeader { leader };
        answered.chain(asked).chain(waiting).map(move |token| Event::Refused { token, refusal })
    }
}

impl fmt::Display for ReadResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            Self::Busy => write!(f, "busy"),
            Self::NotLeader => write!(f, "not the leader"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const LIFE: u64 = 9;

    fn id(number: u64) -> ReadId {
        ReadId { life: LIFE, number }
    }

    /// Asks for what waits.
    fn ask(questions: &mut Questions, number: u64) {
        let mut ids = ReadIds { newest: Some(id(number - 1)) };
        assert_eq!(questions.next(&mut ids, &mut Random::new(1)), Some(id(number)));
    }

    /// A question for each of these tokens.
    fn asked(tokens: impl IntoIterator<Item = u64>) -> Questions {
        let mut questions = Questions::default();
        for token in tokens {
            questions.ask(Token(token), 10).unwrap();
            ask(&mut questions, token);
        }
        questions
    }

    fn ready(questions: &mut Questions, commit: u64) -> Vec<Event> {
        questions.ready(Index(commit)).collect()
    }

    fn reads(index: u64, tokens: &[u64]) -> Vec<Event> {
        let tokens = tokens.iter().copied().map(Token).collect();
        vec![Event::ReadReady { index: Index(index), tokens }]
    }

    fn refused(tokens: impl IntoIterator<Item = u64>, refusal: Refusal) -> Vec<Event> {
        let refused = |token| Event::Refused { token: Token(token), refusal };
        tokens.into_iter().map(refused).collect()
    }

    fn at(index: u64) -> ReadResult {
        ReadResult::Index(Index(index))
    }

    #[test]
    fn names_are_of_one_life_and_count() {
        let (mut ids, mut random) = (ReadIds::default(), Random::new(1));
        let mut next = || {
            let mut questions = Questions::default();
            assert_eq!(questions.next(&mut ids, &mut random), None, "nothing waits");
            questions.ask(Token(1), 1).unwrap();
            questions.next(&mut ids, &mut random).unwrap()
        };
        let (first, second) = (next(), next());
        assert_eq!(second, ReadId { number: first.number + 1, ..first });
    }

    #[test]
    fn an_answer_counts_for_its_question_and_earlier_ones_of_the_same_life() {
        let mut questions = asked(1..=3);
        questions.answered(ReadId { life: 8, number: 3 }, at(5), true);
        assert_eq!(ready(&mut questions, 99), []);
        questions.answered(id(2), at(5), true);
        assert_eq!(ready(&mut questions, 4), []);
        assert_eq!(ready(&mut questions, 5), reads(5, &[1, 2]));
        questions.answered(id(2), at(6), true);
        assert_eq!((ready(&mut questions, 99), questions.len), (vec![], 1));
    }

    #[test]
    fn what_a_heartbeat_did_not_answer_is_asked_again_and_the_old_name_is_void() {
        let mut questions = asked(1..=1);
        let pass = |questions: &mut Questions| {
            let events: Vec<_> = questions.heartbeat_passed(3, None).collect();
            (events, questions.waiting.len())
        };
        assert!(questions.starts_timer() && !questions.starts_timer());
        assert_eq!(pass(&mut questions), (vec![], 0));
        assert!(questions.starts_timer());
        assert_eq!(pass(&mut questions), (vec![], 1));
        ask(&mut questions, 2);
        questions.answered(id(1), at(5), true);
        assert_eq!(ready(&mut questions, 99), []);
        questions.answered(id(2), at(6), true);
        assert_eq!(ready(&mut questions, 99), reads(6, &[1]));
        assert_eq!(pass(&mut questions), (vec![], 0));
        assert!(!questions.starts_timer(), "nothing is asked");
    }

    #[test]
    fn reads_end_after_so_many_heartbeats_without_any_answer() {
        let mut questions = asked([1]);
        let pass = |questions: &mut Questions| {
            questions.heartbeat_passed(3, Some(NodeId(2))).collect::<Vec<_>>()
        };
        assert_eq!((pass(&mut questions), pass(&mut questions)), (vec![], vec![]));
        ask(&mut questions, 2);
        let not_leader = Refusal::NotLeader { leader: Some(NodeId(2)) };
        assert_eq!(pass(&mut questions), refused([1], not_leader));
        assert_eq!((pass(&mut questions), questions.len), (vec![], 0));
    }

    #[test]
    fn each_read_ends_once() {
        let mut questions = asked(1..=4);
        questions.answered(id(1), at(5), true);
        questions.ask(Token(5), 5).unwrap();
        assert_eq!(questions.ask(Token(6), 5), Err(Refusal::Busy));
        assert!(questions.cancel(Token(2)) && !questions.cancel(Token(2)));
        let busy = refused([3], Refusal::Busy);
        assert_eq!(questions.answered(id(3), ReadResult::Busy, true), busy);
        assert_eq!(questions.answered(id(3), ReadResult::NotLeader, true), []);
        assert_eq!(questions.len, 3);
        let not_leader = Refusal::NotLeader { leader: None };
        assert_eq!(questions.refuse(None).collect::<Vec<_>>(), refused([1, 4, 5], not_leader));
        assert_eq!((questions.len, questions.refuse(None).count()), (0, 0));
    }
}
