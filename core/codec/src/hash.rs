//! The one checksum of the project.

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

/// Hash of `bytes`.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// Hash of `bytes` that also depends on `previous`, the hash of what came before.
#[must_use]
pub fn hash_chained(previous: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, previous)
}

/// [`hash`] of bytes that arrive in pieces.
#[derive(Clone, Default)]
pub struct Hash(Xxh3);

impl Hash {
    /// Takes in the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all pieces so far.
    #[must_use]
    pub fn finish(&self) -> u64 {
        self.0.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hash_like_the_whole() {
        let mut pieces = Hash::default();
        pieces.update(b"syn");
        pieces.update(b"od");
        assert_eq!(pieces.finish(), hash(b"synod"));
        assert_ne!(hash_chained(1, b"synod"), hash_chained(2, b"synod"));
    }
}
