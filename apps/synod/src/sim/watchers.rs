//! Clients that watch: each asks what happened after the revision that it has seen, at one node after the
//! other, and remembers all that it was told.
//!
//! The first wants everything. What it was told is the history by which the others are judged, and
//! which must itself be one: without gaps, with every acknowledged write in its place, and every
//! transaction whole ([`synod_check::watch`]). Watches ask any state, old or not; so none of this may
//! depend on whom they ask.

use std::time::Duration;

use bytes::Bytes;
use synod_check::watch::{Broken, Event, Told, Watched, check_history, check_watch};
use synod_consensus::ReplicatedLog;
use synod_engine::Violation;
use synod_kv::Store;
use synod_kv::message::{Answer, Event as Change, Query, Revision, Span};
use synod_kv::rules::Rules;
use synod_sim::replicated::{Call, Replica};
use synod_sim::{ClientId, Outside};

use super::history::History;
use super::operation;

type World<'a, L, R> = Outside<'a, L, Replica<Store<R>>>;

/// The first of them; the others are numbered from here on.
pub(super) const WATCHERS: u32 = 1 << 30;

/// All watchers of a run.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    all: Vec<Watcher>,
    /// Whether so much is written that the store may forget.
    may_forget: bool,
}

#[derive(Debug)]
struct Watcher {
    /// The key that it watches; `None`: all.
    key: Option<Bytes>,
    /// The first revision that it wants, or wanted when it was last told that it came too late.
    from: Revision,
    through: Revision,
    told: Vec<Told>,
    node: usize,
    /// The question that it waits for.
    call: Option<u64>,
}

impl Watchers {
    /// So many, over so many keys.
    pub(super) fn new(count: usize, keys: u64, may_forget: bool) -> Self {
        let watcher = |place: usize| Watcher {
            key: (place > 0).then(|| operation::key(place as u64 % keys)),
            from: 1,
            through: 0,
            told: Vec::new(),
            node: place,
            call: None,
        };
        Self { all: (0..count).map(watcher).collect(), may_forget }
    }

    pub(super) fn begin<L: ReplicatedLog, R: Rules>(&self, world: &mut World<'_, L, R>) {
        for place in 0..self.all.len() as u32 {
            world.wake(ClientId(WATCHERS + place), Duration::from_millis(700));
        }
    }

    /// Who has not been told of everything up to this revision.
    pub(super) fn missing(&self, newest: Revision) -> Option<String> {
        let place = self.all.iter().position(|watcher| watcher.through < newest)?;
        Some(format!("watcher {place} was not told everything up to revision {newest}"))
    }

    pub(super) fn woken<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        client: ClientId,
    ) {
        let watcher = &mut self.all[(client.0 - WATCHERS) as usize];
        if world.dice().chance(150_000) {
            watcher.node += 1;
            world.reached("watch resumed at another node");
        }
        let node = world.nodes()[watcher.node % world.nodes().len()];
        let keys = watcher.key.clone().map_or_else(Span::all, Span::One);
        let limit = world.dice().between(1, 20);
        let query = Query::Changes { keys, after: watcher.through, limit };
        watcher.call = Some(world.call(client, node, Call::Stale(query)));
        let pause = world.dice().between(20, 500);
        world.wake(client, Duration::from_millis(pause));
    }

    /// A node says what happened.
    pub(super) fn told<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        client: ClientId,
        call: u64,
        answer: Answer,
    ) -> Result<(), Violation> {
        let watcher = &mut self.all[(client.0 - WATCHERS) as usize];
        if watcher.call.take_if(|asked| *asked == call).is_none() {
            return Ok(());
        }
        match answer {
            Answer::Changes { through, events, .. } if through >= watcher.through => {
                if !events.is_empty() {
                    world.reached("watch told of events");
                }
                let events = events.iter().map(seen).collect();
                watcher.told.push(Told { through, events });
                watcher.through = through;
                Ok(())
            }
            Answer::Compacted { revision, compacted }
                if self.may_forget && (watcher.through + 1..=revision).contains(&compacted) =>
            {
                world.reached("watch told compacted");
                watcher.told.clear();
                (watcher.from, watcher.through) = (compacted + 1, compacted);
                Ok(())
            }
            answer => Err(broken(format!("after {}: {answer:?}", watcher.through))),
        }
    }

    /// Whether what all were told is what happened.
    pub(super) fn judge(&self, history: &History) -> Result<(), Violation> {
        let Some((first, others)) = self.all.split_first() else { return Ok(()) };
        let events: Vec<Event> = first.told.iter().flat_map(|told| &told.events).cloned().collect();
        let known = first.from..=first.through;
        let mut writes = history.acknowledged();
        writes.retain(|write| known.contains(&write.revision));
        check_history(first.from - 1, &events, &writes).map_err(|broken| of_watch(&broken))?;
        first.judge(&events, first.through).map_err(|broken| of_watch(&broken))?;
        if first.from == 1 {
            history.judge_txns(&events)?;
        }
        others
            .iter()
            .try_for_each(|watcher| watcher.judge(&events, first.through))
            .map_err(|broken| of_watch(&broken))
    }
}

impl Watcher {
    /// Judges what it was told up to this revision.
    fn judge(&self, history: &[Event], through: Revision) -> Result<(), Broken> {
        let until = |told: &Told| Told {
            through: told.through.min(through),
            events: told.events.iter().filter(|it| it.revision <= through).cloned().collect(),
        };
        let wants = |event: &Event| self.key.as_ref().is_none_or(|key| *key == event.key);
        let told = self.told.iter().map(until).collect();
        check_watch(history, &Watched { from: self.from, wants: &wants, prev: true, told })
    }
}

fn seen(event: &Change) -> Event {
    Event {
        revision: event.revision(),
        key: event.key().clone(),
        value: event.entry().map(|entry| entry.value.clone()),
        prev: event.prev().map(|entry| entry.value.clone()),
        is_create: event.is_create(),
    }
}

fn of_watch(broken_rule: &Broken) -> Violation {
    broken(broken_rule.to_string())
}

fn broken(detail: String) -> Violation {
    Violation { invariant: "Watch", detail }
}
