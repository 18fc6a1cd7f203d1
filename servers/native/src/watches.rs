//! The watches of one connection: which there are, how far each has been told, and what to tell next.
//!
//! Watches that have been told all that happened up to one revision move on together: each event is
//! looked up among their keys once, whatever their number. A watch that begins at an earlier revision
//! catches up by itself, then joins them. Nothing waits in memory: what is told is taken from the
//! [`Feed`] when there is room to send it, a block at a time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use synod_kv::limits::MAX_KEY_BYTES;
use synod_kv::message::{Event, Revision, Span};
use synod_kv::wire::{Ended, Filter, Said, Watch, write_events, write_progress, write_said};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::feed::{Block, Compacted, Feed};
use crate::limits::Limits;

/// Blocks looked at before others have their turn.
const MAX_BLOCKS: usize = 64;
/// Bytes told before others have their turn.
const MAX_TOLD_BYTES: usize = 256 << 10;
/// A watch's own share of the bound on their bytes, besides its keys.
const WATCH_BYTES: usize = 128;

/// All watches of one connection.
#[derive(Debug)]
pub(crate) struct Watches {
    feed: Arc<Feed>,
    newest: watch::Receiver<Revision>,
    limits: Limits,
    watches: BTreeMap<u64, Told>,
    bytes: usize,
    /// Those that move together, by their keys.
    together: Together,
    /// Those that began earlier, and how far each has been told.
    behind: VecDeque<(u64, Revision)>,
    /// When, and up to where, the client last learned how far all watches have come.
    progress: (Instant, Revision),
    /// More is at hand than was told.
    is_behind: bool,
}

/// One watch.
#[derive(Debug)]
struct Told {
    keys: Span,
    from: Revision,
    filter: Filter,
    prev: bool,
}

/// Watches that have been told everything up to one revision.
#[derive(Debug, Default)]
struct Together {
    through: Revision,
    of_one: BTreeMap<Bytes, Vec<u64>>,
    of_ranges: Vec<u64>,
}

impl Watches {
    pub(crate) fn new(feed: Arc<Feed>, limits: Limits) -> Self {
        Self {
            newest: feed.follow(),
            progress: (Instant::now(), feed.revision()),
            feed,
            limits,
            watches: BTreeMap::new(),
            bytes: 0,
            together: Together::default(),
            behind: VecDeque::new(),
            is_behind: false,
        }
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// Begins a watch, or tells why not.
    pub(crate) fn begin(&mut self, id: u64, watch: Watch, out: &mut Vec<u8>) {
        let Watch { keys, from, seen, filter, prev } = watch;
        let revision = self.feed.revision();
        let from = from.unwrap_or_else(|| revision.max(seen).saturating_add(1)).max(1);
        let after = from - 1;
        let is_range = matches!(keys, Span::Range { .. });
        let bytes = WATCH_BYTES + size_bytes(&keys);
        let ended = if self.watches.contains_key(&id) {
            Ended::BadRequest("the id of the watch is in use".into())
        } else if !is_possible(&keys) {
            Ended::BadRequest("a key has 1 to 4096 bytes".into())
        } else if self.bytes + bytes > self.limits.max_watch_bytes
            || is_range && self.ranges() >= self.limits.max_range_watches
        {
            Ended::TooMany
        } else if let Err(Compacted(compacted)) = self.feed.next(after) {
            Ended::Compacted { compacted }
        } else {
            if self.is_empty() {
                self.together.through = revision;
                self.progress = (Instant::now(), revision);
            }
            self.bytes += bytes;
            self.watches.insert(id, Told { keys, from, filter, prev });
            write_said(id, &Said::Begun { from }, out);
            if after < self.together.through {
                self.behind.push_back((id, after));
                self.is_behind = true;
            } else {
                self.join(id);
            }
            return;
        };
        write_said(id, &Said::Ended(ended), out);
    }

    /// Ends a watch that the client does not want any more, if there is one.
    pub(crate) fn cancel(&mut self, id: u64, out: &mut Vec<u8>) {
        self.end(id, Ended::Cancelled, out);
    }

    /// Waits until there may be something to tell.
    pub(crate) async fn filled(&mut self) {
        if self.is_behind {
            return tokio::task::yield_now().await;
        }
        let due = self.progress.0 + Duration::from_millis(self.limits.watch_progress_ms);
        let is_news = self.together.through > self.progress.1;
        tokio::select! {
            // The feed lives as long as its watches.
            changed = self.newest.changed() => changed.unwrap_or(()),
            () = tokio::time::sleep_until(due), if is_news => {}
        }
    }

    /// Tells what happened since, as much as fits one turn.
    pub(crate) fn tell(&mut self, out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        self.newest.mark_unchanged();
        self.is_behind = true;
        let full = out.len() + MAX_TOLD_BYTES;
        for _ in 0..MAX_BLOCKS {
            let told = self.tell_behind(out) | self.tell_together(out);
            if !told {
                self.is_behind = false;
                break;
            }
            if out.len() >= full {
                break;
            }
        }
        self.tell_progress(out);
    }

    /// Tells those that move together what happened next; false if nothing did.
    fn tell_together(&mut self, out: &mut Vec<u8>) -> bool {
        let through = self.together.through;
        match self.feed.next(through) {
            Ok(None) => false,
            Ok(Some(block)) => {
                self.together.tell(&self.watches, &block, out);
                true
            }
            Err(Compacted(compacted)) => {
                for id in self.together.ids() {
                    self.end(id, Ended::Compacted { compacted }, out);
                }
                self.together.through = self.feed.revision();
                true
            }
        }
    }

    /// Tells the first of those that catch up what happened next; false if there is none.
    fn tell_behind(&mut self, out: &mut Vec<u8>) -> bool {
        let Some((id, after)) = self.behind.pop_front() else { return false };
        let Some(told) = self.watches.get(&id) else { return true };
        match self.feed.next(after) {
            Err(Compacted(compacted)) => self.end(id, Ended::Compacted { compacted }, out),
            Ok(None) => self.join(id),
            Ok(Some(block)) => {
                // No further than the others: from there on, they are told together.
                let through = block.last().min(self.together.through);
                let mut batch = Batch::default();
                for shared in block.after(after) {
                    if shared.event.revision() <= through && told.wants(&shared.event) {
                        batch.count += 1;
                        shared.write(told.prev, &mut batch.events);
                    }
                }
                batch.write(id, through, out);
                if through == self.together.through {
                    self.join(id);
                } else {
                    self.behind.push_back((id, through));
                }
            }
        }
        true
    }

    /// Tells how far all have come, now and then: whoever hears nothing else resumes from there.
    fn tell_progress(&mut self, out: &mut Vec<u8>) {
        let (told_at, told) = self.progress;
        let through = self.together.through;
        let is_due = told_at.elapsed() >= Duration::from_millis(self.limits.watch_progress_ms)
            || through.saturating_sub(told) >= self.limits.watch_progress_revisions;
        if is_due && through > told && self.behind.is_empty() && !self.is_empty() {
            self.progress = (Instant::now(), through);
            write_progress(through, out);
        }
    }

    fn join(&mut self, id: u64) {
        let Some(told) = self.watches.get(&id) else { return };
        match &told.keys {
            Span::One(key) => self.together.of_one.entry(key.clone()).or_default().push(id),
            Span::Range { .. } => self.together.of_ranges.push(id),
        }
    }

    fn end(&mut self, id: u64, ended: Ended, out: &mut Vec<u8>) {
        let Some(told) = self.watches.remove(&id) else { return };
        self.bytes -= WATCH_BYTES + size_bytes(&told.keys);
        self.behind.retain(|(behind, _)| *behind != id);
        self.together.leave(id, &told.keys);
        write_said(id, &Said::Ended(ended), out);
    }

    fn ranges(&self) -> usize {
        self.watches.values().filter(|told| matches!(told.keys, Span::Range { .. })).count()
    }
}

impl Together {
    /// Tells each of them what it wants of `block`.
    fn tell(&mut self, watches: &BTreeMap<u64, Told>, block: &Block, out: &mut Vec<u8>) {
        let mut batches = BTreeMap::<u64, Batch>::new();
        for shared in block.after(self.through) {
            let of_one = self.of_one.get(shared.event.key()).into_iter().flatten();
            for id in of_one.chain(&self.of_ranges) {
                let told = watches.get(id).filter(|told| told.wants(&shared.event));
                if let Some(told) = told {
                    let batch = batches.entry(*id).or_default();
                    batch.count += 1;
                    shared.write(told.prev, &mut batch.events);
                }
            }
        }
        self.through = block.last();
        for (id, batch) in batches {
            batch.write(id, self.through, out);
        }
    }

    fn ids(&self) -> Vec<u64> {
        self.of_one.values().flatten().chain(&self.of_ranges).copied().collect()
    }

    fn leave(&mut self, id: u64, keys: &Span) {
        match keys {
            Span::One(key) => {
                if let Some(ids) = self.of_one.get_mut(key) {
                    ids.retain(|other| *other != id);
                    if ids.is_empty() {
                        self.of_one.remove(key);
                    }
                }
            }
            Span::Range { .. } => self.of_ranges.retain(|other| *other != id),
        }
    }
}

impl Told {
    fn wants(&self, event: &Event) -> bool {
        event.revision() >= self.from
            && self.filter.admits(event)
            && self.keys.contains(event.key())
    }
}

/// What one watch is told of one block.
#[derive(Debug, Default)]
struct Batch {
    count: usize,
    events: Vec<u8>,
}

impl Batch {
    fn write(&self, id: u64, through: Revision, out: &mut Vec<u8>) {
        if self.count > 0 {
            write_events(id, through, self.count, &self.events, out);
        }
    }
}

fn size_bytes(keys: &Span) -> usize {
    match keys {
        Span::One(key) => key.len(),
        Span::Range { start, end } => start.len() + end.as_ref().map_or(0, Bytes::len),
    }
}

fn is_possible(keys: &Span) -> bool {
    let fits = |key: &Bytes| key.len() <= MAX_KEY_BYTES;
    match keys {
        Span::One(key) => !key.is_empty() && fits(key),
        Span::Range { start, end } => fits(start) && end.as_ref().is_none_or(fits),
    }
}

#[cfg(test)]
mod tests;
