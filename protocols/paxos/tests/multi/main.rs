//! Multi-Paxos: stories of a few nodes, and runs in the simulator.

mod catch_up;
mod cluster;
mod driver;
mod hostile;
mod leases;
mod membership;
mod missed;
mod partitions;
mod phases;
mod recovery;
mod simulation;
mod transfer;
