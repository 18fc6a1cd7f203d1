//! Sentences of the paper that bind an implementation (Junqueira, Reed, Serafini, "Zab: High-performance
//! broadcast for primary-backup systems", DSN 2011, section IV: steps l.1.1 to l.3.4 of a leader, f.1.1 to
//! f.3.4 of a follower), and of the published specification where the paper leaves something open. One test
//! a sentence, by phases.
//!
//! The test bench: one node by hand in [`driver`] (with [`words`]), several in [`cluster`].

mod broadcast;
mod chaos;
#[allow(dead_code, reason = "the regressions use the rest")]
mod cluster;
mod discovery;
#[allow(dead_code, reason = "the regressions use the rest")]
mod driver;
mod late;
mod properties;
mod records;
mod requests;
mod rules;
mod survivors;
mod synchronisation;
#[allow(dead_code, reason = "the regressions use the rest")]
mod words;
