//! Multi-Paxos: stories of a few nodes, and runs in the simulator.

mod simulation;
