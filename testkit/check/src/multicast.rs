//! Whether what was delivered to a group is what its multicast promises.
//!
//! A history is what each process sent and delivered, in its own order; no clock is needed. The rules
//! are those of Hadzilacos and Toueg (*A modular approach to fault-tolerant broadcasts*, 1994):
//!
//! | rule | what it asks |
//! |---|---|
//! | [`Rule::Integrity`] | a message is delivered at most once to each, only if it was sent, and only to whom it was sent |
//! | [`Rule::Validity`] | who sends a message and does not crash delivers it, if it is meant for itself too |
//! | [`Rule::Agreement`] | what one that does not crash delivers, all that do not crash deliver |
//! | [`Rule::Uniform`] | what anyone delivers, all that do not crash deliver |
//! | [`Rule::Fifo`] | the messages of one sender are delivered in the order in which it sent them |
//! | [`Rule::Causal`] | a message is delivered after all that its sender had sent or delivered before it |
//! | [`Rule::Total`] | there is one order of all messages that everybody's deliveries follow |
//!
//! Validity and agreement say what happens in the end: judge a history that had one. Integrity is asked
//! with every other rule. An order allows no gap: who delivers a message later than one that must come
//! after it, or never, breaks it; the total order alone allows to leave out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::graph::Graph;
use crate::text::{self, Quoted};

/// What one process did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Which.
    pub process: u64,
    /// What.
    pub does: Step,
}

/// A step of a process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// It sends a message that nobody else sends.
    Send {
        /// Which.
        #[serde(with = "text")]
        message: Bytes,
        /// To whom; without it to all that appear in the history.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Vec<u64>>,
    },
    /// It delivers a message.
    Deliver {
        /// Which.
        #[serde(with = "text")]
        message: Bytes,
    },
    /// It does nothing any more.
    Crash,
}

/// What a multicast may promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Delivered at most once, if it was sent, to whom it was sent.
    Integrity,
    /// Who sends it and lives delivers it.
    Validity,
    /// All that live deliver the same.
    Agreement,
    /// All that live deliver what anyone delivers.
    Uniform,
    /// In the order of the sender.
    Fifo,
    /// In the order of causes.
    Causal,
    /// In one order.
    Total,
}

/// A rule that was not kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Which.
    pub rule: Rule,
    /// How.
    pub detail: String,
}

/// Judges what happened, each process's events in its own order, by some rules and by integrity.
///
/// # Errors
/// The first rule that was [`Broken`].
pub fn check(events: &[Event], rules: &[Rule]) -> Result<(), Broken> {
    let group = Group::of(events)?;
    for rule in rules {
        match rule {
            Rule::Integrity => {}
            Rule::Validity => group.validity()?,
            Rule::Agreement => group.agreement(false)?,
            Rule::Uniform => group.agreement(true)?,
            Rule::Fifo => group.in_order(Rule::Fifo)?,
            Rule::Causal => group.in_order(Rule::Causal)?,
            Rule::Total => group.total()?,
        }
    }
    Ok(())
}

/// Processes and messages, numbered from 0.
struct Group<'a> {
    processes: Vec<u64>,
    lives: Vec<bool>,
    messages: Vec<Message<'a>>,
    /// What each process did, in its order.
    steps: Vec<Vec<Did>>,
    delivered: Vec<BTreeSet<usize>>,
}

struct Message<'a> {
    name: &'a Bytes,
    sender: usize,
    /// Its place among the messages of its sender.
    number: usize,
    to: Option<&'a [u64]>,
}

#[derive(Clone, Copy)]
enum Did {
    Send(usize),
    Deliver(usize),
}

impl<'a> Group<'a> {
    fn of(events: &'a [Event]) -> Result<Self, Broken> {
        let processes: BTreeSet<_> = events.iter().map(|event| event.process).collect();
        let processes: Vec<_> = processes.into_iter().collect();
        let number = |process: u64| processes.partition_point(|other| *other < process);
        let mut messages = Vec::new();
        let mut by_name = HashMap::new();
        let mut sent = vec![0; processes.len()];
        for Event { process, does } in events {
            let Step::Send { message: name, to } = does else { continue };
            let sender = number(*process);
            if by_name.insert(name, messages.len()).is_some() {
                return Err(integrity(format!("{} was sent twice", Quoted(name))));
            }
            messages.push(Message { name, sender, number: sent[sender], to: to.as_deref() });
            sent[sender] += 1;
        }
        let mut group = Self {
            lives: vec![true; processes.len()],
            steps: vec![Vec::new(); processes.len()],
            delivered: vec![BTreeSet::new(); processes.len()],
            messages,
            processes,
        };
        for Event { process, does } in events {
            let own = group.processes.partition_point(|other| other < process);
            if !group.lives[own] {
                return Err(integrity(format!("process {process} did something after its crash")));
            }
            match does {
                Step::Send { message, .. } => group.steps[own].push(Did::Send(by_name[message])),
                Step::Deliver { message } => group.deliver(own, message, by_name.get(message))?,
                Step::Crash => group.lives[own] = false,
            }
        }
        Ok(group)
    }

    fn deliver(&mut self, own: usize, name: &Bytes, message: Option<&usize>) -> Result<(), Broken> {
        let process = self.processes[own];
        let fault =
            |what| Err(integrity(format!("process {process} delivered {} {what}", Quoted(name))));
        let Some(&message) = message else { return fault("which nobody sent") };
        if !self.is_for(message, own) {
            return fault("which was not meant for it");
        }
        if !self.delivered[own].insert(message) {
            return fault("twice");
        }
        let is_own = self.messages[message].sender == own;
        let has_sent = |did: &Did| matches!(did, Did::Send(sent) if *sent == message);
        if is_own && !self.steps[own].iter().any(has_sent) {
            return fault("before it sent it");
        }
        self.steps[own].push(Did::Deliver(message));
        Ok(())
    }

    fn is_for(&self, message: usize, process: usize) -> bool {
        self.messages[message].to.is_none_or(|to| to.contains(&self.processes[process]))
    }

    fn name(&self, message: usize) -> Quoted<'a> {
        Quoted(self.messages[message].name)
    }

    /// Those that did not crash, of whom this message was meant for and who did not deliver it.
    fn missing(&self, message: usize) -> impl Iterator<Item = usize> {
        (0..self.processes.len()).filter(move |process| {
            self.lives[*process]
                && self.is_for(message, *process)
                && !self.delivered[*process].contains(&message)
        })
    }

    fn validity(&self) -> Result<(), Broken> {
        for message in 0..self.messages.len() {
            let sender = self.messages[message].sender;
            if self.missing(message).any(|process| process == sender) {
                let process = self.processes[sender];
                let detail =
                    format!("process {process} sent {} and never delivered it", self.name(message));
                return Err(Broken { rule: Rule::Validity, detail });
            }
        }
        Ok(())
    }

    fn agreement(&self, uniform: bool) -> Result<(), Broken> {
        let rule = if uniform { Rule::Uniform } else { Rule::Agreement };
        for message in 0..self.messages.len() {
            let has = |process: &usize| {
                (uniform || self.lives[*process]) && self.delivered[*process].contains(&message)
            };
            let someone = (0..self.processes.len()).find(has);
            if let (Some(one), Some(other)) = (someone, self.missing(message).next()) {
                let (one, other) = (self.processes[one], self.processes[other]);
                let name = self.name(message);
                let detail = format!("process {one} delivered {name}, process {other} never did");
                return Err(Broken { rule, detail });
            }
        }
        Ok(())
    }

    /// Whether everybody delivered a message after those that come before it.
    fn in_order(&self, rule: Rule) -> Result<(), Broken> {
        let pasts = match rule {
            Rule::Causal => self.causes()?,
            _ => self.messages.iter().map(|it| BTreeMap::from([(it.sender, it.number)])).collect(),
        };
        let mut by_sender = vec![Vec::new(); self.processes.len()];
        for (message, Message { sender, .. }) in self.messages.iter().enumerate() {
            by_sender[*sender].push(message);
        }
        for (process, steps) in self.steps.iter().enumerate() {
            // By sender, how many of its messages are delivered, or not for this process.
            let mut next = vec![0; self.processes.len()];
            let mut delivered = BTreeSet::new();
            for did in steps {
                let Did::Deliver(message) = did else { continue };
                for (sender, count) in &pasts[*message] {
                    let next = &mut next[*sender];
                    while *next < *count {
                        let before = by_sender[*sender][*next];
                        if self.is_for(before, process) && !delivered.contains(&before) {
                            let (process, name) = (self.processes[process], self.name(*message));
                            let before = self.name(before);
                            let detail = format!(
                                "process {process} delivered {name}, and {before}, which comes before it, \
                                 not before it"
                            );
                            return Err(Broken { rule, detail });
                        }
                        *next += 1;
                    }
                }
                delivered.insert(*message);
            }
        }
        Ok(())
    }

    /// For each message, how many of each sender's messages are among its causes.
    fn causes(&self) -> Result<Vec<BTreeMap<usize, usize>>, Broken> {
        let mut causes: Vec<Option<BTreeMap<usize, usize>>> = vec![None; self.messages.len()];
        let mut known = vec![BTreeMap::<usize, usize>::new(); self.processes.len()];
        let mut done = vec![0; self.processes.len()];
        let mut left: usize = self.steps.iter().map(Vec::len).sum();
        while left > 0 {
            let before = left;
            for (process, steps) in self.steps.iter().enumerate() {
                while let Some(did) = steps.get(done[process]) {
                    let own = &mut known[process];
                    let message = match did {
                        Did::Send(message) => {
                            causes[*message] = Some(own.clone());
                            *message
                        }
                        Did::Deliver(message) => {
                            let Some(causes) = &causes[*message] else { break };
                            for (sender, count) in causes {
                                let known = own.entry(*sender).or_default();
                                *known = (*known).max(*count);
                            }
                            *message
                        }
                    };
                    let Message { sender, number, .. } = self.messages[message];
                    let known = own.entry(sender).or_default();
                    *known = (*known).max(number + 1);
                    done[process] += 1;
                    left -= 1;
                }
            }
            if left == before {
                return Err(integrity("messages were delivered before they were sent".into()));
            }
        }
        Ok(causes.into_iter().flatten().collect())
    }

    fn total(&self) -> Result<(), Broken> {
        let mut graph = Graph::new(self.messages.len());
        for steps in &self.steps {
            let mut last = None;
            for did in steps {
                let Did::Deliver(message) = did else { continue };
                if let Some(last) = last.replace(*message) {
                    graph.add(last, *message, "");
                }
            }
        }
        let Err(circle) = graph.sort() else { return Ok(()) };
        let names: Vec<_> =
            circle.iter().map(|(message, _)| self.name(*message).to_string()).collect();
        let first = names.first().cloned().unwrap_or_default();
        let detail = format!(
            "{} were delivered in different orders: each before the next by somebody, and the last before {first}",
            names.join(", ")
        );
        Err(Broken { rule: Rule::Total, detail })
    }
}

fn integrity(detail: String) -> Broken {
    Broken { rule: Rule::Integrity, detail }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is broken: {}", self.rule, self.detail)
    }
}

impl std::error::Error for Broken {}
