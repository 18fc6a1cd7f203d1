//! Runs engines on real sockets, disks and clocks.

mod config;
mod directory;
mod handle;
mod identity;
mod node;
mod reply;

pub use config::{Limits, NodeConfig};
pub use handle::{Call, Disk, Handle, Leadership, NodeStatus, PeerStatus};
pub use identity::{FORMAT, Identity, IdentityError, Lock};
pub use node::{Node, StartError, StopReason, start};
pub use reply::{Answer, Oneshot, Outcome, Reply};
