//! Proposals that a follower sends on to its leader (decision 0007), so that its user may ask any node.
//!
//! A follower numbers what it forwards within a lane, which it names by chance when it first forwards
//! to a leader. A leader takes a number of a lane once. It answers with the place of each proposal in
//! its log, before the entries travel; the follower ends a proposal by what it then sees committed.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use synod_consensus::{Event, Index, Refusal};
use synod_engine::{NodeId, Random, Token};

use crate::{Bounds, Forwarded};

/// Times of a heartbeat after which an answer is taken to be lost.
const PATIENCE_HEARTBEATS: u32 = 20;
/// What a proposal costs besides its command, where they wait.
const OVERHEAD_BYTES: usize = 64;
/// Lanes of one follower that a leader remembers in one term. A follower takes another when it restarts, or
/// campaigns in vain; the one that it has not used for longest is forgotten. What comes twice is taken twice
/// only if its follower has used so many others in between, in one term.
const MAX_LANES: usize = 64;

/// What a follower forwards to its leader.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Forwards {
    /// Drawn when something is first sent.
    lane: Option<u64>,
    /// The number of the next proposal.
    next: u64,
    gathered: VecDeque<(Token, Bytes)>,
    unanswered: VecDeque<Unanswered>,
    /// Bytes of both.
    size_bytes: usize,
    placed: BTreeMap<Index, Token>,
    /// Whether the timer runs by which proposals grow old.
    is_timed: bool,
}

/// A proposal that was sent on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Unanswered {
    number: u64,
    token: Token,
    size_bytes: usize,
    /// Times of a heartbeat since.
    age: u32,
}

/// Proposals to send together: the lane, the number of the first, and the commands.
pub type Parcel = (u64, u64, Vec<Bytes>);

impl Forwards {
    /// Whether everything has ended.
    pub fn is_empty(&self) -> bool {
        self.size_bytes == 0 && self.placed.is_empty()
    }

    /// Something is proposed here, within these bounds.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], or [`Refusal::Busy`] while too much waits.
    pub fn gather(&mut self, token: Token, command: Bytes, bounds: &Bounds) -> Result<(), Refusal> {
        bounds.admit(&command)?;
        if self.size_bytes > bounds.max_forwarded_bytes {
            return Err(Refusal::Busy);
        }
        self.size_bytes += command.len() + OVERHEAD_BYTES;
        self.gathered.push_back((token, command));
        Ok(())
    }

    /// Nobody waits for this proposal any more; returns whether it was not sent, and so never takes
    /// effect.
    pub fn cancel(&mut self, token: Token) -> bool {
        let place = self.gathered.iter().position(|(gathered, _)| *gathered == token);
        let cancelled = place.and_then(|place| self.gathered.remove(place));
        if let Some((_, command)) = &cancelled {
            self.size_bytes -= command.len() + OVERHEAD_BYTES;
        }
        cancelled.is_some()
    }

    /// Takes out what is to be sent next, about `max_bytes` of it.
    pub fn parcel(&mut self, random: &mut Random, max_bytes: usize) -> Option<Parcel> {
        if self.gathered.is_empty() {
            return None;
        }
        let lane = *self.lane.get_or_insert_with(|| random.bits());
        let first = self.next;
        let (mut commands, mut size_bytes) = (Vec::new(), 0);
        while let Some((_, command)) = self.gathered.front()
            && (commands.is_empty() || size_bytes + command.len() + OVERHEAD_BYTES <= max_bytes)
            && let Some((token, command)) = self.gathered.pop_front()
        {
            let cost = command.len() + OVERHEAD_BYTES;
            let number = self.next;
            self.unanswered.push_back(Unanswered { number, token, size_bytes: cost, age: 0 });
            (self.next, size_bytes) = (number + 1, size_bytes + cost);
            commands.push(command);
        }
        Some((lane, first, commands))
    }

    /// The leader says what became of the proposals from number `first` on. Ends those that were refused,
    /// and those of which the answer came too late to be of use, since everything up to `commit` was told
    /// already.
    pub fn answered(
        &mut self,
        lane: u64,
        first: u64,
        answers: Vec<Answer>,
        commit: Index,
    ) -> impl Iterator<Item = Event> + use<> {
        let (mut refused, mut late) = (Vec::new(), Vec::new());
        let answers = if self.lane == Some(lane) { answers } else { Vec::new() };
        for (number, answer) in (first..).zip(answers) {
            let place = self.unanswered.binary_search_by_key(&number, |it| it.number);
            let Some(it) = place.ok().and_then(|place| self.unanswered.remove(place)) else {
                continue;
            };
            self.size_bytes -= it.size_bytes;
            match answer {
                Ok(index) if index > commit => {
                    late.extend(self.placed.insert(index, it.token));
                }
                Ok(_) => late.push(it.token),
                Err(refusal) => refused.push(Event::Refused { token: it.token, refusal }),
            }
        }
        refused.into_iter().chain(late.into_iter().map(unknown))
    }

    /// Takes out the proposals up to `last`, which are committed.
    pub fn committed(&mut self, last: Index) -> Vec<(Index, Token)> {
        let rest = self.placed.split_off(&last.next());
        core::mem::replace(&mut self.placed, rest).into_iter().collect()
    }

    /// A snapshot took the place of the entries up to `last`: whose they were is not told.
    pub fn passed(&mut self, last: Index) -> impl Iterator<Item = Event> + use<> {
        self.committed(last).into_iter().map(|(_, token)| unknown(token))
    }

    /// Whether to set the timer now by which proposals grow old: some wait for an answer, and it does not
    /// run.
    pub fn starts_timer(&mut self) -> bool {
        !self.unanswered.is_empty() && !core::mem::replace(&mut self.is_timed, true)
    }

    /// Whether that timer runs.
    pub fn is_timed(&self) -> bool {
        self.is_timed
    }

    /// The timer fired, after a heartbeat's time: ends what was not answered for so long that the answer
    /// is lost.
    pub fn heartbeat_passed(&mut self) -> impl Iterator<Item = Event> + use<> {
        self.is_timed = false;
        self.unanswered.iter_mut().for_each(|it| it.age += 1);
        self.lose_first(self.unanswered.partition_point(|it| it.age > PATIENCE_HEARTBEATS))
    }

    /// The leader, or the link to it, is lost: so is what it did not answer.
    pub fn lose(&mut self) -> impl Iterator<Item = Event> + use<> {
        self.lose_first(self.unanswered.len())
    }

    fn lose_first(&mut self, count: usize) -> impl Iterator<Item = Event> + use<> {
        let lost: Vec<_> = self.unanswered.drain(..count).collect();
        self.size_bytes -= lost.iter().map(|it| it.size_bytes).sum::<usize>();
        lost.into_iter().map(|it| unknown(it.token))
    }

    /// Follows the leader no more: what was never sent is refused; of what was, nothing can be told.
    pub fn end(&mut self, leader: Option<NodeId>) -> impl Iterator<Item = Event> + use<> {
        let Self { gathered, unanswered, placed, .. } = core::mem::take(self);
        let refusal = Refusal::NotLeader { leader };
        let refused = move |(token, _)| Event::Refused { token, refusal };
        let sent = unanswered.into_iter().map(|it| it.token).chain(placed.into_values());
        gathered.into_iter().map(refused).chain(sent.map(unknown))
    }
}

fn unknown(token: Token) -> Event {
    Event::Unknown { token }
}

/// What became of a forwarded proposal: its place in the leader's log, or why it was refused.
pub type Answer = Result<Index, Refusal>;

/// Answers for one follower: who it is, the lane, the number of the first, and what became of each.
pub type Receipt = (NodeId, u64, u64, Vec<Answer>);

/// Which numbers of which lanes a leader has taken, and what it has still to answer.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Lanes {
    /// The lanes of each follower, the one that was last used at the end.
    used: BTreeMap<NodeId, VecDeque<Lane>>,
    answers: Vec<(Forwarded, Answer)>,
}

/// A lane, and the next number in it that is taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Lane {
    name: u64,
    next: u64,
}

impl Lanes {
    /// So many proposals of `peer` arrived in `lane`, the first with this number. Whether they are new;
    /// else they were taken before, or something sent after them was.
    pub fn take(&mut self, peer: NodeId, lane: u64, first: u64, count: u64) -> bool {
        let used = self.used.entry(peer).or_default();
        let place = used.iter().rposition(|it| it.name == lane);
        if place.is_some_and(|place| first < used[place].next) {
            return false;
        }
        match place {
            Some(place) => drop(used.remove(place)),
            None if used.len() >= MAX_LANES => drop(used.pop_front()),
            None => {}
        }
        used.push_back(Lane { name: lane, next: first.saturating_add(count) });
        true
    }

    /// This proposal is not taken.
    pub fn refuse(&mut self, forwarded: Forwarded, refusal: Refusal) {
        self.answers.push((forwarded, Err(refusal)));
    }

    /// What to tell followers now: of what was refused, and of what was `placed` in the log.
    pub fn receipts(
        &mut self,
        placed: impl Iterator<Item = (Forwarded, Index)>,
    ) -> impl Iterator<Item = Receipt> {
        let mut answers = core::mem::take(&mut self.answers);
        answers.extend(placed.map(|(forwarded, index)| (forwarded, Ok(index))));
        answers.sort_by_key(|(forwarded, _)| *forwarded);
        let mut answers = answers.into_iter().peekable();
        core::iter::from_fn(move || {
            let (Forwarded { from, lane, number: first }, answer) = answers.next()?;
            let mut run = vec![answer];
            while let Some((_, answer)) = answers.next_if(|(next, _)| {
                *next == Forwarded { from, lane, number: first + run.len() as u64 }
            }) {
                run.push(answer);
            }
            Some((from, lane, first, run))
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn refused(token: u64, refusal: Refusal) -> Event {
        Event::Refused { token: Token(token), refusal }
    }

    fn ended(token: u64) -> Event {
        unknown(Token(token))
    }

    fn all(events: impl Iterator<Item = Event>) -> Vec<Event> {
        events.collect()
    }

    fn forwards(tokens: u64) -> Forwards {
        let mut forwards = Forwards::default();
        for token in (1..=tokens).map(Token) {
            forwards.gather(token, Bytes::from_static(b"12345678"), &Bounds::default()).unwrap();
        }
        forwards
    }

    #[test]
    fn what_is_too_large_or_too_much_is_refused() {
        let mut forwards = forwards(2);
        let mut gather = |max_command_bytes, max_forwarded_bytes| {
            let command = Bytes::from_static(b"12345678");
            let bounds = Bounds { max_command_bytes, max_forwarded_bytes, ..Bounds::default() };
            forwards.gather(Token(3), command, &bounds)
        };
        assert_eq!(gather(7, 143), Err(Refusal::TooLarge { max_bytes: 7 }));
        assert_eq!((gather(8, 143), gather(8, 144)), (Err(Refusal::Busy), Ok(())));
    }

    #[test]
    fn parcels_are_bounded_numbered_and_each_proposal_ends_once() {
        let mut random = Random::new(1);
        let mut forwards = forwards(5);
        assert!(forwards.cancel(Token(2)) && !forwards.cancel(Token(2)));
        let (lane, first, commands) = forwards.parcel(&mut random, 150).unwrap();
        assert_eq!((first, commands.len()), (0, 2));
        let (again, first, commands) = forwards.parcel(&mut random, 1).unwrap();
        assert_eq!((again, first, commands.len()), (lane, 2, 1));
        assert_eq!(forwards.size_bytes, 4 * 72);
        let answers = vec![Ok(Index(7)), Err(Refusal::Busy)];
        let answered = all(forwards.answered(lane, 0, answers.clone(), Index(3)));
        assert_eq!(answered, [refused(3, Refusal::Busy)]);
        assert_eq!(all(forwards.answered(lane, 0, answers, Index(3))), [], "doubled");
        assert_eq!(all(forwards.answered(lane + 1, 2, vec![Ok(Index(9))], Index(3))), []);
        assert_eq!(forwards.committed(Index(6)), []);
        assert_eq!(forwards.committed(Index(7)), [(Index(7), Token(1))]);
        assert!(forwards.starts_timer() && !forwards.starts_timer());
        let mut pass = || (all(forwards.heartbeat_passed()), forwards.starts_timer());
        assert!((0..PATIENCE_HEARTBEATS).all(|_| pass() == (vec![], true)), "not before its time");
        assert_eq!(pass(), (vec![ended(4)], false));
        let not_leader = Refusal::NotLeader { leader: Some(NodeId(2)) };
        assert_eq!(all(forwards.end(Some(NodeId(2)))), [refused(5, not_leader)]);
    }

    #[test]
    fn an_answer_that_comes_after_the_commit_leaves_it_unknown() {
        let mut forwards = forwards(2);
        let (lane, _, _) = forwards.parcel(&mut Random::new(1), 1000).unwrap();
        let answers = vec![Ok(Index(4)), Ok(Index(5))];
        assert_eq!(all(forwards.answered(lane, 0, answers, Index(4))), [ended(1)]);
        assert_eq!((all(forwards.lose()), forwards.size_bytes), (vec![], 0));
        assert_eq!(all(forwards.end(None)), [ended(2)]);
    }

    #[test]
    fn what_was_sent_and_not_answered_is_lost_with_the_link_and_what_is_placed_with_its_entries() {
        let mut forwards = forwards(3);
        let (lane, _, _) = forwards.parcel(&mut Random::new(1), 150).unwrap();
        let answered = forwards.answered(lane, 0, vec![Ok(Index(4))], Index(3));
        assert_eq!(all(answered), []);
        assert_eq!((all(forwards.lose()), forwards.size_bytes), (vec![ended(2)], 72));
        assert_eq!(
            (all(forwards.passed(Index(3))), all(forwards.passed(Index(4)))),
            (vec![], vec![ended(1)])
        );
        assert!(!forwards.is_empty(), "one was not sent yet");
    }

    #[test]
    fn answers_to_numbers_that_follow_each_other_go_out_together() {
        let forwarded = |from, lane, number| Forwarded { from: NodeId(from), lane, number };
        let mut lanes = Lanes::default();
        lanes.refuse(forwarded(2, 7, 1), Refusal::Busy);
        lanes.refuse(forwarded(2, 7, 5), Refusal::Busy);
        let placed = [(2, 7, 2), (3, 7, 3), (2, 7, 0)];
        let placed = placed
            .into_iter()
            .zip(10..)
            .map(|((from, lane, number), index)| (forwarded(from, lane, number), Index(index)));
        let receipts: Vec<_> = lanes.receipts(placed).collect();
        let busy = Err(Refusal::Busy);
        let first = vec![Ok(Index(12)), busy, Ok(Index(10))];
        let (second, third) = (vec![busy], vec![Ok(Index(11))]);
        let expected =
            [(NodeId(2), 7, 0, first), (NodeId(2), 7, 5, second), (NodeId(3), 7, 3, third)];
        assert_eq!(receipts, expected);
        assert_eq!(lanes.receipts([].into_iter()).count(), 0, "once");
    }

    #[test]
    fn a_lane_is_taken_in_order_and_nothing_twice() {
        let mut lanes = Lanes::default();
        let mut take = |peer, lane, first, count| lanes.take(NodeId(peer), lane, first, count);
        assert!(take(2, 7, 0, 3));
        assert!(!take(2, 7, 0, 3));
        assert!(take(2, 7, 5, 1), "what was between is lost, or late");
        assert!(!take(2, 7, 3, 2));
        assert!(take(3, 7, 0, 1), "another follower's lane");
    }

    #[test]
    fn of_many_lanes_the_one_that_was_not_used_for_longest_is_forgotten() {
        let mut lanes = Lanes::default();
        let mut take = |lane, first| lanes.take(NodeId(2), lane, first, 1);
        (0..MAX_LANES as u64).for_each(|lane| assert!(take(lane, 0)));
        assert!(take(0, 1));
        assert!(take(99, 0), "one more");
        for lane in [0, 2, 99] {
            assert!(!take(lane, 0), "{lane} is remembered");
        }
        assert!(take(1, 0));
    }
}
