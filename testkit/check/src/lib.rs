//! Judges recorded histories: is there one order of all operations that explains every answer?
//!
//! A history is *linearizable* (Herlihy and Wing, 1990) if each operation can be given one instant
//! between its invocation and its return, such that the operations in the order of these instants are
//! a run of the [`Model`]. [`check()`] looks for such an order, or shows how far it came.
//!
//! | part | what it is |
//! |---|---|
//! | [`Operation`] | who asked what and when, and what came back |
//! | [`Model`] | what a correct service would answer |
//! | [`registers`], [`maps`], [`lists`], [`queues`] | the models |
//! | [`Verdict`] | legal, illegal with the evidence, or undecided |
//! | `search` | Wing and Gong's search with Lowe's memory of where it has been |
//! | `unknown` | where to look first for operations of unknown fate |
//! | `timeline` | what may come next |
//! | [`sequential`], [`causal`], [`sessions`] | weaker questions |
//! | [`versions`], `eras` | what the values tell without a search |
//! | [`mod@file`], [`jepsen`], [`recorded`] | histories as lines of JSON, as Jepsen writes them, of any model |
//! | [`draw`] | a violation as a picture |
//! | [`multicast`] | what a group was sent and delivered |
//! | [`watch`] | whether what a watcher was told is what happened |
//!
//! Rules of evidence:
//!
//! 1. Operations that were refused, so that they surely had no effect, are left out by the recorder.
//! 2. An operation whose fate is unknown has no return: it may take effect at any time after its
//!    invocation, or never.
//! 3. Equal times prove no order: an operation that returns at 7 and one that begins at 7 are
//!    concurrent.
//! 4. Undecided is not legal: a search that exceeds its bound says [`Verdict::Unknown`].
//!
//! A history over several keys is linearizable if the history of each key is (Herlihy and Wing's
//! locality), so each key is judged alone. Where no value is written twice, the values tell who read
//! from whom, and the order follows without a search. Else the search is exponential in the worst case
//! (the problem is NP-complete); it is fast where few operations of one key overlap.
//!
//! ```
//! use synod_check::registers::{Input, Output, Registers};
//! use synod_check::{DEFAULT_MAX_STEPS, Operation, Verdict, check};
//!
//! let get = || Input::Get { key: "a".into() };
//! let put = Input::Put { key: "a".into(), value: "1".into() };
//! let found = |value: Option<&'static str>| Output::Value { value: value.map(Into::into), revision: None };
//! let history = [
//!     Operation::returned(1, 10..=20, put, Output::Written { revision: None }),
//!     Operation::returned(2, 12..=14, get(), found(Some("1"))),
//!     Operation::returned(3, 15..=16, get(), found(None)),
//! ];
//! let verdict = check(&Registers, &history, DEFAULT_MAX_STEPS);
//! assert!(matches!(verdict, Verdict::Illegal(_)), "the value went back in time");
//! ```
//!
//! Papers: J. M. Wing, C. Gong, *Testing and verifying concurrent objects* (1993); G. Lowe, *Testing
//! for linearizability* (2017); A. Horn, D. Kroening, *Faster linearizability checking via
//! P-compositionality* (2015).

pub mod causal;
mod check;
mod drawing;
mod eras;
pub mod file;
mod graph;
pub mod jepsen;
pub mod lists;
pub mod maps;
mod model;
pub mod multicast;
mod operation;
pub mod queues;
pub mod recorded;
pub mod registers;
mod relations;
mod search;
mod sequence;
pub mod sequential;
pub mod sessions;
mod text;
mod timeline;
mod unknown;
mod verdict;
pub mod versions;
pub mod watch;
mod whole;

pub use check::{DEFAULT_MAX_STEPS, check};
pub use drawing::draw;
pub use model::Model;
pub use operation::{Operation, Return};
pub use verdict::{Before, Counterexample, Evidence, Verdict};
