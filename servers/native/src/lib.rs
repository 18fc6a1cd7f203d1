//! A node's faces towards its users: the clerk's protocol over TCP, and metrics, health and status
//! over HTTP.
//!
//! ```text
//!   clients ══TCP══▶ connection ──call_all──▶ synod_runtime::Handle
//!           ◀═══════ outbox ◀──ReplyTo::all── apply thread (or core thread, for refusals)
//!   watchers ◀═ watches ◀── feed ◀── apply thread, after every run of commands
//! ```
//!
//! A `connection` reads requests in batches and hands each batch to the node. The thread that has
//! the answers writes them straight into the connection's `outbox` and wakes it once per batch.
//! [`Watched`] is the store as a node runs it, [`Feed`] what it shows to watchers; each connection
//! reads it at its own pace (`watches`). `ticks` moves the store's time while this node leads. `http` has the routes.
//!
//! **Bounds** are in [`Limits`]: connections, requests under way, bytes of answers that a client has
//! not read. A client that reads too slowly is first not listened to, then disconnected.
//!
//! Everything here runs on the tokio runtime that [`Server`]'s futures are polled on; one thread is
//! enough.

mod addresses;
mod connection;
mod feed;
mod http;
mod limits;
mod metrics;
mod outbox;
mod readiness;
mod server;
mod ticks;
mod watched;
mod watches;

pub use feed::Feed;
pub use limits::Limits;
pub use outbox::ReplyTo;
pub use server::{Config, Server};
pub use watched::Watched;
