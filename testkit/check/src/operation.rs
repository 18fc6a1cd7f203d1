//! One line of a history: who asked what and when, and what came back.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// One operation of one client. Times are of one clock for the whole history, in any unit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation<I, O> {
    /// Who asked. Tells nothing about order: a client may have many operations under way.
    pub client: u64,
    /// When it was asked.
    pub invoked: u64,
    /// What was asked.
    pub input: I,
    /// What came back; `None` if that is unknown, so that it may take effect at any time after
    /// `invoked`, or never.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub returned: Option<Return<O>>,
}

/// The end of an operation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Return<O> {
    /// When the answer came.
    pub at: u64,
    /// The answer.
    pub output: O,
}

impl<I, O> Operation<I, O> {
    /// An operation that was asked at the start of `time` and answered `output` at its end.
    pub fn returned(client: u64, time: RangeInclusive<u64>, input: I, output: O) -> Self {
        let returned = Some(Return { at: *time.end(), output });
        Self { client, invoked: *time.start(), input, returned }
    }

    /// An operation whose fate is unknown.
    pub fn unknown(client: u64, invoked: u64, input: I) -> Self {
        Self { client, invoked, input, returned: None }
    }

    /// The answer, if there was one.
    pub fn output(&self) -> Option<&O> {
        self.returned.as_ref().map(|returned| &returned.output)
    }
}

impl<I: fmt::Display, O: fmt::Display> fmt::Display for Operation<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.returned {
            Some(Return { at, output }) => {
                let (from, input, client) = (self.invoked, &self.input, self.client);
                write!(f, "{from}..{at} client {client}: {input} -> {output}")
            }
            None => {
                write!(f, "{}.. client {}: {} -> unknown", self.invoked, self.client, self.input)
            }
        }
    }
}
