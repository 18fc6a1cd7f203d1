//! What must come before what in every sequential order, where the values tell who read from whom.
//!
//! Beside each client's order, and writes before those who read them: whoever comes before a read, and
//! wrote the same key, comes before the write that was read; and who comes after that write comes after
//! the read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::graph::{Graph, Why};
use crate::relations::{Clocks, Relations, circle};
use crate::unknown::Order;
use crate::versions::{Change, Version};
use crate::{Model, Operation, Verdict, eras};

const DIRECT: &str = "answers show that the next came directly after it";
const UNREAD: &str = "it is shown by answers that do not show the next";
const FIRST: &str = "it found what was there before all writes, so before the next";
const OVERWRITTEN: &str = "the next overwrote what it found";
const KNOWN: &str = "it came before one that found what the next wrote";

/// The verdict, if it is found without a search.
pub(super) fn judge<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
) -> Option<Verdict>
where
    M::Input: Display,
    M::Output: Display,
{
    let relations = match Relations::of(model, history) {
        Ok(relations) => relations,
        Err(illegal @ Verdict::Illegal(_)) => return Some(illegal),
        Err(Verdict::Ok | Verdict::Unknown { .. }) => return None,
    };
    let saturation = Saturation::new(&relations);
    let is_legal = |graph: &Graph| is_explained(model, history, &relations, graph);
    if with_time(model, history, &relations, &saturation.graph).is_some_and(|it| is_legal(&it)) {
        return Some(Verdict::Ok);
    }
    match saturation.run() {
        Err(found) => Some(circle(found, history)),
        Ok(graph) => is_legal(&graph).then_some(Verdict::Ok),
    }
}

/// The same, with each key in an order that keeps time, if there is one: mostly a history is linearizable
/// or nearly so, and then these orders agree.
fn with_time<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    relations: &Relations,
    graph: &Graph,
) -> Option<Graph> {
    let mut graph = graph.clone();
    let mut keys = vec![Vec::new(); relations.writes.len()];
    let is_known = |place: &usize| !relations.seen[*place].is_void;
    for place in (0..history.len()).filter(is_known) {
        keys[relations.seen[place].key].push(place);
    }
    for places in keys {
        let operations: Vec<_> = places.iter().map(|place| &history[*place]).collect();
        let ordered = eras::order(model, &operations, Order::Clients).ok()?.ordered;
        for pair in ordered.windows(2) {
            graph.add(places[pair[0]], places[pair[1]], KNOWN);
        }
    }
    graph.sort().is_ok().then_some(graph)
}

struct Saturation<'a> {
    relations: &'a Relations,
    graph: Graph,
    /// For each write, who found it: those that only read, and the one that wrote the next version.
    readers: Vec<(Vec<usize>, Option<usize>)>,
    /// For each write that others only read, a node after all of them.
    all_read: Vec<Option<usize>>,
}

impl<'a> Saturation<'a> {
    fn new(relations: &'a Relations) -> Self {
        let mut saturation = Self {
            relations,
            graph: relations.graph(),
            readers: vec![(Vec::new(), None); relations.seen.len()],
            all_read: vec![None; relations.seen.len()],
        };
        let mut of_initial = vec![(Vec::new(), None); relations.writes.len()];
        for (place, seen) in relations.seen.iter().enumerate() {
            let (read, next) = match (seen.reads, seen.after) {
                (_, Some(after)) => (after, true),
                (Some(read), None) => (read, seen.writes),
                (None, None) => continue,
            };
            let (readers, direct) = match read {
                Version::Initial => &mut of_initial[seen.key],
                Version::Of(write) => {
                    saturation.graph.add(write, place, DIRECT);
                    &mut saturation.readers[write]
                }
            };
            if next {
                *direct = Some(place);
            } else {
                readers.push(place);
            }
        }
        for (key, (readers, direct)) in of_initial.iter().enumerate() {
            saturation.before_all_writes(key, readers, *direct);
        }
        for write in 0..relations.seen.len() {
            saturation.before_next(write);
        }
        if relations.change == Change::Add {
            saturation.unread_last(&of_initial);
        }
        saturation
    }

    /// Who found what was there before all writes comes before these.
    fn before_all_writes(&mut self, key: usize, readers: &[usize], direct: Option<usize>) {
        let found = self.graph.node();
        for reader in readers {
            self.graph.add(*reader, found, FIRST);
        }
        let writes = self.relations.writes[key].values().flatten();
        for write in writes.filter(|write| Some(**write) != direct) {
            self.graph.add(found, *write, FIRST);
            direct.iter().for_each(|direct| self.graph.add(*direct, *write, FIRST));
        }
        direct.iter().for_each(|direct| self.graph.add(found, *direct, FIRST));
    }

    /// Those that only read a version come before the one that made the next.
    fn before_next(&mut self, write: usize) {
        let (readers, direct) = &self.readers[write];
        if readers.is_empty() {
            return;
        }
        let all = self.graph.node();
        for reader in readers {
            self.graph.add(*reader, all, OVERWRITTEN);
        }
        direct.iter().for_each(|direct| self.graph.add(all, *direct, OVERWRITTEN));
        self.all_read[write] = Some(all);
    }

    /// In a list, what nobody found comes after all that somebody found, and after those who found it.
    fn unread_last(&mut self, of_initial: &[(Vec<usize>, Option<usize>)]) {
        for (key, (_, first)) in of_initial.iter().enumerate() {
            let Some(mut last) = *first else { continue };
            while let Some(next) = self.readers[last].1 {
                last = next;
            }
            let unread = self.relations.writes[key].values().flatten();
            let unread = unread.filter(|place| self.relations.seen[**place].after.is_none());
            for place in unread {
                self.graph.add(last, *place, UNREAD);
                self.all_read[last].iter().for_each(|all| self.graph.add(*all, *place, UNREAD));
            }
        }
    }

    /// Adds until nothing is left to add.
    fn run(mut self) -> Result<Graph, Vec<(usize, Why)>> {
        loop {
            let clocks = self.relations.clocks(&self.graph, &self.graph.sort()?);
            let new = self.missing(&clocks);
            if new.is_empty() {
                return Ok(self.graph);
            }
            new.into_iter().for_each(|(from, to, why)| self.graph.add_shown(from, to, why));
        }
    }

    /// What must come before what, and does not yet.
    fn missing(&self, clocks: &Clocks) -> Vec<(usize, usize, Why)> {
        let mut missing = Vec::new();
        let is_known = |from: usize, to: usize| {
            let (session, number) = self.relations.at[from];
            clocks.before(to, session) > number
        };
        for (write, (readers, direct)) in self.readers.iter().enumerate() {
            let all = readers.iter().chain(direct);
            for reader in all.clone() {
                for before in self.relations.last_writes(clocks, *reader) {
                    if before != write && !is_known(before, write) {
                        missing.push((before, write, Why { text: KNOWN, by: Some(*reader) }));
                    }
                }
            }
            if all.clone().next().is_none() {
                continue;
            }
            for after in self.relations.first_writes(clocks, write) {
                let why = Why { text: OVERWRITTEN, by: None };
                let new = direct.filter(|direct| *direct != after && !is_known(*direct, after));
                missing.extend(new.map(|direct| (direct, after, why)));
                if readers.iter().any(|reader| !is_known(*reader, after)) {
                    missing.extend(self.all_read[write].map(|all| (all, after, why)));
                }
            }
        }
        missing
    }
}

/// Whether some order of `graph` is a run of the model: the next is who was asked first, of those of whom
/// nobody is still to come that found what it overwrites.
fn is_explained<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    relations: &Relations,
    graph: &Graph,
) -> bool {
    let seen = &relations.seen;
    let initial = |key: usize| seen.len() + key;
    let version = |place: usize| match seen[place].reads? {
        Version::Initial => Some(initial(seen[place].key)),
        Version::Of(write) => Some(write),
    };
    let mut left = vec![0; seen.len() + relations.writes.len()];
    (0..seen.len()).filter_map(version).for_each(|version| left[version] += 1);
    let mut now: Vec<_> = (0..relations.writes.len()).map(initial).collect();
    let mut parked = vec![Vec::new(); relations.writes.len()];
    let mut states = BTreeMap::new();
    let mut before = graph.before();
    let when = |node: usize| history.get(node).map_or(0, |operation| operation.invoked);
    let mut ready: BTreeSet<_> = (0..before.len())
        .filter(|node| before[*node] == 0)
        .map(|node| (when(node), node))
        .collect();
    let mut done = 0;
    while let Some((_, node)) = ready.pop_first() {
        if node < seen.len() && !seen[node].is_void {
            let (own, asked) = (seen[node], &history[node]);
            let cut_off = left[now[own.key]] - usize::from(version(node) == Some(now[own.key]));
            let key = model.key(&asked.input);
            let step = || {
                let state = states.get(&key).cloned().unwrap_or_else(|| model.initial());
                model.step(&state, &asked.input, asked.output())
            };
            let Some(after) = (!own.writes || cut_off == 0).then(step).flatten() else {
                parked[own.key].push(node);
                continue;
            };
            states.insert(key, after);
            version(node).into_iter().for_each(|version| left[version] -= 1);
            if own.writes {
                now[own.key] = node;
            }
            // The key has changed, or one less is still to come.
            ready.extend(parked[own.key].drain(..).map(|node| (when(node), node)));
        }
        done += 1;
        for next in graph.next(node) {
            before[next] -= 1;
            if before[next] == 0 {
                ready.insert((when(next), next));
            }
        }
    }
    done == before.len()
}
