//! Quorums: which sets of nodes may decide, and what a set of acknowledgements proves.
//!
//! Any two majorities of the same voters share a node; that node is what carries a decision from one
//! leader to the next. [`Voters`] is such a set, [`Tally`] counts votes in it, and
//! [`Voters::reached`] turns what each node has acknowledged into what a majority has. While the voters
//! change, two sets decide together: [`Quorum`].

#![no_std]

extern crate alloc;

mod joint;
mod tally;
mod voters;

pub use joint::Quorum;
pub use tally::{Outcome, Tally};
pub use voters::Voters;
