//! The clerk against scripted servers: [`outcomes`] of single calls, then the [`lifecycle`] of clerks
//! and sessions, then [`watches`]. What the servers can do wrong is in [`fake`].

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;
mod lifecycle;
mod outcomes;
mod watches;
