//! Nodes of any replicated log on a bench, for tests that tell a story.
//!
//! A [`Node`] is one engine and its driver: a test says what it hears and when its disk writes, and looks at what
//! it persists, sends and tells. A [`Cluster`] is several of them and a network that the test moves by hand; every
//! step is checked against the invariants of the protocol. [`words`] spell entries, snapshots and changes as short
//! as they can be. [`assert_frozen`] is for
//! their bytes.
//!
//! What only one protocol knows (how its elections are won, what its messages say) stays with its tests, as
//! traits on these. Where nobody cares for the order of things but time and chance, `synod-sim` is the better
//! driver.

mod cluster;
mod frozen;
mod node;
pub mod words;

pub use cluster::{Cluster, Envelope, Timers};
pub use frozen::assert_frozen;
pub use node::{Disk, Happened, Node, OldLog};
