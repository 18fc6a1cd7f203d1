//! Session guarantees: what each client may rely on for itself (Terry and others, *Session guarantees
//! for weakly consistent replicated data*, 1994), key by key.
//!
//! | guarantee | what it asks of one client and one key |
//! |---|---|
//! | [`Guarantee::ReadYourWrites`] | a read finds what the client wrote before, or something newer |
//! | [`Guarantee::MonotonicReads`] | a read finds what the client found before, or something newer |
//! | [`Guarantee::MonotonicWrites`] | what the client writes later is newer |
//! | [`Guarantee::WritesFollowReads`] | what the client writes is newer than what it found before |
//!
//! *Newer* is the same for everybody: a history keeps some guarantees if each key's writes have one
//! order by which all clients have them. Where no value is written twice, each guarantee names writes of
//! which one must be older than the other, so that there is such an order unless these form a circle.
//! What spans several keys is asked by [causal consistency](crate::causal).

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::graph::{Graph, Why};
use crate::relations::{Relations, circle};
use crate::versions::{Change, Version};
use crate::{Model, Operation, Verdict};

/// What a client may rely on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guarantee {
    /// A read finds what the client wrote before, or something newer.
    ReadYourWrites,
    /// A read finds what the client found before, or something newer.
    MonotonicReads,
    /// What the client writes later is newer.
    MonotonicWrites,
    /// What the client writes is newer than what it found before.
    WritesFollowReads,
}

impl Guarantee {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self::ReadYourWrites,
        Self::MonotonicReads,
        Self::MonotonicWrites,
        Self::WritesFollowReads,
    ];

    /// Whether what is later may not be the same.
    fn is_strict(self) -> bool {
        match self {
            Self::ReadYourWrites | Self::MonotonicReads => false,
            Self::MonotonicWrites | Self::WritesFollowReads => true,
        }
    }

    fn why(self) -> &'static str {
        match self {
            Self::ReadYourWrites => {
                "read your writes: its client later found what the next wrote, in"
            }
            Self::MonotonicReads => {
                "monotonic reads: who had found it later found what the next wrote, in"
            }
            Self::MonotonicWrites => "monotonic writes: its client wrote the next later",
            Self::WritesFollowReads => "writes follow reads: who had found it wrote the next",
        }
    }
}

const SHOWN: &str = "what was found shows that it came before the next";
const FIRST: &str = "it found what was there before all writes, so before the next";

/// Whether `history` keeps these guarantees.
pub fn check<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    guarantees: &[Guarantee],
) -> Verdict
where
    M::Input: Display,
    M::Output: Display,
{
    let relations = match Relations::of(model, history) {
        Ok(relations) => relations,
        Err(verdict) => return verdict,
    };
    let mut ages = Ages::new(&relations);
    for own in &relations.sessions {
        let mut keys = BTreeMap::<usize, Vec<usize>>::new();
        for place in own {
            keys.entry(relations.seen[*place].key).or_default().push(*place);
        }
        for own in keys.values() {
            for guarantee in guarantees {
                ages.of_session(own, *guarantee);
            }
        }
    }
    ages.graph.sort().map_or_else(|found| circle(found, history), |_| Verdict::Ok)
}

/// Which write is older than which.
struct Ages<'a> {
    relations: &'a Relations,
    graph: Graph,
    /// For each key, what was there at the beginning.
    initial: Vec<usize>,
}

impl<'a> Ages<'a> {
    fn new(relations: &'a Relations) -> Self {
        let mut graph = Graph::new(relations.seen.len());
        let initial: Vec<_> = relations.writes.iter().map(|_| graph.node()).collect();
        let mut ages = Self { relations, graph, initial };
        let is_write = |place: &usize| relations.seen[*place].writes;
        for place in (0..relations.seen.len()).filter(is_write) {
            let seen = relations.seen[place];
            ages.graph.add(ages.initial[seen.key], place, FIRST);
            if let Some(Version::Of(before)) = seen.after {
                ages.graph.add(before, place, SHOWN);
            }
        }
        if relations.change == Change::Add {
            ages.unread_last();
        }
        ages
    }

    /// In a list, what nobody found is newer than all that somebody found.
    fn unread_last(&mut self) {
        let seen = &self.relations.seen;
        let has_next = |place: usize| seen.iter().any(|it| it.after == Some(Version::Of(place)));
        for (key, writes) in self.relations.writes.iter().enumerate() {
            let all = || writes.values().flatten().copied();
            let mut shown: Vec<_> = all().filter(|place| seen[*place].after.is_some()).collect();
            shown.retain(|place| !has_next(*place));
            let Some(last) = shown.first().copied() else { continue };
            for unread in all().filter(|place| seen[*place].after.is_none()) {
                self.graph.add(last, unread, SHOWN);
            }
            debug_assert!(shown.len() == 1, "key {key} has one list");
        }
    }

    /// What the operations of one client on one key show.
    fn of_session(&mut self, own: &[usize], guarantee: Guarantee) {
        let reads = |place: usize| {
            let seen = self.relations.seen[place];
            Some(match seen.reads? {
                Version::Initial => self.initial[seen.key],
                Version::Of(write) => write,
            })
        };
        let writes = |place: usize| self.relations.seen[place].writes.then_some(place);
        // What comes before, and what must be newer.
        let reads: Vec<_> = own.iter().map(|place| reads(*place)).collect();
        let writes: Vec<_> = own.iter().map(|place| writes(*place)).collect();
        let (older, newer) = match guarantee {
            Guarantee::ReadYourWrites => (&writes, &reads),
            Guarantee::MonotonicReads => (&reads, &reads),
            Guarantee::MonotonicWrites => (&writes, &writes),
            Guarantee::WritesFollowReads => (&reads, &writes),
        };
        // One that does both reads first.
        let by_itself = guarantee == Guarantee::WritesFollowReads;
        let mut past = Past::default();
        for (number, place) in own.iter().enumerate() {
            let why = Why { text: guarantee.why(), by: Some(*place) };
            if by_itself {
                past.push(&mut self.graph, older[number], why);
            }
            if let Some(newer) = newer[number] {
                past.before(&mut self.graph, newer, guarantee.is_strict(), why);
            }
            if !by_itself {
                past.push(&mut self.graph, older[number], why);
            }
        }
    }
}

/// Versions that one client has had to do with: a chain of nodes of which each stands for all so far.
#[derive(Default)]
struct Past {
    versions: Vec<usize>,
    so_far: Vec<usize>,
}

impl Past {
    fn push(&mut self, graph: &mut Graph, version: Option<usize>, why: Why) {
        let Some(version) = version.filter(|version| self.versions.last() != Some(version)) else {
            return;
        };
        let node = graph.node();
        if let Some(last) = self.so_far.last() {
            graph.add_shown(*last, node, why);
        }
        graph.add_shown(version, node, why);
        self.versions.push(version);
        self.so_far.push(node);
    }

    /// All so far are older than `newer`, which may be one of them unless this is strict.
    fn before(&self, graph: &mut Graph, newer: usize, is_strict: bool, why: Why) {
        let known = self.versions.iter().rposition(|version| *version == newer && !is_strict);
        let rest = known.map_or(0, |known| known + 1);
        for version in &self.versions[rest..] {
            if known.is_some() {
                graph.add_shown(*version, newer, why);
            }
        }
        let all = match known {
            Some(0) => None,
            Some(known) => Some(self.so_far[known - 1]),
            None => self.so_far.last().copied(),
        };
        if let Some(all) = all {
            graph.add_shown(all, newer, why);
        }
    }
}
