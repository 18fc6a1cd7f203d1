//! The simplest state machine by which reads can be judged.

use bytes::Bytes;
use synod_consensus::{Index, RestoreError, StateMachine};

/// A register: each command is its new value. It knows which entry wrote that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register(Index, Bytes);

impl StateMachine for Register {
    type Response = Index;
    type Query = ();
    type Answer = Index;
    type Frozen = (Index, Bytes);

    fn apply(&mut self, index: Index, command: &[u8]) -> Index {
        *self = Self(index, Bytes::copy_from_slice(command));
        index
    }

    fn read(&self, (): &()) -> Index {
        self.0
    }

    fn freeze(&self) -> (Index, Bytes) {
        (self.0, self.1.clone())
    }

    fn chunks((index, value): &(Index, Bytes)) -> impl Iterator<Item = Bytes> {
        [Bytes::copy_from_slice(&index.0.to_le_bytes()), value.clone()].into_iter()
    }

    fn restore(&self, mut chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        let index =
            chunks.next().and_then(|chunk| Some(u64::from_le_bytes(chunk[..].try_into().ok()?)));
        let parts = index.zip(chunks.next());
        parts.map(|(index, value)| Self(Index(index), value)).ok_or(RestoreError("cut".into()))
    }
}
