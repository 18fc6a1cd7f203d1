//! Whether what a watcher was told is what happened.
//!
//! Modelled on etcd's robustness tests (etcd: `tests/robustness/validate/watch.go`), rule by rule. The
//! reference is the whole history of events; [`check_history`] says whether it can be one, and whether
//! every acknowledged write is in it.
//!
//! A watch may be resumed at other servers as often as it likes: what is judged is all that it was
//! told, in the order in which it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;

/// One change of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When it happened; all changes of one transaction have the same revision.
    pub revision: u64,
    /// To which key.
    pub key: Bytes,
    /// What the key holds since; `None`: it was deleted.
    pub value: Option<Bytes>,
    /// What the key held before, if it was there and that was asked for.
    pub prev: Option<Bytes>,
    /// Whether it created the key.
    pub is_create: bool,
}

/// What a watcher was told at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// Everything up to this revision has been told now.
    pub through: u64,
    /// What happened; nothing if this only tells how far the watch has come.
    pub events: Vec<Event>,
}

/// A watch, and all that it was told.
pub struct Watched<'a> {
    /// The first revision that it wants.
    pub from: u64,
    /// Which events it wants, of those from that revision on.
    pub wants: &'a dyn Fn(&Event) -> bool,
    /// Whether it wants to know what was before.
    pub prev: bool,
    /// What it was told, in order.
    pub told: Vec<Told>,
}

/// What a watch must keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Only events that were asked for are told.
    Filter,
    /// Revisions rise.
    Ordered,
    /// No event is told twice.
    Unique,
    /// Events of one revision are told together.
    Atomic,
    /// What was said to be complete was.
    Bookmarkable,
    /// Everything between the first and the last told event is told.
    Reliable,
    /// Everything from the first wanted revision on is told.
    Resumable,
    /// What is told is what happened.
    Faithful,
    /// What is said to have been before was, and is said where it was asked for.
    PrevKv,
    /// What is said to create its key does, and nothing else.
    IsCreate,
}

/// A rule that was not kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Which one.
    pub rule: Rule,
    /// How.
    pub detail: String,
}

/// Judges what a watcher was told by `history`, all that happened, in order.
///
/// # Errors
/// The first rule that was [`Broken`].
pub fn check_watch(history: &[Event], watched: &Watched<'_>) -> Result<(), Broken> {
    filter(watched)?;
    let mut seen = BTreeSet::new();
    let mut last: Option<&Event> = None;
    let mut complete = watched.from.saturating_sub(1);
    for batch in &watched.told {
        for (place, event) in batch.events.iter().enumerate() {
            if !seen.insert((event.revision, &event.key)) {
                return Err(Rule::Unique.broken_by(event));
            }
            if last.is_some_and(|last| last.revision > event.revision) {
                return Err(Rule::Ordered.broken_by(event));
            }
            if place == 0 && last.is_some_and(|last| last.revision == event.revision) {
                return Err(Rule::Atomic.broken_by(event));
            }
            if event.revision <= complete || event.revision > batch.through {
                return Err(Rule::Bookmarkable.broken_by(event));
            }
            last = Some(event);
        }
        complete = complete.max(batch.through);
    }
    against(history, watched, complete)
}

fn filter(watched: &Watched<'_>) -> Result<(), Broken> {
    let mut told = watched.told.iter().flat_map(|told| &told.events);
    let unwanted = told.find(|event| event.revision < watched.from || !(watched.wants)(event));
    unwanted.map_or(Ok(()), |event| Err(Rule::Filter.broken_by(event)))
}

/// Compares what was told with what happened, up to what was said to be complete.
fn against(history: &[Event], watched: &Watched<'_>, complete: u64) -> Result<(), Broken> {
    let within = |event: &&Event| {
        (watched.from..=complete).contains(&event.revision) && (watched.wants)(event)
    };
    let mut wanted = history.iter().filter(within).peekable();
    let mut is_first = true;
    for event in watched.told.iter().flat_map(|told| &told.events) {
        let Some(expected) = wanted.next() else {
            return Err(Rule::Faithful.broken_by(event));
        };
        if (expected.revision, &expected.key) != (event.revision, &event.key) {
            let happened = history
                .iter()
                .any(|other| (other.revision, &other.key) == (event.revision, &event.key));
            return Err(match (happened, is_first) {
                (false, _) => Rule::Faithful.broken_by(event),
                (true, true) => Rule::Resumable.broken_by(expected),
                (true, false) => Rule::Reliable.broken_by(expected),
            });
        }
        compare(event, expected, watched.prev)?;
        is_first = false;
    }
    match wanted.next() {
        // Said to be complete, and not told.
        Some(missing) => Err(Rule::Bookmarkable.broken_by(missing)),
        None => Ok(()),
    }
}

fn compare(event: &Event, expected: &Event, prev: bool) -> Result<(), Broken> {
    let expected_prev = expected.prev.as_ref().filter(|_| prev);
    if event.value != expected.value {
        Err(Rule::Faithful.broken_by(event))
    } else if event.prev.as_ref() != expected_prev {
        Err(Rule::PrevKv.broken_by(event))
    } else if event.is_create != expected.is_create {
        Err(Rule::IsCreate.broken_by(event))
    } else {
        Ok(())
    }
}

/// An acknowledged write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// The revision that it was told to have.
    pub revision: u64,
    /// The key.
    pub key: Bytes,
    /// The value; `None`: it deleted the key.
    pub value: Option<Bytes>,
}

/// Whether `history` can be all that happened after revision `compacted`: without gaps, each event
/// following from the ones before, with every one of the acknowledged `writes` in its place. Events
/// of keys that are first seen here are taken at their word.
///
/// # Errors
/// What is wrong.
pub fn check_history(compacted: u64, history: &[Event], writes: &[Write]) -> Result<(), Broken> {
    let mut keys = BTreeMap::<&Bytes, Option<&Bytes>>::new();
    let mut last = compacted;
    for event in history {
        if event.revision != last && event.revision != last + 1 || event.revision <= compacted {
            return Err(Rule::Reliable.broken_by(event));
        }
        last = event.revision;
        if let Some(before) = keys.get(&event.key) {
            if event.prev.as_ref() != *before {
                return Err(Rule::PrevKv.broken_by(event));
            }
            if event.is_create != (before.is_none() && event.value.is_some()) {
                return Err(Rule::IsCreate.broken_by(event));
            }
        }
        keys.insert(&event.key, event.value.as_ref());
    }
    let by_place: BTreeMap<(u64, &Bytes), Option<&Bytes>> =
        history.iter().map(|event| ((event.revision, &event.key), event.value.as_ref())).collect();
    for write in writes.iter().filter(|write| write.revision > compacted) {
        if by_place.get(&(write.revision, &write.key)) != Some(&write.value.as_ref()) {
            let detail = format!("{write:?} was acknowledged and did not happen");
            return Err(Broken { rule: Rule::Faithful, detail });
        }
    }
    Ok(())
}

impl Rule {
    fn broken_by(self, event: &Event) -> Broken {
        Broken { rule: self, detail: format!("{event:?}") }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is broken by {}", self.rule, self.detail)
    }
}

impl std::error::Error for Broken {}
