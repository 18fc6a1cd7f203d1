//! Reads that may be old, and what even they must not say.
//!
//! They are not linearizable, so they are judged by a weaker model: a key that was last changed at one
//! revision holds one value, whoever is asked and whenever; the store has one revision at each index, and
//! later ones at later indices; and nothing is read before somebody asked for it to be written.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use synod_consensus::{Index, ReplicatedLog};
use synod_engine::{NodeId, Violation};
use synod_kv::Store;
use synod_kv::message::{Answer, Entry, Query, Revision};
use synod_kv::rules::Rules;
use synod_sim::replicated::{Call, Replica};
use synod_sim::{ClientId, Outside};

use super::operation;

type World<'a, L, R> = Outside<'a, L, Replica<Store<R>>>;

/// The client that asks for them.
pub(super) const ONLOOKER: ClientId = ClientId(u32::MAX - 2);

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Stale {
    /// By key and the revision of its last change.
    values: BTreeMap<(Bytes, Revision), Bytes>,
    /// The revision of the store at each index that was told: the same wherever one asks.
    revisions: BTreeMap<Index, Revision>,
    /// Which node and key a call is about.
    calls: BTreeMap<u64, (NodeId, Bytes)>,
}

impl Stale {
    /// Asks any node for one of so many keys, and again after a while.
    pub(super) fn look<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        keys: u64,
    ) {
        let nodes = world.nodes().len() as u64;
        let place = world.dice().below(nodes) as usize;
        let (node, key) = (world.nodes()[place], operation::key(world.dice().below(keys)));
        let call = Call::Stale(Query::Get { key: key.clone() });
        let call = world.call(ONLOOKER, node, call);
        self.asked(call, node, key);
        let pause = world.dice().between(10, 1_000);
        world.wake(ONLOOKER, Duration::from_millis(pause));
    }

    /// A node is asked.
    fn asked(&mut self, call: u64, node: NodeId, key: Bytes) {
        self.calls.insert(call, (node, key));
    }

    /// A read of a key, old or not, found this.
    pub(super) fn found(&mut self, key: &Bytes, entry: &Entry) -> Result<(), Violation> {
        let (revision, value) = (entry.mod_revision, &entry.value);
        let known = self.values.entry((key.clone(), revision)).or_insert_with(|| value.clone());
        if known == value {
            return Ok(());
        }
        let detail = format!("{key:?} at revision {revision} is {known:?} and {value:?}");
        Err(Violation { invariant: "One Value Per Revision", detail })
    }

    /// A node answered from the state that it has after `applied`. Writes are numbered, and `written` of
    /// them have begun.
    pub(super) fn told(
        &mut self,
        call: u64,
        applied: Index,
        answer: &Answer,
        written: usize,
    ) -> Result<(), Violation> {
        let Some((node, key)) = self.calls.remove(&call) else { return Ok(()) };
        let Answer::Value { revision, entry } = answer else { return Ok(()) };
        if let Some(entry) = entry {
            self.found(&key, entry)?;
            if operation::serials(&entry.value).any(|serial| serial >= written) {
                let detail = format!("{node} says {:?}, which nobody wrote", entry.value);
                return Err(Violation { invariant: "Nothing Out Of Nothing", detail });
            }
        }
        let before = self.revisions.range(..=applied).next_back();
        let after = self.revisions.range(applied..).next();
        let fits = before
            .is_none_or(|(at, known)| known <= revision && (*at < applied || known == revision))
            && after.is_none_or(|(_, known)| revision <= known);
        if !fits {
            let detail =
                format!("{node} is at revision {revision} after {applied}; {before:?}, {after:?}");
            return Err(Violation { invariant: "One State Per Index", detail });
        }
        self.revisions.insert(applied, *revision);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stale: &mut Stale, applied: u64, revision: Revision, value: &'static str) -> bool {
        stale.asked(applied, NodeId(1), Bytes::from_static(b"k"));
        let entry = Entry {
            value: Bytes::from_static(value.as_bytes()),
            mod_revision: revision,
            ..Entry::default()
        };
        let answer = Answer::Value { revision, entry: Some(entry) };
        stale.told(applied, Index(applied), &answer, 10).is_ok()
    }

    #[test]
    fn old_states_are_fine_and_impossible_ones_are_not() {
        let mut stale = Stale::default();
        assert!(told(&mut stale, 20, 9, "[1][2]"));
        assert!(told(&mut stale, 10, 4, "[1]"), "old, but it was so");
        assert!(told(&mut stale, 10, 4, "[1]"));
        assert!(!told(&mut stale, 10, 5, "[1]"), "another revision at the same index");
        assert!(!told(&mut stale, 15, 3, "[7]"), "a revision of before");
        assert!(!told(&mut stale, 16, 4, "[2]"), "another value of the same revision");
        assert!(!told(&mut stale, 30, 12, "[3][99]"), "nobody wrote 99");
    }
}
