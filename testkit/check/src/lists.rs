//! The model of append logs: each key holds a list, which grows at its end and is read whole.
//!
//! Where no element is appended twice to one list, a read shows the order of all appends before it, so
//! that most histories need no search (Kingsbury and Alvaro, *Elle*, 2020, build on the same).

use std::collections::{HashMap, HashSet};
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::sequence::Sequence;
use crate::text::{Key, Quoted};
use crate::versions::{Change, Contradiction, Shown, Unclear, Version, Versions};
use crate::{Model, Operation, text};

/// The model, which knows what the longest reads of a history show.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// The place of each element in its list, by list.
    places: HashMap<(Bytes, Bytes), u64>,
}

/// What is asked of one list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Input {
    /// To have this at its end.
    Append {
        /// Which list.
        #[serde(default, with = "text")]
        key: Bytes,
        /// The element.
        #[serde(with = "text")]
        element: Bytes,
    },
    /// All its elements.
    Read {
        /// Which list.
        #[serde(default, with = "text")]
        key: Bytes,
    },
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Output {
    /// The element stands in the list.
    Appended,
    /// The elements, the first first; none if there is no such list.
    List(#[serde(with = "text::list")] Vec<Bytes>),
}

impl Lists {
    /// The model for this history.
    #[must_use]
    pub fn of(history: &[Operation<Input, Output>]) -> Self {
        let mut longest = HashMap::<&Bytes, &[Bytes]>::new();
        for operation in history {
            if let (Input::Read { key }, Some(Output::List(list))) =
                (&operation.input, operation.output())
            {
                let known = longest.entry(key).or_default();
                if list.len() > known.len() {
                    *known = list;
                }
            }
        }
        let mut places = HashMap::new();
        for (key, list) in longest {
            let numbered = (0..).zip(list);
            let own: HashMap<_, u64> =
                numbered.map(|(place, element)| ((key.clone(), element.clone()), place)).collect();
            if own.len() == list.len() {
                places.extend(own);
            }
        }
        // Who appends twice what is read once leaves it open which of them was read.
        let mut appended = HashMap::<(&Bytes, &Bytes), bool>::new();
        for operation in history {
            if let Input::Append { key, element } = &operation.input {
                appended.entry((key, element)).and_modify(|twice| *twice = true).or_default();
            }
        }
        let ambiguous: HashSet<_> =
            appended.into_iter().filter(|(_, twice)| *twice).map(|((key, _), _)| key).collect();
        places.retain(|(key, _), _| !ambiguous.contains(&key));
        Self { places }
    }
}

impl Model for Lists {
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
        match (input, output) {
            (Input::Append { element, .. }, None | Some(Output::Appended)) => {
                let mut state = state.clone();
                state.push(element.clone());
                Some(state)
            }
            (Input::Read { .. }, None) => Some(state.clone()),
            (Input::Read { .. }, Some(Output::List(list))) => {
                let same = list.len() == state.len() && state.iter().eq(list);
                same.then(|| state.clone())
            }
            (Input::Append { .. }, Some(Output::List(_)))
            | (Input::Read { .. }, Some(Output::Appended)) => None,
        }
    }

    fn changes(&self, input: &Input, _: Option<&Output>) -> bool {
        matches!(input, Input::Append { .. })
    }

    fn shows(&self, input: &Input, _: &Input, answer: &Output) -> bool {
        match (input, answer) {
            (Input::Append { element, .. }, Output::List(list)) => list.contains(element),
            (Input::Read { .. }, _) | (Input::Append { .. }, Output::Appended) => false,
        }
    }

    fn leaves_signs(&self, input: &Input) -> bool {
        matches!(input, Input::Append { .. })
    }

    fn place(&self, input: &Input, _: &Output) -> Option<u64> {
        match input {
            Input::Append { key, element } => {
                self.places.get(&(key.clone(), element.clone())).copied()
            }
            Input::Read { .. } => None,
        }
    }

    fn versions(&self, operations: &[&Operation<Input, Output>]) -> Result<Versions, Unclear> {
        let mut writers = HashMap::new();
        let mut shown = Shown::new(operations.len());
        for (place, operation) in operations.iter().enumerate() {
            if let Input::Append { element, .. } = &operation.input {
                shown.writes(place);
                if writers.insert(element, place).is_some() {
                    let why = format!("has {} appended twice", Quoted(element));
                    return Err(Unclear::Ambiguous(why));
                }
            }
        }
        for (place, operation) in operations.iter().enumerate() {
            let (Input::Read { .. }, Some(Output::List(list))) =
                (&operation.input, operation.output())
            else {
                continue;
            };
            let mut last = Version::Initial;
            for element in list {
                let Some(&write) = writers.get(element) else {
                    return Err(Unclear::Impossible(vec![place]));
                };
                let follows = shown.follows(last, write, place);
                follows.map_err(|contradiction| guilty(&contradiction, operations, &writers))?;
                last = Version::Of(write);
            }
            shown.reads(place, last);
        }
        Ok(shown.finish(true, Change::Add, |place| operations[place].returned.is_none()))
    }
}

/// Both reads, and the appends that they show.
fn guilty(
    Contradiction(one, other): &Contradiction,
    operations: &[&Operation<Input, Output>],
    writers: &HashMap<&Bytes, usize>,
) -> Unclear {
    let shown = |read: usize| match operations[read].output() {
        Some(Output::List(list)) => &list[..],
        Some(Output::Appended) | None => &[],
    };
    let writes = shown(*one).iter().chain(shown(*other)).filter_map(|it| writers.get(it)).copied();
    let mut guilty: Vec<_> = writes.chain([*one, *other]).collect();
    guilty.sort_unstable();
    guilty.dedup();
    Unclear::Impossible(guilty)
}

impl Input {
    /// The list that it is about.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Append { key, .. } | Self::Read { key } => key,
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append { key, element } => {
                write!(f, "append {} {}", Quoted(key), Quoted(element))
            }
            Self::Read { key } => write!(f, "read {}", Quoted(key)),
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Appended => write!(f, "appended"),
            Self::List(list) => write!(f, "{}", text::Listed(list)),
        }
    }
}
