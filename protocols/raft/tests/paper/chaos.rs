//! Random schedules: messages lost, doubled and reordered, disks that take their time, crashes,
//! partitions, proposals, reads, snapshots. What the users are told is checked by what must be true
//! of any replicated log, without a look into the nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use synod_consensus::{Event, Output, Payload, Request};
use synod_engine::{Input, Random, Token};
use synod_raft::{Config, Rules};

use crate::cluster::{Cluster, RaftCluster as _};
use crate::driver::{Disk, snapshot};

/// What a user waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waits {
    Proposal,
    /// A read, and what was committed anywhere when it was asked for.
    Read(u64),
    Transfer,
}

/// A cluster under a random schedule, and its users.
pub(crate) struct Chaos<R: Rules> {
    pub(crate) cluster: Cluster<R>,
    pub(crate) random: Random,
    /// How often requests ended in which way.
    pub(crate) endings: BTreeMap<&'static str, u64>,
    /// What any user was told to be committed, by index.
    committed: BTreeMap<u64, Payload>,
    /// By node and token.
    waiting: BTreeMap<(u64, Token), Waits>,
    refused: BTreeSet<Bytes>,
    tokens: u64,
}

impl<R: Rules> Chaos<R> {
    pub(crate) fn new(seed: u64, nodes: u64, config: impl Fn(u64) -> Config<R>) -> Self {
        let mut cluster = Cluster::with_logs(0, &vec![&[][..]; nodes as usize], config);
        cluster.nodes.values_mut().for_each(|node| node.disk = Disk::Manual);
        Self {
            cluster,
            random: Random::new(seed),
            endings: BTreeMap::new(),
            committed: BTreeMap::new(),
            waiting: BTreeMap::new(),
            refused: BTreeSet::new(),
            tokens: 0,
        }
    }

    /// One thing happens.
    pub(crate) fn happen(&mut self) {
        let id = self.random.between(1, self.cluster.nodes.len() as u64);
        match self.random.below(1000) {
            0..500 => self.network(),
            500..560 => self.time(),
            560..700 => self.cluster.at(id, crate::driver::Node::sync_one),
            700..720 => self.cluster.at(id, crate::driver::Node::sync),
            720..840 => self.propose(id),
            840..850 => self.transfer(id),
            850..900 => self.read(id),
            900..915 => self.cancel(),
            915..970 => self.apply(id),
            970..985 => self.snapshot(id),
            985..990 => {
                self.waiting.retain(|(node, _), _| *node != id);
                self.cluster.reboot(id);
            }
            990..993 => self.cluster.isolate(&[id]),
            _ => self.cluster.heal(),
        }
        self.listen();
    }

    /// All is well again: everything that was asked must end.
    pub(crate) fn calm(&mut self) {
        self.cluster.heal();
        for id in 1..=self.cluster.nodes.len() as u64 {
            self.cluster.node(id).disk = Disk::Instant;
            self.cluster.at(id, crate::driver::Node::sync);
        }
        for _ in 0..100 {
            self.cluster.run(Duration::from_millis(100));
            self.listen();
            (1..=self.cluster.nodes.len() as u64).for_each(|id| self.apply(id));
        }
        assert_eq!(self.waiting, BTreeMap::new(), "every request ends");
        let mut effects = BTreeSet::new();
        for payload in self.committed.values() {
            let Payload::Command(command) = payload else { continue };
            assert!(effects.insert(command), "{command:?} took effect twice");
            assert!(!self.refused.contains(command), "{command:?} was refused and took effect");
        }
    }

    fn network(&mut self) {
        if self.cluster.network.is_empty() {
            return;
        }
        let place = self.random.below(self.cluster.network.len() as u64) as usize;
        let is_full = self.cluster.network.len() > 60;
        match self.random.below(100) {
            0..5 => drop(self.cluster.network.remove(place)),
            5..10 if !is_full => {
                let again = self.cluster.network[place].clone();
                self.cluster.network.push(again);
            }
            _ => self.cluster.deliver(place),
        }
        if is_full {
            self.cluster.network.swap_remove(0);
        }
    }

    /// The next timer that is due fires; sometimes another one does, since clocks differ.
    fn time(&mut self) {
        let mut due: Vec<_> = Vec::new();
        for (id, node) in &self.cluster.nodes {
            due.extend(node.timers.iter().map(|(timer, at)| (*at, *id, *timer)));
        }
        due.sort();
        let early = if self.random.chance(100_000) { due.len() as u64 } else { 1 };
        if let Some((at, id, timer)) = due.get(self.random.below(early.max(1)) as usize).copied() {
            let is_early = at > due[0].0;
            self.cluster.at(id, |node| match is_early {
                true => {
                    node.input(Input::Timer(timer));
                    node.input(Input::Flush);
                }
                false => node.fire(timer),
            });
        }
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    fn propose(&mut self, id: u64) {
        let token = self.token();
        self.waiting.insert((id, token), Waits::Proposal);
        self.cluster.at(id, |node| node.propose(token.0, token.to_string()));
    }

    fn read(&mut self, id: u64) {
        let token = self.token();
        let committed = self.committed.keys().last().copied().unwrap_or(0);
        self.waiting.insert((id, token), Waits::Read(committed));
        let request = Request::Read;
        self.cluster.at(id, |node| node.input(Input::Request { token, request }));
        if self.random.chance(500_000) {
            self.cluster.at(id, |node| node.input(Input::Flush));
        }
    }

    fn transfer(&mut self, id: u64) {
        let token = self.token();
        let nodes = self.cluster.nodes.len() as u64;
        let successor = Some(self.random.between(1, nodes)).filter(|_| self.random.chance(700_000));
        self.waiting.insert((id, token), Waits::Transfer);
        self.cluster.at(id, |node| node.transfer(token.0, successor));
    }

    fn cancel(&mut self) {
        let place = self.random.below(self.waiting.len().max(1) as u64) as usize;
        if let Some((id, token)) = self.waiting.keys().nth(place).copied() {
            self.cluster.input(id, Input::Cancel(token));
        }
    }

    fn apply(&mut self, id: u64) {
        let commit = self.cluster.nodes[&id].view().commit.0;
        self.cluster.input(id, Input::Applied(commit));
    }

    fn snapshot(&mut self, id: u64) {
        let node = self.cluster.node(id);
        let Some((task, _)) = node.tasks.pop() else { return };
        let index = node.view().applied;
        let output = match self.random.chance(900_000) && index.0 > 0 {
            true => Output::Snapshot { index, blob: snapshot(index.0, 0).blob },
            false => Output::SnapshotFailed,
        };
        self.cluster.input(id, Input::TaskDone { id: task, output });
    }

    /// Takes in what the users are told.
    fn listen(&mut self) {
        let ids: Vec<u64> = self.cluster.nodes.keys().copied().collect();
        for id in ids {
            for event in core::mem::take(&mut self.cluster.node(id).events) {
                self.told(id, event);
            }
        }
    }

    fn told(&mut self, id: u64, event: Event) {
        match event {
            Event::Committed { batch, own } => {
                for (index, payload) in batch.iter() {
                    let known = self.committed.entry(index.0).or_insert_with(|| payload.clone());
                    assert_eq!(known, payload, "n{id} is told another entry {index}");
                }
                for (index, token) in own {
                    self.ends(id, token, "committed", Waits::Proposal);
                    let command = Payload::Command(token.to_string().into());
                    assert_eq!(self.committed[&index.0], command, "{token} has its own entry");
                }
            }
            Event::ReadReady { index, tokens } => {
                for token in tokens {
                    let Some(Waits::Read(at_least)) = self.waiting.remove(&(id, token)) else {
                        panic!("n{id} ends {token}, for which no read waits")
                    };
                    assert!(index.0 >= at_least, "a stale read: {index} after {at_least}");
                    *self.endings.entry("read").or_default() += 1;
                }
            }
            Event::Refused { token, refusal: _ } => {
                assert!(self.waiting.remove(&(id, token)).is_some(), "{token} ends twice");
                self.refused.insert(token.to_string().into());
                *self.endings.entry("refused").or_default() += 1;
            }
            Event::Unknown { token } => self.ends(id, token, "unknown", Waits::Proposal),
            Event::Transferred { token } => self.ends(id, token, "transferred", Waits::Transfer),
            Event::Install(_) | Event::Members(_) | Event::Leadership { .. } => {}
        }
    }

    fn ends(&mut self, id: u64, token: Token, how: &'static str, as_what: Waits) {
        let waited = self.waiting.remove(&(id, token));
        assert_eq!(waited, Some(as_what), "n{id} says {token} is {how}");
        *self.endings.entry(how).or_default() += 1;
    }
}
