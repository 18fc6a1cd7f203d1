//! Who lacks chosen values asks for them, piece by piece: a follower its leader, a candidate an acceptor
//! that knows more (*Paxos Made Simple* §2.3). They come from memory, from disk, or, where they are given
//! up, as a snapshot.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use synod_consensus::{Batch, Index, Task};
use synod_engine::{NodeId, TaskId};

use crate::Ballot;
use crate::multi::state::{Context, State};
use crate::multi::{Message, Rules};

/// Questions after which a snapshot that was sent is sent again; a driver that is still streaming it
/// ignores the second one.
const INSTALL_PATIENCE_QUESTIONS: u32 = 20;

/// What is under way to nodes that asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Serving {
    /// What is being read from disk, for whom, who asked in which ballot, from where on.
    reading: BTreeMap<NodeId, (TaskId, Ballot, Index)>,
    installs: BTreeMap<NodeId, Installing>,
}

/// A snapshot that was sent.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Installing {
    index: Index,
    /// Questions since.
    asked: u32,
}

impl Serving {
    /// Whether this node gets a snapshot.
    pub(crate) fn installs(&self, node: NodeId) -> bool {
        self.installs.contains_key(&node)
    }

    /// This node has everything up to `index`.
    pub(crate) fn has(&mut self, node: NodeId, index: Index) {
        if self.installs.get(&node).is_some_and(|install| install.index <= index) {
            self.installs.remove(&node);
        }
    }

    /// This node is gone, or starts anew.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.installs.remove(&node);
    }
}

impl<R: Rules> State<R> {
    /// Sends a node chosen values from `from` on, as many as one message carries; nothing if it lacks none
    /// that are known here.
    pub(crate) fn serve(
        &mut self,
        context: &mut Context<'_, R>,
        node: NodeId,
        ballot: Ballot,
        from: Index,
    ) {
        self.serving.has(node, Index(from.0 - 1));
        if from > self.commit {
            return;
        }
        if from <= self.slots.base() {
            self.send_snapshot(context, node, ballot);
        } else if from <= self.slots.evicted() {
            self.read_for(context, node, ballot, from);
        } else {
            let values = self.slots.range(from, self.commit);
            let values = piece(values, self.config.bounds.max_append_bytes);
            let chosen = self.commit;
            context.send_now(node, Message::Learned { ballot, values, chosen });
        }
    }

    /// Reads about as much as one message carries; one such read for a node at a time.
    fn read_for(
        &mut self,
        context: &mut Context<'_, R>,
        node: NodeId,
        ballot: Ballot,
        from: Index,
    ) {
        if self.serving.reading.contains_key(&node) {
            return;
        }
        match self.written.holding(from, self.config.bounds.max_append_bytes) {
            Some((first, last)) => {
                let task = self.new_task();
                self.serving.reading.insert(node, (task, ballot, from));
                context.start_task(task, Task::ReadLog { first, last });
            }
            None => self.send_snapshot(context, node, ballot),
        }
    }

    /// What was read for somebody. It may have been replaced since it was written: a value is the one that
    /// is meant if it was accepted in the ballot that is known here.
    pub(crate) fn log_read(&mut self, context: &mut Context<'_, R>, task: TaskId, read: &[Batch]) {
        let mut asked = self.serving.reading.iter();
        let Some((node, (_, ballot, from))) = asked.find(|(_, (id, ..))| *id == task) else {
            return;
        };
        let (node, ballot, from) = (*node, *ballot, *from);
        self.serving.reading.remove(&node);
        let mut next = from;
        let mut values = Vec::new();
        for batch in read {
            let is_meant = |index: &Index| self.slots.epoch_at(*index) == Some(batch.epoch());
            let rest = (next.0..=batch.last().min(self.commit).0).map(Index);
            let count = rest.take_while(is_meant).count() as u64;
            if batch.first() <= next
                && count > 0
                && let Some(run) = batch.slice(next..=Index(next.0 + count - 1))
            {
                next = run.last().next();
                values.push(run);
            }
        }
        if values.is_empty() {
            return self.send_snapshot(context, node, ballot);
        }
        let values = piece(values.into_iter(), self.config.bounds.max_append_bytes);
        context.send_now(node, Message::Learned { ballot, values, chosen: self.commit });
    }

    /// Sends the newest snapshot, unless it is on its way. (If it does not reach as far as what is asked
    /// for, a later one will.)
    fn send_snapshot(&mut self, context: &mut Context<'_, R>, node: NodeId, ballot: Ballot) {
        let Some(snapshot) = self.snapshot else { return };
        let index = snapshot.index;
        if let Some(install) = self.serving.installs.get_mut(&node)
            && install.asked < INSTALL_PATIENCE_QUESTIONS
        {
            install.asked += 1;
            return;
        }
        self.serving.installs.insert(node, Installing { index, asked: 0 });
        let members = self.members.at(index).clone();
        context.send(node, Message::Install { ballot, snapshot, members });
    }
}

/// The first of these, about `max_bytes` of them.
fn piece(values: impl Iterator<Item = Batch>, max_bytes: usize) -> Vec<Batch> {
    let (mut taken, mut size_bytes) = (Vec::new(), 0);
    for batch in values {
        if size_bytes >= max_bytes {
            break;
        }
        let head = batch.head(max_bytes - size_bytes);
        size_bytes += head.size_bytes();
        let is_whole = head.last() == batch.last();
        taken.push(head);
        if !is_whole {
            break;
        }
    }
    taken
}
