//! The model of a key-value store that can be asked for ranges of keys.
//!
//! Each key is a [register](crate::registers). A range shows many of them at one instant, so keys that
//! some range of the history covers are judged together; all others alone. Where answers tell
//! revisions, they are of the whole store.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;

use bytes::Bytes;
use imbl::OrdMap;
use serde::{Deserialize, Deserializer, Serialize};

use crate::registers::{self, Register, Registers};
use crate::text::{Key, Quoted};
use crate::{Model, Operation, text};

/// The model, which knows the ranges of a history.
#[derive(Clone, Debug, Default)]
pub struct Maps {
    /// What ranges cover, in order; they do not overlap.
    spans: Vec<Span>,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum Input {
    /// Of one key.
    One(registers::Input),
    /// What a range of keys holds.
    Many {
        /// Which.
        range: Range,
    },
}

/// A range of keys, in the order of their bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first.
    #[serde(default, with = "text")]
    pub from: Bytes,
    /// The first that does not belong to it; without it all keys from the first on do.
    #[serde(default, with = "text::option", skip_serializing_if = "Option::is_none")]
    pub to: Option<Bytes>,
    /// Only so many, the first ones; without it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(untagged)]
pub enum Output {
    /// Of one key.
    One(registers::Output),
    /// What the range holds, in the order of keys.
    Many {
        /// Each key that is there.
        entries: Vec<Entry>,
    },
}

/// A key of a range.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The key.
    #[serde(with = "text")]
    pub key: Bytes,
    /// Its value.
    #[serde(with = "text")]
    pub value: Bytes,
    /// The revision of its last change, if the answer tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// Keys that are judged together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// One that no range covers.
    One(Key),
    /// All within ranges that touch each other.
    Span(Span),
}

/// From the first key to the one after the last.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    from: Bytes,
    to: Option<Bytes>,
}

/// What is known of keys that are judged together.
#[derive(Clone, Default)]
pub struct Held {
    registers: OrdMap<Bytes, Register>,
    hash: u64,
}

impl Maps {
    /// The model for this history.
    #[must_use]
    pub fn of(history: &[Operation<Input, Output>]) -> Self {
        let ranges = history.iter().filter_map(|operation| match &operation.input {
            Input::One(_) => None,
            Input::Many { range } => Some(Span { from: range.from.clone(), to: range.to.clone() }),
        });
        let is_empty = |span: &Span| span.to.as_ref().is_some_and(|to| *to <= span.from);
        let mut ranges: Vec<_> = ranges.filter(|span| !is_empty(span)).collect();
        ranges.sort();
        let mut spans = Vec::<Span>::new();
        for range in ranges {
            match spans.last_mut() {
                Some(last) if last.to.as_ref().is_none_or(|to| *to > range.from) => {
                    // No end is beyond every end.
                    last.to = last.to.take().zip(range.to).map(|(one, other)| one.max(other));
                }
                _ => spans.push(range),
            }
        }
        Self { spans }
    }

    fn part(&self, key: &Bytes) -> Part {
        let after = self.spans.partition_point(|span| span.from <= *key);
        let span = after.checked_sub(1).map(|place| &self.spans[place]);
        match span.filter(|span| span.to.as_ref().is_none_or(|to| key < to)) {
            Some(span) => Part::Span(span.clone()),
            None => Part::One(Key(key.clone())),
        }
    }
}

impl Model for Maps {
    type Input = Input;
    type Output = Output;
    type State = Held;
    type Key = Part;

    fn key(&self, input: &Input) -> Part {
        match input {
            Input::One(input) => self.part(input.key()),
            Input::Many { range } => self.part(&range.from),
        }
    }

    fn initial(&self) -> Held {
        Held::default()
    }

    fn step(&self, state: &Held, input: &Input, output: Option<&Output>) -> Option<Held> {
        match (input, output) {
            (Input::One(input), None) => state.asked(input, None),
            (Input::One(input), Some(Output::One(output))) => state.asked(input, Some(output)),
            (Input::Many { .. }, None) => Some(state.clone()),
            (Input::Many { range }, Some(Output::Many { entries })) => state.listed(range, entries),
            (Input::One(_), Some(Output::Many { .. }))
            | (Input::Many { .. }, Some(Output::One(_))) => None,
        }
    }

    fn changes(&self, input: &Input, output: Option<&Output>) -> bool {
        match (input, output) {
            (Input::One(input), Some(Output::One(output))) => {
                Registers.changes(input, Some(output))
            }
            (Input::One(input), None) => Registers.changes(input, None),
            (Input::One(_), Some(Output::Many { .. })) => true,
            (Input::Many { .. }, _) => false,
        }
    }

    fn shows(&self, input: &Input, asked: &Input, answer: &Output) -> bool {
        let Input::One(input) = input else { return false };
        match (asked, answer) {
            (Input::One(asked), Output::One(answer)) => {
                input.key() == asked.key() && Registers.shows(input, asked, answer)
            }
            (Input::Many { .. }, Output::Many { entries }) => entries.iter().any(|entry| {
                let found = registers::Output::Value {
                    value: Some(entry.value.clone()),
                    revision: entry.revision,
                };
                let asked = registers::Input::Get { key: entry.key.clone() };
                *input.key() == entry.key && Registers.shows(input, &asked, &found)
            }),
            (Input::One(_), Output::Many { .. }) | (Input::Many { .. }, Output::One(_)) => false,
        }
    }

    fn leaves_signs(&self, input: &Input) -> bool {
        matches!(input, Input::One(input) if Registers.leaves_signs(input))
    }

    fn place(&self, input: &Input, output: &Output) -> Option<u64> {
        match (input, output) {
            (Input::One(input), Output::One(output)) => Registers.place(input, output),
            (Input::One(_) | Input::Many { .. }, _) => None,
        }
    }
}

impl Held {
    fn register(&self, key: &Bytes) -> Register {
        self.registers.get(key).cloned().unwrap_or_else(|| Registers.initial())
    }

    /// After an operation on one key.
    fn asked(&self, input: &registers::Input, output: Option<&registers::Output>) -> Option<Self> {
        let before = self.register(input.key());
        let after = Registers.step(&before, input, output)?;
        Some(self.with(input.key(), &before, after))
    }

    fn with(&self, key: &Bytes, before: &Register, after: Register) -> Self {
        if *before == after {
            return self.clone();
        }
        let hash = self.hash ^ hash_of(key, before) ^ hash_of(key, &after);
        Self { registers: self.registers.update(key.clone(), after), hash }
    }

    /// After a range was found to hold these.
    fn listed(&self, range: &Range, entries: &[Entry]) -> Option<Self> {
        let end = range.to.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        if range.to.as_ref().is_some_and(|to| *to <= range.from) {
            return entries.is_empty().then(|| self.clone());
        }
        let there = self.registers.range::<_, Bytes>((Bound::Included(&range.from), end));
        let there = there.filter(|(_, register)| register.is_there());
        let mut there = there.take(range.limit.unwrap_or(usize::MAX));
        let mut after = self.clone();
        for entry in entries {
            let (key, register) = there.next()?;
            if *key != entry.key {
                return None;
            }
            let found = registers::Output::Value {
                value: Some(entry.value.clone()),
                revision: entry.revision,
            };
            after = after.with(key, register, register.found(Some(&found))?);
        }
        there.next().is_none().then_some(after)
    }
}

/// A register that nobody has touched counts for nothing.
fn hash_of(key: &Bytes, register: &Register) -> u64 {
    if *register == Registers.initial() {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    (key, register).hash(&mut hasher);
    hasher.finish()
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && (self.registers.ptr_eq(&other.registers) || self.registers == other.registers)
    }
}

impl Hash for Held {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.hash.hash(hasher);
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let input = match value.get("range") {
            Some(range) => Range::deserialize(range).map(|range| Self::Many { range }),
            None => registers::Input::deserialize(value).map(Self::One),
        };
        input.map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Output {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let output = match value.get("entries") {
            Some(entries) => Vec::deserialize(entries).map(|entries| Self::Many { entries }),
            None => registers::Output::deserialize(value).map(Self::One),
        };
        output.map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(input) => write!(f, "{input}"),
            Self::Many { range: Range { from, to, limit } } => {
                write!(f, "range {}..", Quoted(from))?;
                to.iter().try_for_each(|to| write!(f, "{}", Quoted(to)))?;
                limit.iter().try_for_each(|limit| write!(f, ", at most {limit}"))
            }
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = match self {
            Self::One(output) => return write!(f, "{output}"),
            Self::Many { entries } => entries,
        };
        if entries.is_empty() {
            return write!(f, "no keys");
        }
        for (place, Entry { key, value, revision }) in entries.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{} = {}", Quoted(key), Quoted(value))?;
            revision.iter().try_for_each(|revision| write!(f, " at {revision}"))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(key) => write!(f, "{key:?}"),
            Self::Span(Span { from, to }) => {
                write!(f, "{}..", Quoted(from))?;
                to.iter().try_for_each(|to| write!(f, "{}", Quoted(to)))
            }
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there: Vec<_> =
            self.registers.iter().filter(|(_, register)| register.is_there()).collect();
        match &there[..] {
            [] => write!(f, "no keys"),
            there => {
                for (place, (key, register)) in there.iter().enumerate() {
                    let comma = if place > 0 { ", " } else { "" };
                    write!(f, "{comma}{} with {register:?}", Quoted(key))?;
                }
                Ok(())
            }
        }
    }
}
