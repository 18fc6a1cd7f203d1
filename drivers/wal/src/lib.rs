//! A segmented, checksummed write-ahead log that tells torn from damaged.
//!
//! One log for all groups of a node. Records are gathered in a [`Batch`] where they are made and
//! become durable together by one [`Log::sync`], which may run on another thread. At a start,
//! [`Log::open`] hands back every live record, group by group, in order.
//!
//! ```
//! use synod_engine::GroupId;
//! use synod_wal::{Kind, Log, Options};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let (mut log, recovered) = Log::open(dir, Options::default())?;
//! assert!(recovered.entries.is_empty());
//! let mut batch = log.batch();
//! batch.append(GroupId(1), Kind::Fact, b"vote for 2 in term 7")?;
//! log.sync(&mut batch)?; // durable
//! assert_eq!(log.position(GroupId(1)), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # What is dead
//!
//! A [`Kind::Checkpoint`] record replaces all earlier records of its group but
//! those that it keeps. A segment without live
//! records becomes a later segment, or is removed. While the log is large and mostly dead, live
//! records of its oldest segment are copied to its end, so that an idle group never pins it. If most of
//! it is live, only checkpoints help: [`Log::crowding_groups`] says whose.
//!
//! # What a crash leaves
//!
//! Every batch carries a mark: what had been synced when it was written. A start that finds the log
//! broken at some batch looks at everything behind it. If a later mark proves that the batch had been
//! synced, it was damaged since: the log is refused, with file and offset, and nothing is changed.
//! Otherwise it is the torn end of a write that nobody was told of, and is cut. What is left is
//! synced before it is handed out, so that it counts as durable.
//!
//! **A limit:** the last batch of all has no later mark behind it. If it was synced and rots before
//! another is written, it cannot be told from a torn one, and is cut.
//!
//! # A full disk
//!
//! A segment always lies ready behind the current one. When the next cannot be made,
//! [`Space::short`] is true while there is still [`Space::room_bytes`] to write to: refuse what can be
//! refused then. [`SyncError::Full`] comes only when that is used up too, and loses nothing.
//!
//! Read on: [`Batch`], [`Log`], [`Reader`], `format` (the bytes), `recovery` (the judgement at a start),
//! `copy` (copying forward), [`Survey`] (for those who break logs on purpose), `supply` and `segment` (files ahead of need).

#![forbid(unsafe_code)]

mod batch;
mod chain;
mod copy;
pub mod disk;
mod error;
mod format;
mod ledger;
mod log;
mod opening;
mod options;
mod reader;
mod recovery;
mod replay;
mod scan;
mod segment;
mod supply;
mod survey;

pub use batch::{Batch, RecordTooLarge};
pub use error::{OpenError, SyncError};
pub use format::Kind;
pub use log::{Log, Space};
pub use opening::Recovered;
pub use options::Options;
pub use reader::Reader;
pub use recovery::Cut;
pub use replay::Entry;
pub use supply::Preparation;
pub use survey::Survey;
