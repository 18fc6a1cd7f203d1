//! Versioned, bounded, checksummed bytes.
//!
//! Values are written in [postcard](https://postcard.jamesmunns.com)'s format: [`encode`] and
//! [`decode`]. What travels between processes is cut into [`frame`]s, whose length is checked
//! against a bound before memory is taken and whose checksum turns corruption into loss. [`hash`] is
//! the one checksum of the project (XXH3, 64 bits): it finds accidents, not attackers.

#![no_std]

extern crate alloc;

pub mod frame;
mod hash;
mod value;

pub use hash::{Hash, hash, hash_chained};
pub use value::{Malformed, decode, encode};
