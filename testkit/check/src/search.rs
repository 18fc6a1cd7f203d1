//! The search for one order of one key's operations that explains every answer.
//!
//! Depth first (Wing and Gong): put an operation that may come next into the order, go on, and take
//! the last one back where nothing fits. The same operations in another order that lead to the same
//! state lead nowhere new (Lowe), so each pair of set and state is entered once.
//!
//! Two things are done without loss, since every order can be turned into one that has them:
//!
//! - An operation that changes nothing and may come next is put into the order at once.
//! - An operation of unknown fate stands directly before one that needs it. Where the next could as
//!   well come first, or makes the unknown one void, the search does not go on. What was entered so
//!   is remembered together with the state before, since that decides what may follow.
//!
//! Where the values tell which write an operation found, no write comes before all that found what it
//! overwrites.
//!
//! Sets are remembered by the exclusive or of random labels of their members, states by their hash:
//! 192 bits together. Two pairs that collide could only hide an order, so make a legal history look
//! illegal, never an illegal one legal.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use synod_engine::Random;

use crate::timeline::{Span, Timeline};
use crate::versions::{Seen, Version, Versions};
use crate::{Model, Operation};

/// How a search ended.
pub(crate) enum Outcome {
    /// There is an order.
    Explained,
    /// There is none.
    Stuck(Stuck),
    /// Nobody knows: the bound on steps was reached.
    GaveUp,
}

/// The farthest that a search came, in positions of the key's history.
#[derive(Default)]
pub(crate) struct Stuck {
    /// The longest order that explains its own operations.
    pub(crate) order: Vec<usize>,
    /// The operations of which one would have to come next, and none can.
    pub(crate) candidates: Vec<usize>,
    /// The state after `order`, as the model prints it.
    pub(crate) state: String,
}

/// The search through one key's operations.
pub(crate) struct Search<'a, M: Model> {
    model: &'a M,
    operations: &'a [&'a Operation<M::Input, M::Output>],
    timeline: Timeline,
    places: Places,
    labels: Vec<(u64, u64)>,
    /// Operations that may come only where the next one needs them; a guess.
    scarce: Vec<bool>,
    taken: (u64, u64),
    been: HashSet<(u64, u64, u64), BuildHasherDefault<Mixed>>,
    readers: Readers,
    levels: Vec<Level<M::State>>,
    steps: u64,
    farthest: Stuck,
}

/// One more operation in the order than the level before.
struct Level<S> {
    state: S,
    candidates: Vec<usize>,
    /// How many candidates were tried; the last of them is the one in the order.
    tried: usize,
}

impl<S> Level<S> {
    /// The operation that leads on to the next level.
    fn chosen(&self) -> usize {
        self.candidates[self.tried - 1]
    }
}

/// The operations whose answers tell their place in the order.
struct Places {
    ordered: Vec<usize>,
    has_place: Vec<bool>,
    next: usize,
}

impl<'a, M: Model> Search<'a, M> {
    /// A search in which each operation takes effect within its span.
    pub(crate) fn new(
        model: &'a M,
        operations: &'a [&'a Operation<M::Input, M::Output>],
        spans: &[Span],
    ) -> Self {
        let mut random = Random::new(operations.len() as u64);
        let mut search = Self {
            model,
            operations,
            timeline: Timeline::new(spans),
            places: Places::new(model, operations),
            labels: operations.iter().map(|_| (random.bits(), random.bits())).collect(),
            scarce: vec![false; operations.len()],
            taken: (0, 0),
            been: HashSet::default(),
            readers: Readers::new(model, operations),
            levels: Vec::new(),
            steps: 0,
            farthest: Stuck::default(),
        };
        search.descend(model.initial());
        search
    }

    /// The same search, with these operations only where the next one could not come without them.
    pub(crate) fn with_scarce(self, scarce: Vec<bool>) -> Self {
        Self { scarce, ..self }
    }

    /// The same search, which does not look at what is still to come.
    pub(crate) fn without_readers(self) -> Self {
        Self { readers: Readers::default(), ..self }
    }

    /// Searches, in at most `max_steps` steps of the model.
    pub(crate) fn run(mut self, max_steps: u64) -> Outcome {
        while !self.timeline.is_explained() {
            if self.steps >= max_steps {
                return Outcome::GaveUp;
            }
            let Some(level) = self.levels.last_mut() else { return Outcome::Stuck(self.farthest) };
            let Some(&operation) = level.candidates.get(level.tried) else {
                self.step_back();
                continue;
            };
            level.tried += 1;
            if !self.places.may_come(operation) || !self.readers.may_come(operation) {
                continue;
            }
            self.steps += 1;
            let asked = self.operations[operation];
            let state = self.model.step(&level.state, &asked.input, asked.output());
            if let Some(state) = state
                && !self.is_in_vain(operation, &state)
            {
                self.enter(operation, state);
            }
        }
        Outcome::Explained
    }

    /// Puts `operation` into the order, unless the search has been there.
    fn enter(&mut self, operation: usize, state: M::State) {
        let mut hasher = StateHasher::default();
        state.hash(&mut hasher);
        if let Some(level) = self.levels.last()
            && self.is_unknown(operation)
        {
            (operation, &level.state).hash(&mut hasher);
        }
        let taken = self.with(operation);
        if self.been.insert((taken.0, taken.1, hasher.finish())) {
            self.taken = taken;
            self.timeline.take(operation);
            self.places.take(operation);
            self.readers.take(operation);
            self.descend(state);
        }
    }

    /// Whether the operation before `next` is of unknown fate and stands there in vain: `state`, after
    /// both, can be had as well without it or with it later.
    fn is_in_vain(&self, next: usize, state: &M::State) -> bool {
        let [.., before, _] = &self.levels[..] else { return false };
        let unknown = before.chosen();
        if !self.is_unknown(unknown) {
            return false;
        }
        let step = |state, operation: usize| {
            let asked = self.operations[operation];
            self.model.step(state, &asked.input, asked.output())
        };
        let Some(without) = step(&before.state, next) else { return false };
        if self.scarce[unknown] {
            return true;
        }
        // Of two of unknown fate that could change places, the first in the history comes first.
        let may_change_places = !self.is_unknown(next) || next < unknown;
        self.model.covers(&without, state)
            || may_change_places
                && step(&without, unknown).is_some_and(|later| self.model.covers(&later, state))
    }

    fn is_unknown(&self, operation: usize) -> bool {
        self.operations[operation].returned.is_none()
    }

    /// Opens the next level.
    fn descend(&mut self, state: M::State) {
        let mut candidates = self.timeline.candidates();
        if let Some(&free) = candidates.iter().find(|operation| self.is_free(&state, **operation)) {
            candidates = vec![free];
        }
        self.levels.push(Level { state, candidates, tried: 0 });
    }

    /// Whether `operation` would be answered like this in `state`, and changes nothing in any.
    fn is_free(&self, state: &M::State, operation: usize) -> bool {
        let asked = self.operations[operation];
        !self.model.changes(&asked.input, asked.output())
            && self.places.may_come(operation)
            && self.model.step(state, &asked.input, asked.output()).as_ref() == Some(state)
    }

    /// Leaves the deepest level, where nothing fits.
    fn step_back(&mut self) {
        let Some(left) = self.levels.pop() else { return };
        let depth = self.levels.len();
        if depth > self.farthest.order.len() || self.farthest.candidates.is_empty() {
            self.farthest = Stuck {
                order: self.levels.iter().map(Level::chosen).collect(),
                candidates: left.candidates,
                state: format!("{:?}", left.state),
            };
        }
        if let Some(operation) = self.levels.last().map(Level::chosen) {
            self.taken = self.with(operation);
            self.timeline.put_back(operation);
            self.places.put_back(operation);
            self.readers.put_back(operation);
        }
    }

    /// The label of the set that has `operation` where the present one has not, or the reverse.
    fn with(&self, operation: usize) -> (u64, u64) {
        let label = self.labels[operation];
        (self.taken.0 ^ label.0, self.taken.1 ^ label.1)
    }
}

impl Places {
    fn new<M: Model>(model: &M, operations: &[&Operation<M::Input, M::Output>]) -> Self {
        let places: Vec<_> = operations
            .iter()
            .map(|operation| model.place(&operation.input, operation.output()?))
            .collect();
        let has_place: Vec<_> = places.iter().map(Option::is_some).collect();
        let mut ordered: Vec<_> = (0..operations.len()).filter(|n| has_place[*n]).collect();
        ordered.sort_by_key(|n| places[*n]);
        Self { ordered, has_place, next: 0 }
    }

    fn may_come(&self, operation: usize) -> bool {
        !self.has_place[operation] || self.ordered.get(self.next) == Some(&operation)
    }

    fn take(&mut self, operation: usize) {
        self.next += usize::from(self.has_place[operation]);
    }

    fn put_back(&mut self, operation: usize) {
        self.next -= usize::from(self.has_place[operation]);
    }
}

/// How many are still to come that found each version; nothing, where that is not known.
#[derive(Default)]
struct Readers {
    /// By version: what each operation wrote, then what was there at the beginning of each key.
    left: Vec<u32>,
    /// By operation: its key, the version that it found, and whether it made one.
    seen: Vec<(usize, Option<usize>, bool)>,
    /// By key, the versions so far.
    past: Vec<Vec<usize>>,
}

impl Readers {
    fn new<M: Model>(model: &M, operations: &[&Operation<M::Input, M::Output>]) -> Self {
        let Ok(Versions { seen, .. }) = model.versions(operations) else { return Self::default() };
        let keys = seen.iter().map(|seen| seen.key + 1).max().unwrap_or_default();
        let initial = |key: usize| seen.len() + key;
        let reads = |(n, seen): (usize, &Seen)| match seen.reads? {
            // Who was not answered may not have happened.
            _ if operations[n].returned.is_none() => None,
            Version::Initial => Some(initial(seen.key)),
            Version::Of(write) => Some(write),
        };
        let past = (0..keys).map(|key| vec![initial(key)]).collect();
        let mut left = vec![0; seen.len() + keys];
        let seen: Vec<_> =
            seen.iter().enumerate().map(|it| (it.1.key, reads(it), it.1.writes)).collect();
        seen.iter().filter_map(|(_, reads, _)| *reads).for_each(|version| left[version] += 1);
        Self { left, seen, past }
    }

    fn may_come(&self, operation: usize) -> bool {
        let Some(&(key, reads, true)) = self.seen.get(operation) else { return true };
        let now = self.past[key].last().copied();
        now.is_none_or(|now| self.left[now] == u32::from(reads == Some(now)))
    }

    fn take(&mut self, operation: usize) {
        let Some(&(key, reads, writes)) = self.seen.get(operation) else { return };
        reads.iter().for_each(|version| self.left[*version] -= 1);
        if writes {
            self.past[key].push(operation);
        }
    }

    fn put_back(&mut self, operation: usize) {
        let Some(&(key, reads, writes)) = self.seen.get(operation) else { return };
        reads.iter().for_each(|version| self.left[*version] += 1);
        if writes {
            self.past[key].pop();
        }
    }
}

/// What is remembered is random already.
#[derive(Default)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only labels are hashed");
    }

    fn write_u64(&mut self, label: u64) {
        self.0 ^= label;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The project's hash as a hasher of states.
#[derive(Default)]
struct StateHasher(synod_codec::Hash);

impl Hasher for StateHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}
