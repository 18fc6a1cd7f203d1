//! The model of a key-value store: each key is a register with put, append, delete, compare-and-swap
//! and get.
//!
//! Answers may carry revisions. Where they do, they are evidence: the writes of a key took effect in
//! the order of their revisions, and a get finds the revision of the last write before it. Operations
//! on ranges are of [another model](crate::maps); comparisons by revision are not judged, leave them out.
//!
//! A recorder that wants quick verdicts writes values of which none contains another (`[1]`, `[2]`,
//! and so on), records revisions, and spreads its load over so many keys that few operations of
//! unknown fate meet on one key: some ten are no trouble, fifty may be too many.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::text::{Key, Quoted};
use crate::versions::{Unclear, Versions};
use crate::{Model, Operation, text};

mod versions;

/// The model; it has no knobs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Registers;

/// What is asked of one key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Input {
    /// Its value.
    #[serde(alias = "read")]
    Get {
        /// Which key.
        #[serde(default, with = "text")]
        key: Bytes,
    },
    /// To have this value from now on.
    #[serde(alias = "write")]
    Put {
        /// Which key.
        #[serde(default, with = "text")]
        key: Bytes,
        /// The new value.
        #[serde(with = "text")]
        value: Bytes,
    },
    /// To have this at the end of its value; an absent key counts as empty.
    Append {
        /// Which key.
        #[serde(with = "text")]
        key: Bytes,
        /// What to add.
        #[serde(with = "text")]
        value: Bytes,
    },
    /// To be gone.
    Delete {
        /// Which key.
        #[serde(with = "text")]
        key: Bytes,
    },
    /// To have a new value if it is as expected.
    Cas {
        /// Which key.
        #[serde(default, with = "text")]
        key: Bytes,
        /// The value that it must have; `None`: it must be absent.
        #[serde(with = "text::option")]
        expect: Option<Bytes>,
        /// The new value.
        #[serde(with = "text")]
        value: Bytes,
    },
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Output {
    /// What a get found.
    Value {
        /// The value; `None`: no such key.
        #[serde(with = "text::option")]
        value: Option<Bytes>,
        /// The revision of the key's last change, if there is such a key and the answer tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<u64>,
    },
    /// The key was changed.
    Written {
        /// The revision of this change, if the answer tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<u64>,
    },
    /// There was no such key to delete.
    Absent,
    /// The compare-and-swap found something else.
    Differs,
}

/// What is known of one key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Register {
    value: Option<Bytes>,
    /// The revision of the last change is this, or above where it is not `exact`.
    revision: u64,
    exact: bool,
}

impl Model for Registers {
    type Input = Input;
    type Output = Output;
    type State = Register;
    type Key = Key;

    fn key(&self, input: &Input) -> Key {
        Key(input.key().clone())
    }

    fn initial(&self) -> Register {
        Register { value: None, revision: 0, exact: false }
    }

    fn step(&self, state: &Register, input: &Input, output: Option<&Output>) -> Option<Register> {
        let value = state.value.as_ref();
        let after = match input {
            Input::Get { .. } => return state.found(output),
            Input::Put { value, .. } => Some(value.clone()),
            Input::Append { value: tail, .. } => match value {
                Some(value) => Some([&value[..], &tail[..]].concat().into()),
                None => Some(tail.clone()),
            },
            Input::Delete { .. } if value.is_none() => return state.kept(output, &Output::Absent),
            Input::Delete { .. } => None,
            Input::Cas { expect, .. } if value != expect.as_ref() => {
                return state.kept(output, &Output::Differs);
            }
            Input::Cas { value, .. } => Some(value.clone()),
        };
        state.changed(after, output)
    }

    fn changes(&self, input: &Input, output: Option<&Output>) -> bool {
        let refused = matches!(output, Some(Output::Absent | Output::Differs));
        !refused && !matches!(input, Input::Get { .. })
    }

    fn covers(&self, wide: &Register, narrow: &Register) -> bool {
        wide == narrow
            || wide.value == narrow.value && !wide.exact && wide.revision <= narrow.revision
    }

    fn shows(&self, input: &Input, asked: &Input, answer: &Output) -> bool {
        let (Input::Put { value, .. } | Input::Append { value, .. } | Input::Cas { value, .. }) =
            input
        else {
            return false;
        };
        let seen = match (asked, answer) {
            (_, Output::Value { value: Some(seen), .. }) => seen,
            (Input::Cas { expect: Some(seen), .. }, Output::Written { .. }) => seen,
            _ => return false,
        };
        value.is_empty() || seen.windows(value.len()).any(|part| part == value)
    }

    fn leaves_signs(&self, input: &Input) -> bool {
        !matches!(input, Input::Get { .. } | Input::Delete { .. })
    }

    fn place(&self, _: &Input, output: &Output) -> Option<u64> {
        match output {
            Output::Written { revision } => *revision,
            Output::Value { .. } | Output::Absent | Output::Differs => None,
        }
    }

    fn versions(&self, operations: &[&Operation<Input, Output>]) -> Result<Versions, Unclear> {
        versions::versions(operations)
    }
}

impl Register {
    /// Whether there is such a key.
    pub(crate) fn is_there(&self) -> bool {
        self.value.is_some()
    }

    /// After a get.
    pub(crate) fn found(&self, output: Option<&Output>) -> Option<Self> {
        let (value, revision) = match output {
            None => return Some(self.clone()),
            Some(Output::Value { value, revision }) => (value, revision),
            Some(Output::Written { .. } | Output::Absent | Output::Differs) => return None,
        };
        if *value != self.value {
            return None;
        }
        match revision {
            None => Some(self.clone()),
            Some(found) if self.exact => (*found == self.revision).then(|| self.clone()),
            Some(found) if *found < self.revision => None,
            Some(found) => Some(Self { value: value.clone(), revision: *found, exact: true }),
        }
    }

    /// After an operation that changed nothing, which it must have said.
    fn kept(&self, output: Option<&Output>, expected: &Output) -> Option<Self> {
        output.is_none_or(|output| output == expected).then(|| self.clone())
    }

    /// After a change to `value`.
    fn changed(&self, value: Option<Bytes>, output: Option<&Output>) -> Option<Self> {
        match output {
            None | Some(Output::Written { revision: None }) => {
                Some(Self { value, revision: self.revision + 1, exact: false })
            }
            Some(Output::Written { revision: Some(revision) }) => (*revision > self.revision)
                .then_some(Self { value, revision: *revision, exact: true }),
            Some(Output::Value { .. } | Output::Absent | Output::Differs) => None,
        }
    }
}

impl Input {
    /// The key that it is about.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        match self {
            Self::Get { key }
            | Self::Put { key, .. }
            | Self::Append { key, .. }
            | Self::Delete { key }
            | Self::Cas { key, .. } => key,
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get { key } => write!(f, "get {}", Quoted(key)),
            Self::Put { key, value } => write!(f, "put {} {}", Quoted(key), Quoted(value)),
            Self::Append { key, value } => write!(f, "append {} {}", Quoted(key), Quoted(value)),
            Self::Delete { key } => write!(f, "delete {}", Quoted(key)),
            Self::Cas { key, expect: Some(expect), value } => {
                write!(f, "cas {} {} {}", Quoted(key), Quoted(expect), Quoted(value))
            }
            Self::Cas { key, expect: None, value } => {
                write!(f, "cas {} absent {}", Quoted(key), Quoted(value))
            }
        }
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revision = match self {
            Self::Value { value, revision } => {
                match value {
                    Some(value) => write!(f, "{}", Quoted(value))?,
                    None => write!(f, "no such key")?,
                }
                revision
            }
            Self::Written { revision } => {
                write!(f, "written")?;
                revision
            }
            Self::Absent => return write!(f, "no such key"),
            Self::Differs => return write!(f, "differs"),
        };
        revision.map_or(Ok(()), |revision| write!(f, " at revision {revision}"))
    }
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "the value {}", Quoted(value))?,
            None => write!(f, "no such key")?,
        }
        let bound = if self.exact { "" } else { " or above" };
        write!(f, " at revision {}{bound}", self.revision)
    }
}
