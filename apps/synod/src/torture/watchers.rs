//! Watchers: one begun through each server, told everything that happens to the keys of a round, whatever
//! breaks; and the judge of what they were told.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use synod_check::registers::{Input, Output};
use synod_check::watch::{Event, Told, Watched, check_watch};
use synod_clerk::{Clerk, Options, WatchError, WatchOptions, Watcher};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::load::Recorded;
use super::verdict::Verdict;
use crate::exit::{Exit, Failure, Result};

/// Watchers at work.
pub(super) struct Watchers {
    watching: JoinSet<std::result::Result<Heard, WatchError>>,
    /// Up to which revision they are to be told, once that is known.
    until: watch::Sender<Option<u64>>,
}

/// What a watcher was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Heard {
    /// The first revision that it was promised.
    pub(super) from: u64,
    pub(super) told: Vec<Told>,
}

impl Watchers {
    /// Begins one through each of the servers at `addresses`, for the keys that begin with `prefix`.
    pub(super) async fn start(
        addresses: &[String],
        options: &Options,
        prefix: &str,
    ) -> Result<Self> {
        let until = watch::channel(None).0;
        let mut watching = JoinSet::new();
        for place in 0..addresses.len() {
            let mut addresses = addresses.to_vec();
            addresses.rotate_left(place);
            let clerk = Clerk::connect(addresses, options.clone()).await?;
            let wish = WatchOptions::prefix(prefix.to_owned()).with_prev();
            let (watcher, from) = clerk.watch(wish).await.map_err(|error| {
                Failure::new(Exit::NotDone, format!("a watch could not begin: {error}"))
            })?;
            watching.spawn(listen((clerk, watcher), from, until.subscribe()));
        }
        Ok(Self { watching, until })
    }

    /// What they were told, each up to this revision at least. One of whom a server could not keep what it
    /// would have had to be told next was told so, and is left out.
    pub(super) async fn end(
        mut self,
        until: u64,
        bound: Duration,
    ) -> std::result::Result<Vec<Heard>, Verdict> {
        self.until.send_replace(Some(until));
        let mut all = Vec::new();
        let listening = async {
            while let Some(ended) = self.watching.join_next().await {
                match ended.expect("a watcher does not panic") {
                    Ok(heard) => all.push(heard),
                    Err(WatchError::Compacted { .. }) => {}
                    Err(error) => {
                        return Err(Verdict::Stalled(format!("a watcher was let go: {error}")));
                    }
                }
            }
            Ok(())
        };
        timeout(bound, listening).await.unwrap_or_else(|_| {
            let what = format!("a watcher is not told up to revision {until} in {bound:?}");
            Err(Verdict::Stalled(what))
        })?;
        Ok(all)
    }
}

/// Listens until it was told enough. Its clerk lives as long.
async fn listen(
    (_clerk, mut watcher): (Clerk, Watcher),
    from: u64,
    mut until: watch::Receiver<Option<u64>>,
) -> std::result::Result<Heard, WatchError> {
    let mut told: Vec<Told> = Vec::new();
    loop {
        let through = told.last().map_or(0, |last| last.through);
        if until.borrow().is_some_and(|until| through >= until) {
            return Ok(Heard { from, told });
        }
        tokio::select! {
            batch = watcher.next_batch() => {
                let batch = batch?;
                let events = batch.events.iter().map(judged).collect();
                told.push(Told { through: batch.through, events });
            }
            changed = until.changed() => if changed.is_err() {
                return Err(WatchError::Closed);
            },
        }
    }
}

fn judged(event: &synod_clerk::Event) -> Event {
    Event {
        revision: event.revision(),
        key: event.key().clone(),
        value: event.entry().map(|entry| entry.value.clone()),
        prev: event.prev().map(|entry| entry.value.clone()),
        is_create: event.is_create(),
    }
}

/// Whether all watchers were told the same, and every write of `history` that was done. What the first was
/// told is taken for what happened.
pub(super) fn judge(all: &[Heard], history: &[Recorded]) -> std::result::Result<(), String> {
    let Some(first) = all.first() else { return Ok(()) };
    let happened: Vec<Event> = first.told.iter().flat_map(|told| &told.events).cloned().collect();
    for Heard { from, told } in all {
        let told = told.clone();
        let watched = Watched { from: *from, wants: &|_| true, prev: true, told };
        check_watch(&happened, &watched)
            .map_err(|broken| format!("of two watchers one was told something else: {broken}"))?;
    }
    let by_place: BTreeMap<(u64, &Bytes), &Option<Bytes>> =
        happened.iter().map(|event| ((event.revision, &event.key), &event.value)).collect();
    for operation in history {
        let Some(Output::Written { revision: Some(revision) }) = operation.output() else {
            continue;
        };
        let key = operation.input.key();
        // A pair is written by the name that both of its keys begin with.
        let half = Bytes::from([key, &b"a"[..]].concat());
        let told = by_place.get(&(*revision, key)).or_else(|| by_place.get(&(*revision, &half)));
        let is_told = told.is_some_and(|told| match &operation.input {
            Input::Put { value, .. } | Input::Cas { value, .. } => told.as_ref() == Some(value),
            Input::Delete { .. } => told.is_none(),
            Input::Append { value, .. } => told.as_ref().is_some_and(|told| told.ends_with(value)),
            Input::Get { .. } => false,
        });
        if !is_told {
            return Err(format!("no watcher was told of this as it was done: {operation}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use synod_check::Operation;

    use super::*;

    fn event(revision: u64, value: &'static str) -> Event {
        let prev = (revision > 1).then(|| "old".into());
        let is_create = prev.is_none();
        Event { revision, key: "k".into(), value: Some(value.into()), prev, is_create }
    }

    fn heard(events: &[Event]) -> Heard {
        let told = events.iter().cloned();
        let told = told.map(|event| Told { through: event.revision, events: vec![event] });
        Heard { from: 1, told: told.collect() }
    }

    fn put(revision: u64, value: &'static str) -> Recorded {
        let input = Input::Put { key: "k".into(), value: value.into() };
        Operation::returned(1, 1..=2, input, Output::Written { revision: Some(revision) })
    }

    #[test]
    fn a_watcher_that_is_told_less_or_nobody_is_told_of_what_was_done_is_found() {
        let (one, two, three) = (event(1, "old"), event(2, "old"), event(3, "new"));
        let all = [one.clone(), two, three.clone()];
        let history = [put(1, "old"), put(3, "new")];
        assert_eq!(judge(&[heard(&all), heard(&all)], &history), Ok(()));
        assert_eq!(judge(&[], &history), Ok(()));
        let told = judge(&[heard(&all), heard(&[one, three])], &history).unwrap_err();
        assert!(told.contains("told something else"), "{told}");
        let told = judge(&[heard(&all)], &[put(4, "lost")]).unwrap_err();
        assert!(told.contains("no watcher was told"), "{told}");
        assert!(judge(&[heard(&all)], &[put(3, "other")]).is_err());
    }
}
