//! Basic Paxos: the paper, sentence by sentence, and the simulator with every fault.

mod hand;
mod paper;
mod simulation;
