//! Which blobs the engine needs: those that a record names, until a later checkpoint is durable.

use std::collections::BTreeMap;

use synod_engine::Position;

use super::Claim;

/// What the engine knows of, and what a checkpoint has replaced; with claims, so that it stays.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Blobs that the engine has learned of, and that no checkpoint has replaced since.
    known: BTreeMap<u64, Claim>,
    /// Blobs that a checkpoint has replaced, each with the position of that checkpoint.
    replaced: Vec<(Position, Claim)>,
}

/// A record names a blob that is not here: a bug of the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Missing(pub(crate) u64);

impl Ledger {
    /// The engine learns of this blob: from a record, a task, or a peer.
    pub(crate) fn learned(&mut self, claim: Claim) {
        self.known.insert(claim.id(), claim);
    }

    /// The engine persisted a record that names `blob`.
    pub(crate) fn persisted(
        &mut self,
        position: Position,
        is_checkpoint: bool,
        blob: Option<u64>,
    ) -> Result<(), Missing> {
        if let Some(id) = blob {
            let claim = self.claim(id).ok_or(Missing(id))?;
            self.replaced.retain(|(_, replaced)| replaced.id() != id);
            self.known.insert(id, claim);
        }
        if is_checkpoint {
            let replaced = self.known.extract_if(.., |id, _| Some(*id) != blob);
            self.replaced.extend(replaced.map(|(_, claim)| (position, claim)));
        }
        Ok(())
    }

    /// One more claim on a blob that the engine knows of.
    pub(crate) fn claim(&self, id: u64) -> Option<Claim> {
        let replaced = || self.replaced.iter().map(|(_, claim)| claim).find(|old| old.id() == id);
        self.known.get(&id).or_else(replaced).cloned()
    }

    /// Everything up to `durable` is: gives up what nobody needs then.
    pub(crate) fn durable(&mut self, durable: Position) {
        self.replaced.retain(|(position, _)| *position > durable);
    }
}

impl Drop for Ledger {
    /// The core ends, or has panicked: what it knew of stays for the next start, whoever sweeps.
    fn drop(&mut self) {
        let replaced = self.replaced.drain(..).map(|(_, claim)| claim);
        std::mem::take(&mut self.known).into_values().chain(replaced).for_each(Claim::keep);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::blobs::Store;

    fn store(dir: &Path) -> Store {
        Store::open(dir, |_| false).unwrap().0
    }

    fn blob(store: &Store, id: u64) -> Claim {
        let claim = store.part(id).unwrap();
        std::fs::write(claim.part_path(), "bytes").unwrap();
        claim.finish().unwrap();
        claim
    }

    fn left(store: &Store, dir: &Path) -> Vec<String> {
        store.sweep(Instant::now(), false);
        let names = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names.iter().map(|name| name.trim_start_matches('0').to_owned()).collect()
    }

    #[test]
    fn a_blob_goes_when_the_checkpoint_that_replaced_it_is_durable() {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut ledger) = (store(dir.path()), Ledger::default());
        ledger.learned(blob(&store, 1));
        ledger.persisted(Position(1), true, Some(1)).unwrap();
        ledger.learned(blob(&store, 2));
        ledger.persisted(Position(2), true, Some(2)).unwrap();
        ledger.durable(Position(1));
        assert_eq!(left(&store, dir.path()), ["1", "2"]);
        ledger.durable(Position(2));
        assert_eq!(left(&store, dir.path()), ["2"]);
    }

    #[test]
    fn a_blob_that_a_record_of_the_same_batch_names_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut ledger) = (store(dir.path()), Ledger::default());
        ledger.learned(blob(&store, 1));
        ledger.learned(blob(&store, 2));
        ledger.persisted(Position(1), true, Some(1)).unwrap();
        ledger.persisted(Position(2), true, Some(2)).unwrap();
        ledger.durable(Position(2));
        assert_eq!(left(&store, dir.path()), ["2"]);
    }

    #[test]
    fn a_blob_that_is_offered_again_while_it_is_on_its_way_out_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut ledger) = (store(dir.path()), Ledger::default());
        ledger.learned(blob(&store, 1));
        ledger.persisted(Position(1), true, Some(1)).unwrap();
        ledger.learned(blob(&store, 2));
        ledger.persisted(Position(2), true, Some(2)).unwrap();
        // The same message a second time: its bytes are here, so nothing is sent again.
        let again = store.whole(1).unwrap();
        ledger.durable(Position(2));
        assert_eq!(left(&store, dir.path()), ["1", "2"], "a message on its way needs it");
        ledger.learned(again);
        ledger.persisted(Position(3), true, Some(1)).unwrap();
        ledger.durable(Position(3));
        assert_eq!(left(&store, dir.path()), ["1"]);
    }

    #[test]
    fn what_the_core_knew_of_outlives_it() {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut ledger) = (store(dir.path()), Ledger::default());
        ledger.learned(blob(&store, 1));
        ledger.persisted(Position(1), true, Some(1)).unwrap();
        ledger.learned(blob(&store, 2));
        ledger.persisted(Position(2), true, Some(2)).unwrap();
        // The second checkpoint is not durable yet: the first counts for the next start.
        drop(ledger);
        assert_eq!(left(&store, dir.path()), ["1", "2"]);
    }

    #[test]
    fn a_record_that_names_what_is_gone_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut ledger) = (store(dir.path()), Ledger::default());
        ledger.learned(blob(&store, 1));
        ledger.persisted(Position(1), true, None).unwrap();
        ledger.durable(Position(1));
        assert_eq!(ledger.persisted(Position(2), true, Some(1)), Err(Missing(1)));
        assert_eq!(left(&store, dir.path()), [""; 0]);
    }
}
