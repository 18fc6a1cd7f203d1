//! The roles that one node may combine. Each owns its data and its timer.

pub(crate) mod acceptor;
pub(crate) mod client;
pub(crate) mod learner;
pub(crate) mod proposer;
