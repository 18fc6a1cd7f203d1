//! What the tests of every replicated log put on it in the simulator.
//!
//! A [`Register`] is the simplest service by which reads can be judged. [`Load`] is its clients: they write and
//! read all the time, each at the node that it believes to lead, and what one was told the others must see; with
//! an operator, who asks for one change of members after the other, sensible or not. [`Calm`] is a cluster to
//! which nothing happens but what a test does; [`batch`] is what random runs have in common. The key-value store, with clients that judge all that it promises,
//! runs on every log in `apps/synod`.

pub mod batch;
mod calm;
mod load;
mod register;

pub use calm::{Calm, Cluster, NODES, leader};
pub use load::Load;
pub use register::Register;
