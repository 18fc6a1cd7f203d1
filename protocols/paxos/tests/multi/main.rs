//! Multi-Paxos: stories of a few nodes, and runs in the simulator.

mod bounds;
mod catch_up;
mod cluster;
mod driver;
mod follower_reads;
mod forwarding;
mod hostile;
mod leases;
mod membership;
mod missed;
mod partitions;
mod phases;
mod reads;
mod recovery;
mod rules;
mod simulation;
mod transfer;
