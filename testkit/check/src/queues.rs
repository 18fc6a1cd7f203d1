//! The model of queues: first in, first out; each key is a queue of its own.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::sequence::Sequence;
use crate::text::{Key, Quoted};
use crate::versions::{Unclear, Versions};
use crate::{Model, Operation, text};

/// The model; it has no knobs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queues;

/// What is asked of one queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Input {
    /// To have this at its end.
    Enqueue {
        /// Which queue.
        #[serde(default, with = "text")]
        key: Bytes,
        /// What.
        #[serde(with = "text")]
        value: Bytes,
    },
    /// To give its first value away.
    Dequeue {
        /// Which queue.
        #[serde(default, with = "text")]
        key: Bytes,
    },
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Output {
    /// The value stands in the queue.
    Enqueued,
    /// What was taken.
    Dequeued(#[serde(with = "text")] Bytes),
    /// There was nothing to take.
    Empty,
}

impl Model for Queues {
    type Input = Input;
    type Output = Output;
    type State = Sequence;
    type Key = Key;

    fn key(&self, input: &Input) -> Key {
        Key(input.key().clone())
    }

    fn initial(&self) -> Sequence {
        Sequence::default()
    }

    fn step(&self, state: &Sequence, input: &Input, output: Option<&Output>) -> Option<Sequence> {
        let mut after = state.clone();
        match (input, output) {
            (Input::Enqueue { value, .. }, None | Some(Output::Enqueued)) => {
                after.push(value.clone());
                Some(after)
            }
            (Input::Dequeue { .. }, None) => {
                after.pop();
                Some(after)
            }
            (Input::Dequeue { .. }, Some(Output::Dequeued(value))) => {
                (after.pop().as_ref() == Some(value)).then_some(after)
            }
            (Input::Dequeue { .. }, Some(Output::Empty)) => {
                after.first().is_none().then_some(after)
            }
            (Input::Enqueue { .. }, Some(Output::Dequeued(_) | Output::Empty))
            | (Input::Dequeue { .. }, Some(Output::Enqueued)) => None,
        }
    }

    fn changes(&self, _: &Input, output: Option<&Output>) -> bool {
        output != Some(&Output::Empty)
    }

    fn shows(&self, input: &Input, _: &Input, answer: &Output) -> bool {
        matches!((input, answer), (Input::Enqueue { value, .. }, Output::Dequeued(taken)) if value == taken)
    }

    fn leaves_signs(&self, input: &Input) -> bool {
        matches!(input, Input::Enqueue { .. })
    }

    fn versions(&self, operations: &[&Operation<Input, Output>]) -> Result<Versions, Unclear> {
        let lives = Lives::of(operations)?;
        match lives.never_taken(operations).or_else(|| lives.overtaken(operations)) {
            Some(guilty) => Err(Unclear::Impossible(guilty)),
            None => Err(Unclear::Ambiguous("is a queue, which has no versions".into())),
        }
    }
}

/// Who brought and who took each value, where no value was brought twice. What then cannot be was put
/// together by Henzinger, Sezgin and Vafeiadis (*Aspect-oriented linearizability proofs*, 2013); not all
/// of it is looked for here, since the search decides.
struct Lives {
    /// By value: the enqueue, and the dequeue if there was one.
    of: BTreeMap<Bytes, (usize, Option<usize>)>,
    /// Whether some dequeue may have taken a value that nobody knows of.
    is_open: bool,
}

impl Lives {
    fn of(operations: &[&Operation<Input, Output>]) -> Result<Self, Unclear> {
        let mut lives = Self { of: BTreeMap::new(), is_open: false };
        for (place, operation) in operations.iter().enumerate() {
            if let Input::Enqueue { value, .. } = &operation.input
                && lives.of.insert(value.clone(), (place, None)).is_some()
            {
                return Err(Unclear::Ambiguous(format!("has {} twice", Quoted(value))));
            }
        }
        for (place, operation) in operations.iter().enumerate() {
            match (&operation.input, operation.output()) {
                (Input::Dequeue { .. }, Some(Output::Dequeued(value))) => {
                    let Some((enqueue, taken)) = lives.of.get_mut(value) else {
                        return Err(Unclear::Impossible(vec![place]));
                    };
                    if let Some(other) = taken.replace(place) {
                        return Err(Unclear::Impossible(vec![*enqueue, other, place]));
                    }
                }
                (Input::Dequeue { .. }, None) => lives.is_open = true,
                (Input::Enqueue { .. }, _)
                | (Input::Dequeue { .. }, Some(Output::Empty | Output::Enqueued)) => {}
            }
        }
        Ok(lives)
    }

    /// A value that was surely there while somebody found the queue empty, or forever although a later
    /// one was taken: the operations that show it.
    fn never_taken(&self, operations: &[&Operation<Input, Output>]) -> Option<Vec<usize>> {
        let empty = |place: &usize| operations[*place].output() == Some(&Output::Empty);
        self.find(operations, (0..operations.len()).filter(empty).map(|place| (place, place)))
    }

    /// A value that was brought before another, and taken after it.
    fn overtaken(&self, operations: &[&Operation<Input, Output>]) -> Option<Vec<usize>> {
        self.find(operations, self.of.values().filter_map(|(from, to)| Some((*from, (*to)?))))
    }

    /// A value that was brought before the first of a pair began, and not taken until its second ended.
    fn find(
        &self,
        operations: &[&Operation<Input, Output>],
        pairs: impl Iterator<Item = (usize, usize)>,
    ) -> Option<Vec<usize>> {
        let begin = |place: usize| operations[place].invoked;
        let end = |place: usize| operations[place].returned.as_ref().map_or(u64::MAX, |it| it.at);
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_by_key(|(first, _)| begin(*first));
        let mut lives: Vec<_> = self.of.values().collect();
        lives.sort_by_key(|(enqueue, _)| end(*enqueue));
        let mut lives = lives.into_iter().peekable();
        // Of those that were brought so far, the one that stays longest.
        let mut longest: Option<(u64, usize, Option<usize>)> = None;
        for (first, second) in pairs {
            while let Some((enqueue, taken)) = lives.next_if(|(it, _)| end(*it) < begin(first)) {
                let until = match taken {
                    Some(dequeue) => begin(*dequeue),
                    None if self.is_open => continue,
                    None => u64::MAX,
                };
                if longest.is_none_or(|(known, ..)| known < until) {
                    longest = Some((until, *enqueue, *taken));
                }
            }
            if let Some((until, enqueue, taken)) = longest
                && end(second) < until
            {
                let mut guilty: Vec<_> =
                    [enqueue, first, second].into_iter().chain(taken).collect();
                guilty.sort_unstable();
                guilty.dedup();
                return Some(guilty);
            }
        }
        None
    }
}

impl Input {
    /// The queue that it is about.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Enqueue { key, .. } | Self::Dequeue { key } => key,
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enqueue { key, value } => write!(f, "enqueue {} {}", Quoted(key), Quoted(value)),
            Self::Dequeue { key } => write!(f, "dequeue {}", Quoted(key)),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enqueued => write!(f, "enqueued"),
            Self::Dequeued(value) => write!(f, "{}", Quoted(value)),
            Self::Empty => write!(f, "empty"),
        }
    }
}
