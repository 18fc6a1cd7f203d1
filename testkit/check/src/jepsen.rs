//! Histories as Jepsen writes them: `history.edn`, and `history.txt` with its tabs.
//!
//! ```text
//! {:process 0, :type :invoke, :f :cas, :value [1 2], :index 4}
//! 0    :ok    :cas    [1 2]
//! ```
//!
//! The workload is registers: `:read`, `:write`, and `:cas` of two values. Where every read and write has a pair
//! for its value, the first of it is the key (`jepsen.independent`); else there is one register. The order of
//! the lines is taken for time. `:info`, and a line that never comes, leave the fate of an operation
//! unknown; what failed had no effect and is left out.

use std::collections::BTreeMap;
use std::io::BufRead;

use bytes::Bytes;
use clojure_reader::edn::{self, Edn};

use crate::Operation;
use crate::file::{ReadError, next_line};
use crate::registers::{Input, Output};

/// Most brackets that are open at once: the reader of values recurses.
const MAX_DEPTH: usize = 32;

/// One line.
struct Event {
    line: u64,
    process: u64,
    kind: Kind,
    asks: String,
    value: Value,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Invoke,
    Ok,
    Fail,
    Info,
}

/// A value of the history: a pair may be a key with a value, or the two of a compare-and-swap.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Value {
    Nil,
    One(Bytes),
    Pair(Box<(Value, Value)>),
}

/// Reads a whole history.
///
/// # Errors
/// [`ReadError`], with the number of the line.
pub fn read(mut from: impl BufRead) -> Result<Vec<Operation<Input, Output>>, ReadError> {
    let mut events = Vec::new();
    let mut text = Vec::new();
    for line in 1.. {
        if !next_line(&mut from, &mut text, line)? {
            break;
        }
        let text = str::from_utf8(&text).map_err(|error| ReadError::at(line, error))?;
        events.extend(parse(line, text.trim())?);
    }
    let is_pair = |event: &Event| matches!(event.value, Value::Pair(_));
    let mut plain = events.iter().filter(|event| event.asks != "cas");
    let has_keys = plain.clone().next().is_some() && plain.all(is_pair);
    assemble(&events, has_keys)
}

/// Puts what was asked together with what came back.
fn assemble(events: &[Event], has_keys: bool) -> Result<Vec<Operation<Input, Output>>, ReadError> {
    let mut open = BTreeMap::<u64, Operation<Input, Output>>::new();
    let mut history = Vec::new();
    for event in events {
        let Event { line, process, .. } = *event;
        let (key, value) = if has_keys {
            event.value.clone().keyed(line)?
        } else {
            (Bytes::from_static(b"register"), event.value.clone())
        };
        if event.kind == Kind::Invoke {
            let input = input(event, key, value)?;
            if open.insert(process, Operation::unknown(process, line, input)).is_some() {
                let why = format!("process {process} has not been answered yet");
                return Err(ReadError::at(line, why));
            }
            continue;
        }
        let Some(asked) = open.remove(&process) else {
            return Err(ReadError::at(line, format!("process {process} did not ask")));
        };
        match event.kind {
            Kind::Ok => {
                let output = output(event, &asked.input, value)?;
                let Operation { client, invoked, input, .. } = asked;
                history.push(Operation::returned(client, invoked..=line, input, output));
            }
            Kind::Info => history.push(asked),
            Kind::Fail | Kind::Invoke => {}
        }
    }
    history.extend(open.into_values());
    history.sort_by_key(|operation| operation.invoked);
    Ok(history)
}

fn input(event: &Event, key: Bytes, value: Value) -> Result<Input, ReadError> {
    match (event.asks.as_str(), value) {
        ("read", _) => Ok(Input::Get { key }),
        ("write", Value::One(value)) => Ok(Input::Put { key, value }),
        ("cas", Value::Pair(pair)) => match *pair {
            (expect, Value::One(value)) => {
                Ok(Input::Cas { key, expect: expect.one(event.line)?, value })
            }
            _ => Err(ReadError::at(event.line, "a cas to nothing")),
        },
        (asks, value) => Err(ReadError::at(
            event.line,
            format!(":{asks} of {value:?} is no operation on a register"),
        )),
    }
}

fn output(event: &Event, input: &Input, value: Value) -> Result<Output, ReadError> {
    Ok(match input {
        Input::Get { .. } => Output::Value { value: value.one(event.line)?, revision: None },
        Input::Put { .. } | Input::Append { .. } | Input::Delete { .. } | Input::Cas { .. } => {
            Output::Written { revision: None }
        }
    })
}

impl Value {
    /// A key, and what is meant by the rest.
    fn keyed(self, line: u64) -> Result<(Bytes, Self), ReadError> {
        match self {
            Self::Pair(pair) => {
                let (key, value) = *pair;
                Ok((key.one(line)?.unwrap_or_default(), value))
            }
            Self::Nil | Self::One(_) => {
                Err(ReadError::at(line, "a value without a key, where others have one"))
            }
        }
    }

    fn one(self, line: u64) -> Result<Option<Bytes>, ReadError> {
        match self {
            Self::Nil => Ok(None),
            Self::One(value) => Ok(Some(value)),
            Self::Pair(_) => Err(ReadError::at(line, "two values where one belongs")),
        }
    }

    fn of(edn: &Edn<'_>) -> Self {
        match edn {
            Edn::Nil => Self::Nil,
            Edn::Vector(parts) | Edn::List(parts) => match &parts[..] {
                [first, second] => Self::Pair(Box::new((Self::of(first), Self::of(second)))),
                _ => Self::One(edn.to_string().into()),
            },
            Edn::Tagged(_, tagged) => Self::of(tagged),
            Edn::Str(text) => Self::One(Bytes::copy_from_slice(text.as_bytes())),
            other => Self::One(other.to_string().into()),
        }
    }
}

/// What a line says; nothing, if it is empty, or is about the nemesis.
fn parse(line: u64, text: &str) -> Result<Option<Event>, ReadError> {
    let failed = |error| ReadError::at(line, format!("{error:?}"));
    if text.is_empty() || text.starts_with(';') {
        return Ok(None);
    }
    if is_deep(text) {
        return Err(ReadError::at(line, "nested too deep for a value of a register"));
    }
    let (process, kind, asks, value) = if text.starts_with(['{', '#']) {
        let edn = edn::read_string(text).map_err(failed)?;
        let map = match &edn {
            Edn::Tagged(_, tagged) => &**tagged,
            other => other,
        };
        let field = |name| match map {
            Edn::Map(fields) => fields.get(&Edn::Key(name)).cloned(),
            _ => None,
        };
        let missing = |name: &str| ReadError::at(line, format!("it has no :{name}"));
        let word = |name| match field(name) {
            Some(Edn::Key(word)) => Ok(word.to_owned()),
            _ => Err(missing(name)),
        };
        let process = field("process").ok_or_else(|| missing("process"))?;
        (
            process.to_string(),
            word("type")?,
            word("f")?,
            field("value").map_or(Value::Nil, |it| Value::of(&it)),
        )
    } else {
        let text = text.rsplit(" - ").next().unwrap_or(text);
        let mut words = text.split('\t').map(str::trim);
        let [Some(process), Some(kind), Some(asks), value] =
            [words.next(), words.next(), words.next(), words.next()]
        else {
            return Err(ReadError::at(line, "neither a map nor words between tabs"));
        };
        let value = edn::read_string(value.unwrap_or("nil")).map_err(failed)?;
        let word = |word: &str| word.trim_start_matches(':').to_owned();
        (process.to_owned(), word(kind), word(asks), Value::of(&value))
    };
    if process.trim_start_matches(':') == "nemesis" {
        return Ok(None);
    }
    let process =
        process.parse().map_err(|_| ReadError::at(line, format!("{process} is no process")))?;
    let kind = match kind.as_str() {
        "invoke" => Kind::Invoke,
        "ok" => Kind::Ok,
        "fail" => Kind::Fail,
        "info" => Kind::Info,
        other => return Err(ReadError::at(line, format!("{other} is no type"))),
    };
    Ok(Some(Event { line, process, kind, asks, value }))
}

/// Whether more brackets are open at once than values have.
fn is_deep(text: &str) -> bool {
    let mut depth = 0usize;
    text.bytes().any(|byte| {
        match byte {
            b'[' | b'(' | b'{' => depth += 1,
            b']' | b')' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH
    })
}
