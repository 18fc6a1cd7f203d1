//! The order without a search, where the values tell.
//!
//! If no value is written twice, all that found one version of a key stand together in any order,
//! after the write that made it; and versions that are known to follow each other directly (what was
//! appended, what was swapped) stand together as one *era*. One era comes before another if one of its
//! operations ended before one of the other began. So it is enough to order eras by the first end of
//! each and the last begin of each, in O(n log n) (Gibbons and Korach, 1997).
//!
//! Neither answer is taken on trust: an order that is found is run through the model, and of a
//! contradiction the operations that take part in it are searched like any history.
//!
//! The paper: P. B. Gibbons, E. Korach, *Testing shared memories* (1997).

use std::collections::BTreeSet;

use crate::timeline::Span;
use crate::unknown::{Order, lanes};
use crate::versions::{Seen, Unclear, Version, Versions};
use crate::{Model, Operation};

/// What the values tell.
pub(crate) enum Guess {
    /// There is an order.
    Explained,
    /// These operations alone seem to have none.
    Guilty(Vec<usize>),
    /// Nothing.
    Nothing,
}

/// Versions that follow each other directly, with all that found them.
#[derive(Default)]
struct Era {
    /// In an order that may be theirs.
    operations: Vec<usize>,
    /// The first end; nothing is before what was there at the beginning.
    first_end: Option<(u64, usize)>,
    last_begin: Option<(u64, usize)>,
}

type Asked<'a, M> = &'a Operation<<M as Model>::Input, <M as Model>::Output>;

/// Looks for an order of one key's operations.
pub(crate) fn guess<M: Model>(model: &M, operations: &[Asked<'_, M>]) -> Guess {
    let Ordered { seen, ordered, times } = match order(model, operations, Order::Time) {
        Ok(ordered) => ordered,
        Err(guess) => return guess,
    };
    let floats = |n: &usize| !is_bound(&seen[*n]) && !seen[*n].is_void;
    let floating: Vec<_> = (0..seen.len()).filter(floats).collect();
    if replays(model, operations, &times, &ordered, floating) {
        Guess::Explained
    } else {
        Guess::Nothing
    }
}

/// An order of those that found or made a version, which keeps that of time or of clients.
pub(crate) struct Ordered {
    seen: Vec<Seen>,
    pub(crate) ordered: Vec<usize>,
    times: Times,
}

fn is_bound(seen: &Seen) -> bool {
    seen.reads.is_some() || seen.writes
}

/// Orders what the values tell of one key's operations.
pub(crate) fn order<M: Model>(
    model: &M,
    operations: &[Asked<'_, M>],
    kept: Order,
) -> Result<Ordered, Guess> {
    let seen = match model.versions(operations) {
        Ok(Versions { seen, .. }) => seen,
        Err(Unclear::Ambiguous(_)) => return Err(Guess::Nothing),
        Err(Unclear::Impossible(guilty)) => return Err(Guess::Guilty(guilty)),
    };
    let times = Times::of(&lanes(operations, kept));
    let eras = eras(&seen, &times);
    let order = in_order(&eras)
        .map_err(|(one, other)| Guess::Guilty(guilty(&seen, &eras, &[one, other], &[])))?;
    let ordered: Vec<usize> =
        order.iter().flat_map(|era| &eras[*era].operations).copied().collect();
    if let Err((late, early)) = times.agree(&ordered) {
        let of = |operation: usize| {
            eras.iter().position(|era| era.operations.contains(&operation)).unwrap_or_default()
        };
        let guilty = guilty(&seen, &eras, &[of(late), of(early)], &[late, early]);
        return Err(Guess::Guilty(guilty));
    }
    if ordered.len() < seen.iter().filter(|seen| is_bound(seen)).count() {
        // Some follow each other in a circle.
        let ordered: BTreeSet<_> = ordered.into_iter().collect();
        let is_left = |n: &usize| is_bound(&seen[*n]) && !ordered.contains(n);
        let circle: Vec<_> = (0..seen.len()).filter(is_left).collect();
        return Err(Guess::Guilty(guilty(&seen, &eras, &[], &circle)));
    }
    Ok(Ordered { seen, ordered, times })
}

/// When the operations began and ended.
struct Times {
    begins: Vec<u64>,
    ends: Vec<u64>,
}

impl Times {
    fn of(spans: &[Span]) -> Self {
        let end = |span: &Span| span.end.map_or(u64::MAX, |end| end.max(span.begin));
        Self {
            begins: spans.iter().map(|span| span.begin).collect(),
            ends: spans.iter().map(end).collect(),
        }
    }

    /// Whether nothing comes after what began after its end; else the two that do not agree.
    fn agree(&self, order: &[usize]) -> Result<(), (usize, usize)> {
        let mut first_end = (u64::MAX, usize::MAX);
        for &operation in order.iter().rev() {
            if first_end.0 < self.begins[operation] {
                return Err((operation, first_end.1));
            }
            first_end = first_end.min((self.ends[operation], operation));
        }
        Ok(())
    }
}

/// The eras; the first is what was there at the beginning, with what is known to follow it.
fn eras(seen: &[Seen], times: &Times) -> Vec<Era> {
    let mut next = vec![None; seen.len()];
    let mut first = None;
    let mut readers = vec![Vec::new(); seen.len()];
    let mut of_initial = Vec::new();
    for (operation, seen) in seen.iter().enumerate() {
        match seen.after {
            Some(Version::Of(before)) => next[before] = Some(operation),
            Some(Version::Initial) => first = Some(operation),
            None => {}
        }
        match seen.reads {
            Some(_) if seen.writes => {}
            Some(Version::Of(write)) => readers[write].push(operation),
            Some(Version::Initial) => of_initial.push(operation),
            None => {}
        }
    }
    let era = |mut operations: Vec<usize>, mut write: Option<usize>| {
        operations.sort_by_key(|operation| times.begins[*operation]);
        while let Some(made) = write {
            operations.push(made);
            let readers = &mut readers[made].clone();
            readers.sort_by_key(|operation| times.begins[*operation]);
            operations.append(readers);
            write = next[made];
        }
        Era {
            first_end: operations
                .iter()
                .map(|operation| (times.ends[*operation], *operation))
                .min(),
            last_begin: operations
                .iter()
                .map(|operation| (times.begins[*operation], *operation))
                .max(),
            operations,
        }
    };
    let roots = (0..seen.len()).filter(|n| seen[*n].writes && seen[*n].after.is_none());
    let mut eras = vec![Era { first_end: None, ..era(of_initial, first) }];
    eras.extend(roots.map(|root| era(Vec::new(), Some(root))));
    eras
}

/// An order of eras in which none comes before one that it must follow; else two that must each come
/// before the other.
fn in_order(eras: &[Era]) -> Result<Vec<usize>, (usize, usize)> {
    let end = |era: usize| eras[era].first_end.map(|(time, _)| time);
    let begin = |era: usize| eras[era].last_begin.map(|(time, _)| time);
    let mut by_begin: BTreeSet<_> = (0..eras.len()).map(|era| (begin(era), era)).collect();
    let mut by_end: BTreeSet<_> = (0..eras.len()).map(|era| (end(era), era)).collect();
    let mut order = Vec::new();
    while let Some(&(first_end, first)) = by_end.first() {
        let mut next = first;
        // Whatever begins before all ends may be next; else only that which ends first.
        if let Some(&(least, era)) = by_begin.first()
            && least <= first_end
        {
            next = era;
        } else if let Some(&(second_end, second)) = by_end.iter().nth(1)
            && second_end < begin(first)
        {
            return Err((first, second));
        }
        by_begin.remove(&(begin(next), next));
        by_end.remove(&(end(next), next));
        order.push(next);
    }
    Ok(order)
}

/// Those who contradict each other, and the writes behind what they found.
fn guilty(seen: &[Seen], eras: &[Era], of: &[usize], operations: &[usize]) -> Vec<usize> {
    let extremes = of.iter().flat_map(|era| [eras[*era].first_end, eras[*era].last_begin]);
    let mut left: Vec<usize> = extremes.flatten().map(|(_, operation)| operation).collect();
    left.extend(operations);
    let mut guilty = BTreeSet::new();
    while let Some(operation) = left.pop() {
        if guilty.insert(operation) {
            left.extend(seen[operation].shown_by);
            for version in [seen[operation].reads, seen[operation].after] {
                if let Some(Version::Of(write)) = version {
                    left.push(write);
                }
            }
        }
    }
    guilty.into_iter().collect()
}

/// Whether the model answers in this order as it was recorded, with those `floating` that are bound to
/// no version put in where they fit first.
fn replays<M: Model>(
    model: &M,
    operations: &[Asked<'_, M>],
    times: &Times,
    order: &[usize],
    mut floating: Vec<usize>,
) -> bool {
    let mut first_ends = vec![u64::MAX; order.len() + 1];
    for (place, operation) in order.iter().enumerate().rev() {
        first_ends[place] = first_ends[place + 1].min(times.ends[*operation]);
    }
    floating.sort_by_key(|operation| times.begins[*operation]);
    let mut state = model.initial();
    let mut open = Vec::new();
    let mut floating = floating.into_iter().peekable();
    for (place, first_end) in first_ends.iter().enumerate() {
        open.extend(std::iter::from_fn(|| floating.next_if(|n| times.begins[*n] <= *first_end)));
        let mut first_open = u64::MAX;
        open.retain(|n: &usize| {
            let asked = operations[*n];
            let after = model.step(&state, &asked.input, asked.output());
            let stays = first_open < times.begins[*n] || after.as_ref() != Some(&state);
            if stays {
                first_open = first_open.min(times.ends[*n]);
            }
            stays
        });
        let Some(&next) = order.get(place) else { break };
        if open.iter().any(|n| times.ends[*n] < times.begins[next]) {
            return false;
        }
        let asked = operations[next];
        match model.step(&state, &asked.input, asked.output()) {
            Some(after) => state = after,
            None => return false,
        }
    }
    open.is_empty() && floating.next().is_none()
}
