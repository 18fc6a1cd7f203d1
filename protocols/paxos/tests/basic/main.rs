//! Basic Paxos: the paper, sentence by sentence; duels and ways of learning in virtual time; the
//! simulator with every fault.

mod duel;
mod hand;
mod invariants;
mod learning;
mod net;
mod paper;
mod simulation;
mod words;
