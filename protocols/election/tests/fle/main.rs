//! Fast leader election: what ZooKeeper's does, sentence by sentence; how many messages it takes; what it
//! keeps and reaches under faults.

mod behaviour;
mod counts;
mod folds;
mod hand;
mod simulation;
mod strangers;
