//! Who came before whom, whatever the key: each client's order, and who read from whom.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::check::evidence;
use crate::graph::{Graph, Why};
use crate::search::Outcome;
use crate::unknown::{self, Order};
use crate::verdict::{Before, Evidence};
use crate::versions::{Change, Seen, Unclear, Version, Versions};
use crate::whole::Whole;
use crate::{Counterexample, Model, Operation, Verdict};

/// What may stand where no value tells.
const UNANSWERED: Seen =
    Seen { key: 0, reads: None, writes: false, after: None, shown_by: None, is_void: true };

/// What is known of the operations of a history, each named by its place.
pub(crate) struct Relations {
    /// What each had to do with versions; void if it is no evidence.
    pub(crate) seen: Vec<Seen>,
    pub(crate) change: Change,
    /// Operations one after the other: those of each client, and apart from them each that was seen
    /// and never answered.
    pub(crate) sessions: Vec<Vec<usize>>,
    /// The session of each operation, and its place there.
    pub(crate) at: Vec<(usize, usize)>,
    /// The last operation of the same client before one that was never answered.
    before_unanswered: Vec<(usize, usize)>,
    /// By key, the writes, by session.
    pub(crate) writes: Vec<BTreeMap<usize, Vec<usize>>>,
}

pub(crate) const CLIENT: &str = "the same client asked for it before the next";
pub(crate) const READ: &str = "the next found what it wrote";

impl Relations {
    /// Finds them.
    ///
    /// # Errors
    /// The verdict where they cannot be known, or are nonsense.
    pub(crate) fn of<M: Model>(
        model: &M,
        history: &[Operation<M::Input, M::Output>],
    ) -> Result<Self, Verdict> {
        let is_evidence = |place: &usize| {
            let operation = &history[*place];
            operation.returned.is_some() || model.changes(&operation.input, None)
        };
        let places: Vec<_> = (0..history.len()).filter(is_evidence).collect();
        let operations: Vec<_> = places.iter().map(|place| &history[*place]).collect();
        let about = "all keys".to_owned();
        let Versions { seen: known, change, is_complete } = match Whole(model).versions(&operations)
        {
            Ok(versions) => versions,
            Err(Unclear::Ambiguous(why)) => return Err(Verdict::Unknown { about, why }),
            Err(Unclear::Impossible(guilty)) => {
                return Err(nonsense(model, &operations, &places, &guilty));
            }
        };
        if !is_complete {
            let why = "have deletions, so that what is found does not tell who wrote it".into();
            return Err(Verdict::Unknown { about, why });
        }
        let in_history = |version| match version {
            Version::Initial => Version::Initial,
            Version::Of(write) => Version::Of(places[write]),
        };
        let mut seen = vec![UNANSWERED; history.len()];
        for (place, own) in places.iter().zip(known) {
            let (reads, after) = (own.reads.map(in_history), own.after.map(in_history));
            let shown_by = own.shown_by.map(|by| places[by]);
            seen[*place] = Seen { reads, after, shown_by, ..own };
        }
        let mut relations = Self {
            seen,
            change,
            sessions: Vec::new(),
            at: vec![(usize::MAX, 0); history.len()],
            before_unanswered: Vec::new(),
            writes: Vec::new(),
        };
        relations.find_sessions(history)?;
        Ok(relations)
    }

    fn find_sessions<I, O>(&mut self, history: &[Operation<I, O>]) -> Result<(), Verdict> {
        let mut clients = BTreeMap::<u64, Vec<usize>>::new();
        let mut unanswered = Vec::new();
        for (place, operation) in history.iter().enumerate().filter(|it| !self.seen[it.0].is_void) {
            if operation.returned.is_some() {
                clients.entry(operation.client).or_default().push(place);
            } else {
                unanswered.push(place);
            }
        }
        let end = |place: usize| history[place].returned.as_ref().map_or(u64::MAX, |it| it.at);
        for (client, own) in &mut clients {
            own.sort_by_key(|place| (history[*place].invoked, end(*place)));
            let at_once = |pair: &[usize]| {
                let from = [history[pair[0]].invoked, history[pair[1]].invoked];
                // Two that took no time at all, at the same time, are in no order.
                end(pair[0]) > from[1] || end(pair[1]) <= from[0]
            };
            if own.windows(2).any(at_once) {
                let why =
                    "has several operations under way at once, so that its order is not known";
                return Err(Verdict::Unknown {
                    about: format!("client {client}"),
                    why: why.into(),
                });
            }
        }
        for place in unanswered {
            let Operation { client, invoked, .. } = &history[place];
            let own = clients.get(client).map_or(&[][..], |own| own);
            if let Some(count) = own.partition_point(|other| end(*other) <= *invoked).checked_sub(1)
            {
                self.before_unanswered.push((own[count], place));
            }
            self.sessions.push(vec![place]);
        }
        self.sessions.extend(clients.into_values());
        let keys = self.seen.iter().map(|seen| seen.key + 1).max().unwrap_or_default();
        self.writes = vec![BTreeMap::new(); keys];
        for (session, own) in self.sessions.iter().enumerate() {
            for (number, &place) in own.iter().enumerate() {
                self.at[place] = (session, number);
                if self.seen[place].writes {
                    let writes = &mut self.writes[self.seen[place].key];
                    writes.entry(session).or_default().push(place);
                }
            }
        }
        Ok(())
    }

    /// Each client's order, and from writes to those who read them.
    pub(crate) fn graph(&self) -> Graph {
        let mut graph = Graph::new(self.seen.len());
        for pair in self.sessions.iter().flat_map(|own| own.windows(2)) {
            graph.add(pair[0], pair[1], CLIENT);
        }
        for (before, place) in &self.before_unanswered {
            graph.add(*before, *place, CLIENT);
        }
        for (place, seen) in self.seen.iter().enumerate() {
            if let Some(Version::Of(write)) = seen.reads {
                graph.add(write, place, READ);
            }
        }
        graph
    }

    /// For each operation and session, how many of its operations come before it or are it, by what
    /// `graph` says; `order` is one of it.
    pub(crate) fn clocks(&self, graph: &Graph, order: &[usize]) -> Clocks {
        let width = self.sessions.len();
        let mut clocks = Clocks { width, counts: vec![0; order.len() * width] };
        for &place in order {
            let own = place * width;
            // Nodes beyond the history belong to no session.
            if let Some((session, number)) = self.at.get(place).filter(|at| at.0 != usize::MAX) {
                clocks.counts[own + session] = *number as u32 + 1;
            }
            for next in graph.next(place) {
                let to = next * clocks.width;
                let (low, high) = (own.min(to), own.max(to));
                let (one, other) = clocks.counts.split_at_mut(high);
                let (one, other) = (&mut one[low..low + width], &mut other[..width]);
                let (from, to) = if own < to { (&*one, other) } else { (&*other, one) };
                for (to, from) in to.iter_mut().zip(from) {
                    *to = (*to).max(*from);
                }
            }
        }
        clocks
    }

    /// By session, the first write of the same key that comes after this one.
    pub(crate) fn first_writes<'a>(
        &'a self,
        clocks: &'a Clocks,
        place: usize,
    ) -> impl Iterator<Item = usize> + 'a {
        let (session, number) = self.at[place];
        self.writes[self.seen[place].key].values().filter_map(move |writes| {
            let is_before =
                |write: &usize| *write != place && clocks.before(*write, session) > number;
            let known = writes.partition_point(|write| !is_before(write));
            writes.get(known).copied()
        })
    }

    /// By session, the last write of the key before an operation, itself not counted.
    pub(crate) fn last_writes<'a>(
        &'a self,
        clocks: &'a Clocks,
        place: usize,
    ) -> impl Iterator<Item = usize> + 'a {
        self.writes[self.seen[place].key].iter().filter_map(move |(session, writes)| {
            let mut count = clocks.before(place, *session);
            if self.at[place].0 == *session {
                count -= 1;
            }
            let known = writes.partition_point(|write| self.at[*write].1 < count);
            Some(writes[known.checked_sub(1)?])
        })
    }
}

/// For each operation and session, how many of its operations come before it or are it.
pub(crate) struct Clocks {
    width: usize,
    counts: Vec<u32>,
}

impl Clocks {
    pub(crate) fn before(&self, place: usize, session: usize) -> usize {
        self.counts[place * self.width + session] as usize
    }
}

/// The evidence of a circle. A node beyond the history stands for several of its operations: what comes
/// before it comes before what it leads to, for the reason that is told there.
pub(crate) fn circle<I: Display, O: Display>(
    mut circle: Vec<(usize, Why)>,
    history: &[Operation<I, O>],
) -> Verdict {
    let told = |why: Why| match why.by {
        Some(by) => format!("{}: {}", why.text, history[by]),
        None => why.text.to_owned(),
    };
    let first = circle.iter().position(|(node, _)| *node < history.len()).unwrap_or_default();
    circle.rotate_left(first);
    let mut cycle = Vec::<Before>::new();
    for (operation, why) in circle {
        if operation < history.len() {
            cycle.push(Before { operation, because: told(why) });
        } else if let Some(last) = cycle.last_mut().filter(|_| why.by.is_some()) {
            last.because = told(why);
        }
    }
    Verdict::Illegal(Counterexample { about: "all keys".into(), evidence: Evidence::Cycle(cycle) })
}

/// What was found that nobody can have written; or what contradicts itself only in a strict order.
fn nonsense<M: Model>(
    model: &M,
    operations: &[&Operation<M::Input, M::Output>],
    places: &[usize],
    guilty: &[usize],
) -> Verdict {
    let few: Vec<_> = guilty.iter().map(|n| operations[*n]).collect();
    if let [one] = &few[..]
        && let Outcome::Stuck(stuck) = unknown::search(&Whole(model), &few, Order::Clients, 100)
    {
        let about = format!("key {:?}", model.key(&one.input));
        let places: Vec<_> = guilty.iter().map(|n| places[*n]).collect();
        return Verdict::Illegal(Counterexample { about, evidence: evidence(stuck, &places) });
    }
    let about = "all keys".into();
    Verdict::Unknown { about, why: "show contradictory orders of their writes".into() }
}
