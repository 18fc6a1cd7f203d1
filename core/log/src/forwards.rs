//! Proposals that a follower sends on to its leader (decision 0007), so that its user may ask any node.
//!
//! A follower numbers what it forwards within a lane, which it names by chance when it first forwards
//! to a leader. A leader takes a number of a lane once. It answers with the place of each proposal in
//! its log, before the entries travel; the follower ends a proposal by what it then sees committed.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;
use synod_consensus::{Index, Refusal};
use synod_engine::{NodeId, Random, Token};

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
    pub is_timed: bool,
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
    /// What waits to be sent or answered, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Whether everything has ended.
    pub fn is_empty(&self) -> bool {
        self.size_bytes == 0 && self.placed.is_empty()
    }

    /// Something is proposed here.
    pub fn gather(&mut self, token: Token, command: Bytes) {
        self.size_bytes += command.len() + OVERHEAD_BYTES;
        self.gathered.push_back((token, command));
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

    /// The leader says what became of the proposals from number `first` on. Which were refused, and of
    /// which the answer came too late to be of use, since everything up to `commit` was told already.
    pub fn answered(
        &mut self,
        lane: u64,
        first: u64,
        answers: Vec<Answer>,
        commit: Index,
    ) -> (Vec<(Token, Refusal)>, Vec<Token>) {
        let (mut refused, mut late) = (Vec::new(), Vec::new());
        if self.lane != Some(lane) {
            return (refused, late);
        }
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
                Err(refusal) => refused.push((it.token, refusal)),
            }
        }
        (refused, late)
    }

    /// Takes out the proposals up to `last`, which are committed.
    pub fn committed(&mut self, last: Index) -> Vec<(Index, Token)> {
        let rest = self.placed.split_off(&last.next());
        core::mem::replace(&mut self.placed, rest).into_iter().collect()
    }

    /// A heartbeat's time is over: takes out what was not answered for so long that the answer is lost.
    pub fn grow_old(&mut self) -> Vec<Token> {
        self.unanswered.iter_mut().for_each(|it| it.age += 1);
        let mut lost = Vec::new();
        while let Some(it) = self.unanswered.pop_front_if(|it| it.age > PATIENCE_HEARTBEATS) {
            self.size_bytes -= it.size_bytes;
            lost.push(it.token);
        }
        lost
    }

    /// Whether something was sent and not answered.
    pub fn waits_for_answers(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// The link to the leader broke: takes out what was not answered.
    pub fn lose(&mut self) -> Vec<Token> {
        let lost: Vec<_> = self.unanswered.drain(..).collect();
        self.size_bytes -= lost.iter().map(|it| it.size_bytes).sum::<usize>();
        lost.into_iter().map(|it| it.token).collect()
    }

    /// Takes out all: first those that were never sent, then those whose fate is unknown.
    pub fn drain(self) -> (impl Iterator<Item = Token>, impl Iterator<Item = Token>) {
        let sent = self.unanswered.into_iter().map(|it| it.token);
        (self.gathered.into_iter().map(|(token, _)| token), sent.chain(self.placed.into_values()))
    }
}

/// What became of a forwarded proposal: its place in the leader's log, or why it was refused.
pub type Answer = Result<Index, Refusal>;

/// Which numbers of which lanes a leader has taken.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Lanes {
    /// The lanes of each follower, the one that was last used at the end.
    used: BTreeMap<NodeId, VecDeque<Lane>>,
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
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn forwards(tokens: u64) -> Forwards {
        let mut forwards = Forwards::default();
        (1..=tokens)
            .for_each(|token| forwards.gather(Token(token), Bytes::from_static(b"12345678")));
        forwards
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
        assert_eq!(forwards.size_bytes(), 4 * 72);
        let answers = vec![Ok(Index(7)), Err(Refusal::Busy)];
        let (refused, late) = forwards.answered(lane, 0, answers.clone(), Index(3));
        assert_eq!((refused, late), (vec![(Token(3), Refusal::Busy)], vec![]));
        assert_eq!(forwards.answered(lane, 0, answers, Index(3)), (vec![], vec![]), "doubled");
        assert_eq!(forwards.answered(lane + 1, 2, vec![Ok(Index(9))], Index(3)).1, []);
        assert_eq!(forwards.committed(Index(6)), []);
        assert_eq!(forwards.committed(Index(7)), [(Index(7), Token(1))]);
        let lost: Vec<_> = (0..PATIENCE_HEARTBEATS).flat_map(|_| forwards.grow_old()).collect();
        assert_eq!((lost, forwards.grow_old()), (vec![], vec![Token(4)]), "not before its time");
        let (never, unknown) = forwards.drain();
        assert_eq!((never.collect::<Vec<_>>(), unknown.count()), (vec![Token(5)], 0));
    }

    #[test]
    fn an_answer_that_comes_after_the_commit_leaves_it_unknown() {
        let mut forwards = forwards(2);
        let (lane, _, _) = forwards.parcel(&mut Random::new(1), 1000).unwrap();
        let answers = vec![Ok(Index(4)), Ok(Index(5))];
        assert_eq!(forwards.answered(lane, 0, answers, Index(4)).1, [Token(1)]);
        assert_eq!((forwards.lose(), forwards.size_bytes()), (vec![], 0));
        assert_eq!(forwards.drain().1.collect::<Vec<_>>(), [Token(2)]);
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
