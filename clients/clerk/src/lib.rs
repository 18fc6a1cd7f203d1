//! The clerk: what a program uses to talk to a replicated key-value cluster.
//!
//! A [`Clerk`] finds the leader by itself, sends each command again under the same number until it
//! is answered, and keeps many calls under way over one connection. Every call ends in one of three
//! ways, however often nodes crash and leaders change meanwhile:
//!
//! | the call returns | what happened |
//! |---|---|
//! | `Ok` | it took effect, once |
//! | [`WriteError::NotDone`] | it did not take effect and never will |
//! | [`WriteError::Unknown`] | it took effect once, or will, or never: read to find out |
//!
//! A read that fails changed nothing, so [`ReadError`] has one shape.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use synod_clerk::{Clerk, Options};
//!
//! let clerk = Clerk::connect(["127.0.0.1:7101", "127.0.0.1:7102"], Options::default()).await?;
//! let revision = clerk.put("colour", "green").await?;
//! let entry = clerk.get("colour").await?.expect("it was just put");
//! assert_eq!((&entry.value[..], entry.mod_revision), (&b"green"[..], revision));
//! clerk.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! **How.** All clones of a clerk share one driver task with one connection. Calls
//! reach it through a bounded channel and are written in batches; each waits for its own answer.
//! Dropping the future of a call abandons it: it may still take effect, and the clerk goes on.
//!
//! **Exactly once.** Writes go through a session, opened before the first of them. The store keeps
//! the answer to each number until the clerk acknowledges it, so a copy of a command is answered like
//! the first. A number counts as acknowledged only when its fate is known or nobody waits for it.
//! When the store has ended the session (the process was suspended beyond the lease), a write of
//! which no copy was ever sent unanswered moves to a new session; the others are unknown.
//!
//! **Watches and stale reads** go through a second driver, whose connection is to any node; it is made
//! when it is first needed. A [`Watcher`] is told every event once and in order, whatever breaks; the
//! clerk resumes it at another server from the revision that it was told last.
//!
//! Reading order: [`clerk`](Clerk), `call`, `session`, `route`, `connection`, `desk`, `driver`; [`watch`](Watcher), `watching`.

mod call;
mod clerk;
mod connection;
mod desk;
mod driver;
mod error;
mod operator;
mod options;
mod route;
mod session;
mod table;
mod watch;
mod watching;

pub use clerk::{Changes, Clerk, Range, Reads, Swap};
pub use connection::OpenError;
pub use error::{ConnectError, ReadError, Reason, Trouble, WriteError};
pub use operator::{Operated, look, operate, status_of};
pub use options::Options;
pub use synod_kv::message::{
    Action, Answer, Compare, Done, Entry, Event, Expect, Query, Relation, Revision, Span, Target,
    Txn, TxnDone,
};
pub use synod_kv::wire::{Filter, NodeReport, Operation};
pub use watch::{Happened, WatchError, WatchOptions, Watcher};
