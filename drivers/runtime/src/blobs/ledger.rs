//! Which blobs are still needed: those that a record names, until a later checkpoint is durable.

use std::collections::BTreeSet;

use synod_engine::Position;

/// What the engine knows of, and what a checkpoint has replaced.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Blobs that the engine has learned of, and that no checkpoint has replaced since.
    known: BTreeSet<u64>,
    /// Blobs that a checkpoint has replaced, each with the position of that checkpoint.
    replaced: Vec<(Position, u64)>,
}

impl Ledger {
    /// The engine learns of this blob: from a record, a task, or a peer.
    pub(crate) fn learned(&mut self, id: u64) {
        self.known.insert(id);
    }

    /// The engine persisted a record that names `blob`.
    pub(crate) fn persisted(&mut self, position: Position, is_checkpoint: bool, blob: Option<u64>) {
        if let Some(id) = blob {
            self.replaced.retain(|(_, replaced)| *replaced != id);
            self.known.insert(id);
        }
        if is_checkpoint {
            let replaced = self.known.iter().filter(|id| Some(**id) != blob);
            self.replaced.extend(replaced.map(|id| (position, *id)));
            self.known.retain(|id| Some(*id) == blob);
        }
    }

    /// Takes out the blobs that nobody needs once everything up to `durable` is.
    pub(crate) fn unneeded(&mut self, durable: Position) -> Vec<u64> {
        let unneeded = self.replaced.extract_if(.., |(position, _)| *position <= durable);
        unneeded.map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_goes_when_the_checkpoint_that_replaced_it_is_durable() {
        let mut ledger = Ledger::default();
        ledger.learned(1);
        ledger.persisted(Position(1), true, Some(1));
        ledger.learned(2);
        ledger.persisted(Position(2), true, Some(2));
        assert_eq!(ledger.unneeded(Position(1)), []);
        assert_eq!(ledger.unneeded(Position(2)), [1]);
        assert_eq!(ledger.unneeded(Position(9)), []);
    }

    #[test]
    fn a_blob_that_a_record_of_the_same_batch_names_stays() {
        let mut ledger = Ledger::default();
        ledger.learned(1);
        ledger.learned(2);
        ledger.persisted(Position(1), true, Some(1));
        ledger.persisted(Position(2), true, Some(2));
        assert_eq!(ledger.unneeded(Position(2)), [1]);
    }
}
