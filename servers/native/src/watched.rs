//! The store as a node runs it: after every run of commands it shows what happened to whoever
//! watches.
//!
//! Next: [`Feed`], where it is shown.

use std::sync::Arc;

use bytes::Bytes;
use synod_consensus::{Index, RestoreError, StateMachine};
use synod_kv::Store;
use synod_kv::message::{Answer, Query, Response};

use crate::feed::Feed;

/// A store with a feed. What the store is does not depend on the feed.
#[derive(Debug, Default)]
pub struct Watched {
    store: Store,
    feed: Arc<Feed>,
}

impl Watched {
    /// Where what happens is shown.
    #[must_use]
    pub fn feed(&self) -> Arc<Feed> {
        self.feed.clone()
    }
}

impl StateMachine for Watched {
    type Response = Response;
    type Query = Query;
    type Answer = Answer;
    type Frozen = Store;

    fn apply(&mut self, index: Index, command: &[u8]) -> Response {
        self.store.apply(index, command)
    }

    fn is_brief(&self, command: &[u8]) -> bool {
        self.store.is_brief(command)
    }

    fn is_brief_query(&self, query: &Query) -> bool {
        self.store.is_brief_query(query)
    }

    fn settle(&mut self) {
        self.feed.publish(&self.store);
    }

    fn read(&self, query: &Query) -> Answer {
        self.store.read(query)
    }

    fn freeze(&self) -> Store {
        self.store.freeze()
    }

    fn chunks(frozen: &Store) -> impl Iterator<Item = Bytes> {
        Store::chunks(frozen)
    }

    fn restore(&self, chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        Ok(Self { store: self.store.restore(chunks)?, feed: self.feed.clone() })
    }
}
