//! A replicated key-value store as a pure state machine.
//!
//! [`message`] is its vocabulary, shared with clients; [`wire`] is how clients and servers say it.

#![no_std]

extern crate alloc;

pub mod message;
pub mod wire;
