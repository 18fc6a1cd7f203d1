//! Bulk bytes (snapshots): files that engines know by handles only.
//!
//! `DIR/blobs/ID` is a whole, durable blob; `ID.part` is one being written or received, and becomes
//! `ID` by a rename after its bytes are synced. Whoever needs a blob holds a [`Claim`] on it; what
//! nobody claims is swept away, while the node runs and at a start.
//!
//! Next: [`store`] (files and claims), [`file`] (the bytes of a snapshot), [`ledger`] (what the engine
//! needs), [`send`] and [`receive`] (from node to node, on connections of their own, so that no
//! heartbeat waits for bulk), [`transfers`] (how many at a time, and how they end).

pub(crate) mod file;
pub(crate) mod ledger;
pub(crate) mod receive;
pub(crate) mod send;
mod store;
mod stream;
mod transfers;

/// After so many bytes a file is synced: were all of it synced at the end, the log, whose syncs wait on the
/// same disk, would wait for all of it.
const SYNC_EVERY_BYTES: usize = 4 << 20;

pub(crate) use store::{Claim, Store};
pub(crate) use transfers::{Direction, Transfer, Transfers};
