//! What a node tells of itself: what it heard, said and wrote down, as lines for people and as JSON for
//! programs.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use synod_paxos::Ballot;
use synod_paxos::basic::{Message, Proposal, Record, Value};

use crate::output::bytes_as_json;

/// Something that took place at a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    /// When, in microseconds since 1970.
    pub(super) at_us: u64,
    /// At which node.
    pub(super) node: u64,
    pub(super) what: What,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum What {
    Heard {
        from: u64,
        message: Message,
    },
    Said {
        to: Vec<u64>,
        message: Message,
    },
    /// Whatever is said later that rests on it waits until it is durable.
    Wrote(Record),
    /// The proposer was refused and waits.
    GivesWay {
        for_us: u64,
    },
    Chosen {
        value: Value,
        own: Vec<u64>,
    },
    Refused {
        token: u64,
        why: String,
    },
}

impl Seen {
    /// One line; its time counts from `since`.
    pub(super) fn line(&self, since_us: u64) -> String {
        let at_ms = self.at_us.saturating_sub(since_us) as f64 / 1_000.0;
        let (mark, style) = self.mark();
        let node = self.node;
        let mut line = format!("{at_ms:>9.1} ms  {style}{mark:<6}{style:#} ");
        let written = match &self.what {
            What::Heard { from, message } if *from == node => {
                write!(line, "n{node} to itself: {message}")
            }
            What::Heard { from, message } => write!(line, "n{node} ← n{from}: {message}"),
            What::Said { to, message } => {
                let to: Vec<_> = to.iter().map(|to| format!("n{to}")).collect();
                write!(line, "n{node} → {}: {message}", to.join(", "))
            }
            What::Wrote(record) => write!(line, "n{node} writes {record}"),
            What::GivesWay { for_us } => {
                write!(line, "n{node} gives way for {:.1} ms", *for_us as f64 / 1_000.0)
            }
            What::Chosen { value, .. } => write!(line, "n{node} knows: {value} is chosen"),
            What::Refused { why, .. } => write!(line, "n{node} refuses: {why}"),
        };
        written.expect("a string takes all that is written");
        line
    }

    /// The phase that it belongs to, as the paper calls it, and its colour.
    fn mark(&self) -> (&'static str, Style) {
        let colour = |colour: AnsiColor| colour.on_default();
        match &self.what {
            What::Heard { message, .. } | What::Said { message, .. } => match message {
                Message::Request { .. } => ("ask", Style::new()),
                Message::Prepare { .. } => ("1a", colour(AnsiColor::Cyan)),
                Message::Promise { .. } => ("1b", colour(AnsiColor::Cyan)),
                Message::Accept { .. } => ("2a", colour(AnsiColor::Yellow)),
                Message::Accepted { .. } => ("2b", colour(AnsiColor::Yellow)),
                Message::Refused { .. } => ("no", colour(AnsiColor::Red)),
                Message::Ask => ("learn", Style::new()),
                Message::Chosen { .. } => ("learn", colour(AnsiColor::Green)),
            },
            What::Wrote(_) => ("disk", Style::new().dimmed()),
            What::GivesWay { .. } => ("duel", colour(AnsiColor::Red)),
            What::Chosen { .. } => ("chosen", colour(AnsiColor::Green).bold()),
            What::Refused { .. } => ("no", colour(AnsiColor::Red)),
        }
    }

    pub(super) fn json(&self) -> Json {
        let mut json = match &self.what {
            What::Heard { from, message } => {
                let mut json = message_json(message);
                (json["event"], json["from"]) = ("heard".into(), (*from).into());
                json
            }
            What::Said { to, message } => {
                let mut json = message_json(message);
                (json["event"], json["to"]) = ("said".into(), to.clone().into());
                json
            }
            What::Wrote(record) => {
                let mut json = record_json(record);
                json["event"] = "wrote".into();
                json
            }
            What::GivesWay { for_us } => json!({ "event": "gives_way", "for_us": for_us }),
            What::Chosen { value, .. } => json!({ "event": "chosen", "value": value_json(value) }),
            What::Refused { why, .. } => json!({ "event": "refused", "why": why }),
        };
        (json["at_us"], json["node"]) = (self.at_us.into(), self.node.into());
        json
    }
}

fn message_json(message: &Message) -> Json {
    match message {
        Message::Request { value } => json!({ "message": "request", "value": value_json(value) }),
        Message::Prepare { ballot } => {
            json!({ "message": "prepare", "ballot": ballot_json(*ballot) })
        }
        Message::Promise { ballot, accepted } => json!({
            "message": "promise",
            "ballot": ballot_json(*ballot),
            "accepted": accepted.as_ref().map(proposal_json),
        }),
        Message::Accept { proposal } => {
            json!({ "message": "accept", "proposal": proposal_json(proposal) })
        }
        Message::Accepted { proposal } => {
            json!({ "message": "accepted", "proposal": proposal_json(proposal) })
        }
        Message::Refused { ballot, promised } => json!({
            "message": "refused",
            "ballot": ballot_json(*ballot),
            "promised": ballot_json(*promised),
        }),
        Message::Ask => json!({ "message": "ask" }),
        Message::Chosen { value } => json!({ "message": "chosen", "value": value_json(value) }),
    }
}

fn record_json(record: &Record) -> Json {
    match record {
        Record::Propose(ballot) => json!({ "record": "propose", "ballot": ballot_json(*ballot) }),
        Record::Promise(ballot) => json!({ "record": "promise", "ballot": ballot_json(*ballot) }),
        Record::Accept(proposal) => {
            json!({ "record": "accept", "proposal": proposal_json(proposal) })
        }
        Record::Acknowledge(proposal) => {
            json!({ "record": "acknowledge", "proposal": proposal_json(proposal) })
        }
        Record::Commit(value) => json!({ "record": "commit", "value": value_json(value) }),
    }
}

pub(super) fn ballot_json(ballot: Ballot) -> Json {
    json!({ "round": ballot.round, "proposer": ballot.proposer.0 })
}

pub(super) fn proposal_json(proposal: &Proposal) -> Json {
    json!({ "ballot": ballot_json(proposal.ballot), "value": value_json(&proposal.value) })
}

pub(super) fn value_json(value: &Value) -> Json {
    bytes_as_json(&value.0)
}

#[cfg(test)]
mod tests {
    use synod_engine::NodeId;

    use super::*;

    fn seen(what: What) -> Seen {
        Seen { at_us: 3_500, node: 1, what }
    }

    #[test]
    fn a_line_says_when_who_and_in_which_phase() {
        let ballot = Ballot { round: 2, proposer: NodeId(1) };
        let said = seen(What::Said { to: vec![2, 3], message: Message::Prepare { ballot } });
        let plain = anstream::adapter::strip_str(&said.line(1_000)).to_string();
        assert_eq!(plain, "      2.5 ms  1a     n1 → n2, n3: Prepare 2.n1");
        let own = seen(What::Heard { from: 1, message: Message::Ask });
        assert!(own.line(0).contains("n1 to itself: Ask"));
        let json = said.json();
        assert_eq!((&json["message"], &json["to"]), (&"prepare".into(), &json!([2, 3])));
        assert_eq!(json["ballot"], json!({ "round": 2, "proposer": 1 }));
    }
}
