//! `synod members`: who belongs to a cluster, and how that changes.
//!
//! Each command is a wish that may be repeated: it asks whoever leads until the wish is fulfilled, and a
//! wish that is fulfilled already is done.

use std::time::{Duration, Instant};

use comfy_table::Cell;
use serde_json::json;
use synod_clerk::{Operated, Operation, Options, operate, status_of};
use synod_consensus::{BadChange, Change, Contact, Member, Membership, Refusal, Role, Seat};
use synod_engine::NodeId;
use synod_kv::wire::NodeReport;

use crate::cli::{Membering, MembersArgs};
use crate::exit::{Exit, Failure, Result};
use crate::output::{say, table, tell};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// How long one server may take to answer.
const ANSWER_MS: u64 = 2_000;

pub(crate) async fn run(args: MembersArgs) -> Result<Exit> {
    let json = args.cluster.json;
    let work = async {
        let target = args.cluster.target()?;
        let deadline = Instant::now() + Duration::from_millis(args.cluster.timeout_ms);
        let options = Options { open_timeout_ms: 1_000, timeout_ms: ANSWER_MS, ..target.options };
        let mut desk = Desk { addresses: target.addresses, options, deadline, json, at: 0 };
        desk.fulfil(args.what).await
    };
    work.await.map_err(|failure| failure.in_json(json))
}

/// Asks the group.
struct Desk {
    addresses: Vec<String>,
    options: Options,
    deadline: Instant,
    json: bool,
    /// Which of the addresses is asked next.
    at: usize,
}

impl Desk {
    async fn fulfil(&mut self, what: Membering) -> Result<Exit> {
        match what {
            Membering::List => return self.list().await,
            Membering::Add { address, learner } => {
                let (node, contact) = self.newcomer(&address).await?;
                self.change(vec![Change::Add { node, contact }]).await?;
                if !learner {
                    self.change(vec![Change::Promote(node)]).await?;
                }
            }
            Membering::Promote { node } => self.change(vec![Change::Promote(NodeId(node))]).await?,
            Membering::Demote { node } => self.change(vec![Change::Demote(NodeId(node))]).await?,
            Membering::Remove { node } => self.change(vec![Change::Remove(NodeId(node))]).await?,
            Membering::Replace { node, address } => self.replace(NodeId(node), &address).await?,
            Membering::Priority { node, priority } => {
                let node = NodeId(node);
                self.change(vec![Change::Prioritise { node, priority }]).await?;
            }
            Membering::Lead { node } => self.ask(Operation::Transfer(node.map(NodeId))).await?,
        }
        self.list().await
    }

    /// The node at `address` takes the seat of `old`, which may be the same node with a new directory.
    async fn replace(&mut self, old: NodeId, address: &str) -> Result<()> {
        let (new, contact) = self.newcomer(address).await?;
        if new == old {
            let members = self.leader().await?.log.members;
            let seated = members.member(old).and_then(|member| member.contact.as_ref());
            if seated != Some(&contact) {
                if !contact.incarnation.is_newcomer() {
                    let what = format!(
                        "node {old} at {address} takes itself for a founder, not for one that is taken in: if \
                         its directory was emptied, stop it, run `synod repair --force` there, and start it \
                         again; nothing was changed"
                    );
                    return Err(Failure::new(Exit::NotDone, what));
                }
                self.change(vec![Change::Remove(old)]).await?;
            }
            self.change(vec![Change::Add { node: new, contact }]).await?;
            return self.change(vec![Change::Promote(new)]).await;
        }
        self.change(vec![Change::Add { node: new, contact }]).await?;
        self.change(vec![Change::Promote(new), Change::Remove(old)]).await
    }

    /// Who serves at `address`, in its own words.
    async fn newcomer(&self, address: &str) -> Result<(NodeId, Contact)> {
        let report = status_of(address, &self.options).await.map_err(|error| {
            let what = format!(
                "{address} cannot be asked who it is: {error}; nothing was changed; start the node \
                 first (`synod node`, with `join = true` in its configuration)"
            );
            Failure::new(Exit::Unreachable, what)
        })?;
        Ok((report.log.node, report.contact))
    }

    async fn change(&mut self, wishes: Vec<Change>) -> Result<()> {
        self.ask(Operation::Change(wishes)).await
    }

    /// Asks whoever leads, until it is done or can never be.
    async fn ask(&mut self, operation: Operation) -> Result<()> {
        let mut trouble = String::from("nobody answered");
        let mut is_unknown = false;
        while Instant::now() < self.deadline {
            let address = self.addresses[self.at % self.addresses.len()].clone();
            match operate(&address, &operation, &self.options).await {
                Ok(Operated::Done) => return Ok(()),
                Ok(Operated::Refused { refusal, leader }) => match refusal {
                    Refusal::BadChange(BadChange::Unchanged) => return Ok(()),
                    Refusal::BadChange(_) | Refusal::NoSuccessor => {
                        let what = format!("{refusal}; nothing was changed");
                        return Err(Failure::new(Exit::NotDone, what));
                    }
                    Refusal::NotLeader { .. } => {
                        trouble = refusal.to_string();
                        if self.follow(leader) {
                            continue;
                        }
                    }
                    _ => trouble = refusal.to_string(),
                },
                Ok(Operated::Unknown) => {
                    is_unknown = true;
                    trouble = "the leader was lost meanwhile".into();
                }
                Err(error) => {
                    is_unknown = true;
                    trouble = format!("{address}: {error}");
                    self.at += 1;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        let (exit, fate) = match is_unknown {
            true => (Exit::Unknown, "it may or may not have taken effect"),
            false => (Exit::NotDone, "nothing was changed by this step"),
        };
        let what = format!("not done in time: {trouble}; {fate}; it is safe to try again");
        Err(Failure::new(exit, what))
    }

    /// Turns to the leader, if its address is known; else to the next server.
    fn follow(&mut self, leader: Option<String>) -> bool {
        let Some(leader) = leader else {
            self.at += 1;
            return false;
        };
        let known = self.addresses.iter().position(|address| *address == leader);
        self.at = known.unwrap_or_else(|| {
            self.addresses.push(leader);
            self.addresses.len() - 1
        });
        true
    }

    /// What the leader says of itself and the others. It may be a member that the configuration does not
    /// name yet: the others know where it is.
    async fn leader(&mut self) -> Result<NodeReport> {
        let mut is_anybody_there = false;
        while Instant::now() < self.deadline {
            let mut place = 0;
            while let Some(address) = self.addresses.get(place).cloned() {
                place += 1;
                let Ok(report) = status_of(&address, &self.options).await else { continue };
                is_anybody_there = true;
                if report.log.role == Role::Leader {
                    return Ok(report);
                }
                let leader = report.log.leader.and_then(|leader| report.log.members.member(leader));
                let contact = leader.and_then(|leader| leader.contact.as_ref());
                self.addresses.extend(
                    contact
                        .map(|contact| contact.client_address.clone())
                        .filter(|address| !self.addresses.contains(address)),
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
        let (exit, what) = match is_anybody_there {
            true => (Exit::NotDone, "no node leads; a majority must be up and connected"),
            false => (Exit::Unreachable, "no node could be reached; is the cluster running?"),
        };
        Err(Failure::new(exit, format!("{what}; nothing was changed")))
    }

    async fn list(&mut self) -> Result<Exit> {
        let report = self.leader().await?;
        let members: &Membership = &report.log.members;
        if self.json {
            members.iter().for_each(|member| tell(&as_json(member, &report)));
            return Ok(Exit::Done);
        }
        let headings =
            ["node", "seat", "priority", "role", "lag", "peers", "clients", "incarnation"];
        let mut table = table(&headings);
        for member in members.iter() {
            let (role, lag) = standing(member, &report);
            let contact = member.contact.as_ref();
            table.add_row([
                Cell::new(member.node.0),
                Cell::new(seat(member.seat)),
                Cell::new(member.priority),
                Cell::new(role),
                Cell::new(lag.map_or("-".to_owned(), |lag| lag.to_string())),
                Cell::new(contact.map_or("configured", |contact| &contact.address)),
                Cell::new(contact.map_or("configured", |contact| &contact.client_address)),
                Cell::new(contact.map_or("first met".to_owned(), incarnation)),
            ]);
        }
        say!("{table}");
        Ok(Exit::Done)
    }
}

/// What a member does, and how many entries it lacks.
fn standing(member: &Member, report: &NodeReport) -> (&'static str, Option<u64>) {
    if member.node == report.log.node {
        return ("leader", Some(0));
    }
    match report.log.peers.iter().find(|peer| peer.node == member.node) {
        Some(peer) if !peer.heard => ("silent", None),
        Some(peer) if peer.installs => ("gets a snapshot", None),
        Some(peer) => ("follower", Some(report.log.last.0.saturating_sub(peer.matched.0))),
        None => ("unknown", None),
    }
}

fn seat(seat: Seat) -> &'static str {
    match seat {
        Seat::Learner => "learner",
        Seat::Voter => "voter",
        Seat::Incoming => "voter to be",
        Seat::Outgoing => "leaving",
        Seat::Demoted => "learner to be",
    }
}

fn incarnation(contact: &Contact) -> String {
    format!("{:016x}", contact.incarnation.0)
}

fn as_json(member: &Member, report: &NodeReport) -> serde_json::Value {
    let (role, lag) = standing(member, report);
    let contact = member.contact.as_ref();
    json!({
        "node": member.node.0,
        "seat": seat(member.seat),
        "priority": member.priority,
        "role": role,
        "lag": lag,
        "peer": contact.map(|contact| &contact.address),
        "client": contact.map(|contact| &contact.client_address),
        "incarnation": contact.map(incarnation),
        "settled": report.log.members_settled,
    })
}
