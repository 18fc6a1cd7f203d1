//! A key as the map keeps it: in place if it is short.
//!
//! A lookup compares some twenty keys. Where each comparison follows a pointer, a lookup among
//! 100,000 keys waits for memory most of its time; short keys in place halve it.

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::ops::Deref;

use bytes::Bytes;

const IN_PLACE_BYTES: usize = 38;

#[derive(Clone)]
pub(crate) enum Key {
    Short { len: u8, bytes: [u8; IN_PLACE_BYTES] },
    Long(Bytes),
}

impl From<&Bytes> for Key {
    fn from(key: &Bytes) -> Self {
        if key.len() > IN_PLACE_BYTES {
            return Self::Long(key.clone());
        }
        let mut bytes = [0; IN_PLACE_BYTES];
        bytes[..key.len()].copy_from_slice(key);
        Self::Short { len: key.len() as u8, bytes }
    }
}

impl Deref for Key {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        Bytes::copy_from_slice(self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_ordered_by_their_bytes_wherever_they_are_kept() {
        let texts = [&b""[..], b"\0", b"a", b"a\0", &[b'a'; 38], &[b'a'; 39], b"b", &[b'b'; 40]];
        let keys = texts.map(|text| Key::from(&Bytes::copy_from_slice(text)));
        assert!(keys.is_sorted() && keys.iter().is_sorted_by(|one, next| one != next));
        for (key, text) in keys.iter().zip(texts) {
            assert_eq!(**key, *text);
        }
    }
}
