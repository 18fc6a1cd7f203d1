//! The commands, and how they are written.

use std::str::FromStr;

use synod_consensus::{Change, Contact, Epoch};
use synod_engine::{Incarnation, NodeId, Token};

use crate::Options;
use crate::expect::Fact;

/// A line of a script.
pub(crate) struct Line {
    /// Only what local users are told is shown.
    pub(crate) quiet: bool,
    pub(crate) command: Command,
}

pub(crate) enum Command {
    Nodes { count: u64, options: Options },
    Join(NodeId),
    Given { node: NodeId, epoch: Epoch, log: Vec<Epoch> },
    Tick { node: NodeId, timer: Option<String> },
    Wait { millis: u64 },
    Deliver(Flight),
    Drop(Flight),
    Settle(Vec<NodeId>),
    Duplicate(Flight),
    Partition(Vec<Vec<NodeId>>),
    Chain(Vec<NodeId>),
    Star(NodeId),
    Cut(Flight),
    Heal,
    Pause(NodeId),
    Resume(NodeId),
    Crash(NodeId),
    Restart(NodeId),
    Hold(NodeId),
    Sync(NodeId),
    Release(NodeId),
    Propose { node: NodeId, commands: Vec<String> },
    Change { node: NodeId, wishes: Vec<Change> },
    Read(NodeId),
    Transfer { node: NodeId, successor: Option<NodeId> },
    Cancel { node: NodeId, token: Token },
    Snapshot(NodeId),
    Show(Vec<NodeId>),
    Expect { nodes: Vec<NodeId>, facts: Vec<Fact> },
}

/// Messages in flight.
#[derive(Default)]
pub(crate) struct Flight {
    /// From this node, or any.
    pub(crate) from: Option<NodeId>,
    /// To this node, or any.
    pub(crate) to: Option<NodeId>,
    /// Which on each link, counted from 1; or all.
    pub(crate) number: Option<usize>,
}

/// Whether a line is a command, wherever it may stand.
///
/// # Errors
/// What is wrong with it.
pub fn understand(line: &str) -> Result<(), String> {
    line.parse::<Line>().map(drop)
}

impl FromStr for Line {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let quiet = words.first() == Some(&"quiet");
        if quiet {
            words.remove(0);
        }
        let (name, words) = words.split_first().ok_or("quiet what?")?;
        Ok(Self { quiet, command: command(name, words)? })
    }
}

fn command(name: &str, words: &[&str]) -> Result<Command, String> {
    let one = || match words {
        [word] => node(word),
        _ => Err(format!("{name} takes one node")),
    };
    Ok(match name {
        "nodes" => nodes(words)?,
        "join" => Command::Join(one()?),
        "given" => given(words)?,
        "tick" => match words {
            [at] => Command::Tick { node: node(at)?, timer: None },
            [at, timer] => Command::Tick { node: node(at)?, timer: Some((*timer).to_owned()) },
            _ => return Err("tick takes a node and a timer".to_owned()),
        },
        "wait" => match words {
            [time] => {
                let millis = time.strip_suffix("ms").ok_or("wait takes a time, as in 500ms")?;
                Command::Wait { millis: number(millis)? }
            }
            _ => return Err("wait takes a time, as in 500ms".to_owned()),
        },
        "deliver" => Command::Deliver(flight(words)?),
        "drop" => Command::Drop(flight(words)?),
        "duplicate" => Command::Duplicate(flight(words)?),
        "settle" => Command::Settle(all_nodes(words)?),
        "partition" => {
            let sides = words.split(|word| *word == "|");
            Command::Partition(sides.map(all_nodes).collect::<Result<_, _>>()?)
        }
        "chain" => match words {
            [_, _, ..] => Command::Chain(all_nodes(words)?),
            _ => return Err("chain takes nodes in a row".to_owned()),
        },
        "star" => Command::Star(one()?),
        "cut" => match words {
            [_] => Command::Cut(flight(words)?),
            _ => return Err("cut takes a link, as in n1->n2 or n1->*".to_owned()),
        },
        "pause" => Command::Pause(one()?),
        "resume" => Command::Resume(one()?),
        "heal" => nothing(words, Command::Heal)?,
        "crash" => Command::Crash(one()?),
        "restart" => Command::Restart(one()?),
        "hold" => Command::Hold(one()?),
        "sync" => Command::Sync(one()?),
        "release" => Command::Release(one()?),
        "propose" => match words {
            [at, commands @ ..] if !commands.is_empty() => Command::Propose {
                node: node(at)?,
                commands: commands.iter().map(|&command| command.to_owned()).collect(),
            },
            _ => return Err("propose takes a node and commands".to_owned()),
        },
        "read" => Command::Read(one()?),
        "change" => change(words)?,
        "transfer" => match words {
            [at] => Command::Transfer { node: node(at)?, successor: None },
            [at, to] => Command::Transfer { node: node(at)?, successor: Some(node(to)?) },
            _ => return Err("transfer takes the leader and its successor".to_owned()),
        },
        "cancel" => match words {
            [at, token] => Command::Cancel { node: node(at)?, token: Token(numbered(token)?) },
            _ => return Err("cancel takes a node and a request".to_owned()),
        },
        "snapshot" => Command::Snapshot(one()?),
        "show" => Command::Show(all_nodes(words)?),
        "expect" => {
            let facts = words.iter().position(|word| node(word).is_err()).unwrap_or(words.len());
            let (nodes, facts) = words.split_at(facts);
            if nodes.is_empty() || facts.is_empty() {
                return Err("expect takes nodes and facts".to_owned());
            }
            let facts = facts.iter().map(|fact| fact.parse()).collect::<Result<_, _>>()?;
            Command::Expect { nodes: all_nodes(nodes)?, facts }
        }
        _ => return Err(format!("there is no command {name:?}")),
    })
}

fn nodes(words: &[&str]) -> Result<Command, String> {
    let (count, options) = words.split_first().ok_or("nodes takes their number")?;
    let count = number(count)?;
    if !(1..=99).contains(&count) {
        return Err("a script has 1 to 99 nodes".to_owned());
    }
    let option = |word: &&str| {
        let (name, value) = word.split_once('=').ok_or(format!("{word}: an option is name=5"))?;
        Ok::<_, String>((name.to_owned(), number(value)?))
    };
    Ok(Command::Nodes { count, options: options.iter().map(option).collect::<Result<_, _>>()? })
}

fn change(words: &[&str]) -> Result<Command, String> {
    const FORM: &str = "change takes a node and wishes, as in add n4";
    let [at, wishes @ ..] = words else { return Err(FORM.to_owned()) };
    let wish = |words: &[&str]| match words {
        ["add", word] => {
            let (incarnation, word) = (Incarnation(node(word)?.0), (*word).to_owned());
            let contact = Contact { incarnation, address: word.clone(), client_address: word };
            Ok(Change::Add { node: NodeId(incarnation.0), contact })
        }
        ["promote", word] => node(word).map(Change::Promote),
        ["demote", word] => node(word).map(Change::Demote),
        ["remove", word] => node(word).map(Change::Remove),
        _ => Err(FORM.to_owned()),
    };
    if wishes.is_empty() {
        return Err(FORM.to_owned());
    }
    let wishes = wishes.chunks(2).map(wish).collect::<Result<_, _>>()?;
    Ok(Command::Change { node: node(at)?, wishes })
}

fn given(words: &[&str]) -> Result<Command, String> {
    const FORM: &str = "given takes a node, epoch=2 and log=1,1,2";
    let [at, epoch, log] = words else { return Err(FORM.to_owned()) };
    let epoch = epoch.strip_prefix("epoch=").ok_or(FORM)?;
    let log = log.strip_prefix("log=").ok_or(FORM)?;
    Ok(Command::Given { node: node(at)?, epoch: Epoch(number(epoch)?), log: epochs(log)? })
}

/// Epochs with commas between them.
pub(crate) fn epochs(list: &str) -> Result<Vec<Epoch>, String> {
    list.split(',').filter(|word| !word.is_empty()).map(|word| number(word).map(Epoch)).collect()
}

fn flight(words: &[&str]) -> Result<Flight, String> {
    let (link, nth) = match words {
        [] => return Ok(Flight::default()),
        [link] => (link, None),
        [_, "#0"] => return Err("#0 is before the first message".to_owned()),
        [link, nth] => (link, Some(numbered(nth)? as usize)),
        _ => return Err("a link is n1->n2, a message on it #1".to_owned()),
    };
    let (from, to) = link.split_once("->").ok_or(format!("{link}: a link is n1->n2"))?;
    let end = |word: &str| if word == "*" { Ok(None) } else { node(word).map(Some) };
    Ok(Flight { from: end(from)?, to: end(to)?, number: nth })
}

fn all_nodes(words: &[&str]) -> Result<Vec<NodeId>, String> {
    words.iter().map(|word| node(word)).collect()
}

fn node(word: &str) -> Result<NodeId, String> {
    let id = word.strip_prefix('n').and_then(|id| id.parse().ok());
    id.map(NodeId).ok_or(format!("{word:?} is no node; nodes are n1, n2, …"))
}

fn numbered(word: &str) -> Result<u64, String> {
    number(word.strip_prefix('#').ok_or(format!("{word:?} is not #1, #2, …"))?)
}

pub(crate) fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word:?} is not a number"))
}

fn nothing(words: &[&str], command: Command) -> Result<Command, String> {
    if words.is_empty() { Ok(command) } else { Err(format!("{} is too much", words.join(" "))) }
}
