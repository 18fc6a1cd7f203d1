//! A history of any model, as it comes from a file, and what may be asked about it.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::io::BufRead;
use std::str::FromStr;

use crate::causal::{self, Level};
use crate::file::{ReadError, Reader};
use crate::lists::Lists;
use crate::maps::{self, Maps};
use crate::multicast::{self, Rule};
use crate::queues::{self, Queues};
use crate::registers::{self, Registers};
use crate::sessions::{self, Guarantee};
use crate::{
    Counterexample, Evidence, Model, Operation, Verdict, check, draw, jepsen, lists, sequential,
};

/// How a history is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// [Lines of JSON](crate::file).
    Synod,
    /// [Jepsen's](crate::jepsen) `history.edn` or `history.txt`.
    Jepsen,
}

/// What was recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Reads and writes of registers.
    Register,
    /// The same, and compare-and-swap.
    Cas,
    /// Appends to lists, and reads of whole lists.
    Append,
    /// A key-value store: put, append, get, delete, compare-and-swap, and ranges.
    Kv,
    /// Queues.
    Queue,
    /// Messages sent to a group.
    Multicast,
}

/// What is asked about a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consistency {
    /// One order, each operation within its time.
    Linearizable,
    /// One order that keeps the order of each client.
    Sequential,
    /// No answer in spite of its causes.
    Causal(Level),
    /// What each client may rely on for itself.
    Session(&'static [Guarantee]),
    /// What is delivered in the end, or in which order.
    Delivery(&'static [Rule]),
}

/// A history of any model.
pub enum History {
    /// Each key a register.
    Registers(Vec<Operation<registers::Input, registers::Output>>),
    /// The same with ranges.
    Maps(Vec<Operation<maps::Input, maps::Output>>),
    /// Lists.
    Lists(Vec<Operation<lists::Input, lists::Output>>),
    /// Queues.
    Queues(Vec<Operation<queues::Input, queues::Output>>),
    /// What processes sent and delivered.
    Multicast(Vec<multicast::Event>),
}

/// What was found.
pub struct Report {
    /// The judgement.
    pub verdict: Verdict,
    /// The story of a violation.
    pub story: Option<String>,
    /// Its picture.
    pub svg: Option<String>,
}

/// How much there is of a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Operations.
    pub operations: usize,
    /// Clients that asked for them.
    pub clients: usize,
    /// Keys that they were about.
    pub keys: usize,
}

impl History {
    /// Reads a history; of the kind that its first line names, if none is given.
    ///
    /// # Errors
    /// [`ReadError`], with the number of the line.
    pub fn read(from: impl BufRead, format: Format, kind: Option<Kind>) -> Result<Self, ReadError> {
        if format == Format::Jepsen {
            let history = jepsen::read(from)?;
            return match kind {
                None | Some(Kind::Register | Kind::Cas | Kind::Kv) => Ok(Self::Registers(history)),
                Some(kind) => {
                    Err(ReadError::at(1, format!("Jepsen's histories of a {kind} are not read")))
                }
            };
        }
        let reader = Reader::new(from)?;
        let named = reader.model().map(str::parse).transpose();
        let named = named.map_err(|why: String| ReadError::at(1, why))?;
        let kind = kind.or(named).unwrap_or(Kind::Kv);
        let read = match kind {
            Kind::Register => reader.operations_of(is_register).map(Self::Registers),
            Kind::Cas => reader.operations_of(is_cas).map(Self::Registers),
            Kind::Kv => reader.operations_of(|_| Ok(())).map(Self::of_maps),
            Kind::Append => reader.operations_of(|_| Ok(())).map(Self::Lists),
            Kind::Queue => reader.operations_of(|_| Ok(())).map(Self::Queues),
            Kind::Multicast => reader.lines(|_| Ok(())).map(Self::Multicast),
        };
        read.map_err(|ReadError { line, why }| {
            let why = format!("{why}; it was read as one of model {kind}, --model names another");
            ReadError { line, why }
        })
    }

    /// Without ranges, each key is a register.
    fn of_maps(history: Vec<Operation<maps::Input, maps::Output>>) -> Self {
        let register = |operation: &Operation<maps::Input, maps::Output>| {
            let maps::Input::One(input) = &operation.input else { return None };
            let returned = match &operation.returned {
                None => None,
                Some(returned) => {
                    let maps::Output::One(output) = &returned.output else { return None };
                    Some(crate::Return { at: returned.at, output: output.clone() })
                }
            };
            let Operation { client, invoked, .. } = *operation;
            Some(Operation { client, invoked, input: input.clone(), returned })
        };
        let registers: Option<Vec<_>> = history.iter().map(register).collect();
        registers.map_or(Self::Maps(history), Self::Registers)
    }

    /// How much there is of it.
    #[must_use]
    pub fn size(&self) -> Size {
        match self {
            Self::Registers(history) => size(&Registers, history),
            Self::Maps(history) => size(&Maps::default(), history),
            Self::Lists(history) => size(&Lists::default(), history),
            Self::Queues(history) => size(&Queues, history),
            Self::Multicast(events) => {
                let clients: BTreeSet<_> = events.iter().map(|event| event.process).collect();
                Size { operations: events.len(), clients: clients.len(), keys: 1 }
            }
        }
    }

    /// What is asked of it if nothing is said.
    #[must_use]
    pub fn usual(&self) -> Consistency {
        match self {
            Self::Registers(_) | Self::Maps(_) | Self::Lists(_) | Self::Queues(_) => {
                Consistency::Linearizable
            }
            Self::Multicast(_) => Consistency::Delivery(RELIABLE),
        }
    }

    /// Judges it, in at most `max_steps` steps for each search.
    #[must_use]
    pub fn judge(&self, consistency: Consistency, max_steps: u64) -> Report {
        match self {
            Self::Registers(history) => judge(&Registers, history, consistency, max_steps),
            Self::Maps(history) => judge(&Maps::of(history), history, consistency, max_steps),
            Self::Lists(history) => judge(&Lists::of(history), history, consistency, max_steps),
            Self::Queues(history) => judge(&Queues, history, consistency, max_steps),
            Self::Multicast(events) => delivered(events, consistency),
        }
    }
}

fn judge<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    consistency: Consistency,
    max_steps: u64,
) -> Report
where
    M::Input: Display,
    M::Output: Display,
{
    let verdict = match consistency {
        Consistency::Linearizable => check(model, history, max_steps),
        Consistency::Sequential => sequential::check(model, history, max_steps),
        Consistency::Causal(level) => causal::check(model, history, level),
        Consistency::Session(guarantees) => sessions::check(model, history, guarantees),
        Consistency::Delivery(_) => not_judged("has operations, and no messages"),
    };
    report(verdict, history)
}

fn report<I: Display, O: Display>(verdict: Verdict, history: &[Operation<I, O>]) -> Report {
    let (story, svg) = match &verdict {
        Verdict::Illegal(found) => {
            (Some(found.explain(history).to_string()), Some(draw(found, history)))
        }
        Verdict::Ok | Verdict::Unknown { .. } => (None, None),
    };
    Report { verdict, story, svg }
}

fn delivered(events: &[multicast::Event], consistency: Consistency) -> Report {
    let rules = match consistency {
        Consistency::Delivery(rules) => rules,
        // What is usual of operations and of messages bears one name.
        Consistency::Causal(Level::Weak) => &[Rule::Causal],
        Consistency::Linearizable
        | Consistency::Sequential
        | Consistency::Causal(Level::Convergent | Level::Memory)
        | Consistency::Session(_) => {
            return report::<String, String>(not_judged("has messages, and no operations"), &[]);
        }
    };
    let verdict = multicast::check(events, rules).map_or_else(
        |broken| {
            let about = format!("{:?}", broken.rule);
            Verdict::Illegal(Counterexample { about, evidence: Evidence::Told(broken.detail) })
        },
        |()| Verdict::Ok,
    );
    report::<String, String>(verdict, &[])
}

fn not_judged(why: &str) -> Verdict {
    Verdict::Unknown { about: "the history".into(), why: why.into() }
}

fn size<M: Model>(model: &M, history: &[Operation<M::Input, M::Output>]) -> Size {
    let clients: BTreeSet<_> = history.iter().map(|operation| operation.client).collect();
    let keys: BTreeSet<_> = history.iter().map(|operation| model.key(&operation.input)).collect();
    Size { operations: history.len(), clients: clients.len(), keys: keys.len() }
}

type OfRegister = Operation<registers::Input, registers::Output>;

fn is_register(operation: &OfRegister) -> Result<(), String> {
    match operation.input {
        registers::Input::Get { .. } | registers::Input::Put { .. } => Ok(()),
        registers::Input::Append { .. }
        | registers::Input::Delete { .. }
        | registers::Input::Cas { .. } => Err(format!("{} is no read or write", operation.input)),
    }
}

fn is_cas(operation: &OfRegister) -> Result<(), String> {
    match operation.input {
        registers::Input::Cas { .. } => Ok(()),
        registers::Input::Get { .. }
        | registers::Input::Put { .. }
        | registers::Input::Append { .. }
        | registers::Input::Delete { .. } => is_register(operation),
    }
}

/// The names of these, and what they are.
pub type Names<T, const N: usize> = [(T, &'static str, &'static str); N];

impl Kind {
    /// All of them.
    pub const ALL: Names<Self, 6> = [
        (Self::Register, "register", "registers: read, write"),
        (Self::Cas, "cas", "registers: read, write, compare-and-swap"),
        (Self::Append, "append", "lists: append, read"),
        (Self::Kv, "kv", "a key-value store: put, append, get, cas, delete, range"),
        (Self::Queue, "queue", "queues: enqueue, dequeue"),
        (Self::Multicast, "multicast", "messages: send, deliver, crash"),
    ];
}

impl Consistency {
    /// All of them.
    pub const ALL: Names<Self, 14> = [
        (
            Self::Linearizable,
            "linearizable",
            "one order explains all, each operation within its time",
        ),
        (Self::Sequential, "sequential", "one order explains all, and keeps that of each client"),
        (
            Self::Causal(Level::Weak),
            "causal",
            "nobody misses a cause of what they found; of messages: nor gets one before its causes",
        ),
        (
            Self::Causal(Level::Convergent),
            "causal-convergence",
            "and all agree which of two writes is the later one",
        ),
        (
            Self::Causal(Level::Memory),
            "causal-memory",
            "and one order for each client explains all that it found",
        ),
        (Self::Session(&Guarantee::ALL), "session", "the next four together"),
        (
            Self::Session(&[Guarantee::ReadYourWrites]),
            "read-your-writes",
            "a client finds what it wrote, or newer",
        ),
        (
            Self::Session(&[Guarantee::MonotonicReads]),
            "monotonic-reads",
            "a client finds what it found, or newer",
        ),
        (
            Self::Session(&[Guarantee::MonotonicWrites]),
            "monotonic-writes",
            "what a client writes later is newer",
        ),
        (
            Self::Session(&[Guarantee::WritesFollowReads]),
            "writes-follow-reads",
            "what a client writes is newer than what it found",
        ),
        (Self::Delivery(RELIABLE), "reliable", "all that do not crash deliver the same messages"),
        (
            Self::Delivery(&[Rule::Uniform, Rule::Validity]),
            "uniform",
            "all that do not crash deliver what anyone delivers",
        ),
        (Self::Delivery(&[Rule::Fifo]), "fifo", "messages of one sender in the order it sent them"),
        (Self::Delivery(&[Rule::Total]), "total", "all deliveries follow one order"),
    ];
}

/// What is asked of messages if nothing is said.
const RELIABLE: &[Rule] = &[Rule::Validity, Rule::Agreement];

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(self, &Self::ALL))
    }
}

impl Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name(self, &Self::ALL))
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        named(name, &Self::ALL, "model")
    }
}

impl FromStr for Consistency {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        named(name, &Self::ALL, "consistency")
    }
}

fn name<T: PartialEq>(one: &T, all: &[(T, &'static str, &str)]) -> &'static str {
    all.iter().find(|(other, ..)| other == one).map_or("unnamed", |(_, name, _)| name)
}

fn named<T: Copy>(name: &str, all: &[(T, &str, &str)], what: &str) -> Result<T, String> {
    all.iter().find(|(_, its, _)| *its == name).map(|(one, ..)| *one).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|(_, name, _)| *name).collect();
        format!("{name} is no {what}; there are {}", names.join(", "))
    })
}
