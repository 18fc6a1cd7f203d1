//! A key as the map keeps it: in place if it is short.
//!
//! A lookup compares some twenty keys. Where each comparison follows a pointer, a lookup among
//! 100,000 keys waits for memory most of its time; short keys in place halve it.

use core::cmp::Ordering;
use core::ops::Deref;

use bytes::Bytes;
use synod_codec::hash;

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

impl PartialEq for Key {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Short { len, bytes }, Self::Short { len: other_len, bytes: other_bytes }) => {
                len == other_len && bytes == other_bytes
            }
            (Self::Long(bytes), Self::Long(other)) => bytes == other,
            (Self::Short { .. }, Self::Long(_)) | (Self::Long(_), Self::Short { .. }) => false,
        }
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Key {
    /// A byte that equal keys share and others seldom do.
    #[inline]
    pub(crate) fn tag(&self) -> u8 {
        match self {
            Self::Short { len, bytes } => {
                let words = (0..IN_PLACE_BYTES).step_by(WORD).map(|place| word(bytes, place));
                let mixed = words.fold(u64::from(*len), |mixed, word| {
                    // The factor of FxHash: odd, and without a pattern.
                    (mixed.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
                });
                (mixed >> 56) as u8
            }
            Self::Long(bytes) => hash(bytes) as u8,
        }
    }
}

impl Key {
    /// The eight bytes from `place` on, or what there is and zeros, as a number of the same order: where
    /// keys agree before `place`, those with the lower number come first.
    #[inline]
    pub(crate) fn word(&self, place: usize) -> u64 {
        match self {
            Self::Short { bytes, .. } if place + WORD <= IN_PLACE_BYTES => word(bytes, place),
            Self::Short { .. } | Self::Long(_) => padded(self.get(place..).unwrap_or(&[])),
        }
    }
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let (Self::Short { len, bytes }, Self::Short { len: other_len, bytes: other_bytes }) =
            (self, other)
        else {
            return (**self).cmp(&**other);
        };
        // Behind a short key are zeros, so eight bytes can be compared at a time; where all are the
        // same, one key is the other with zeros behind.
        for place in (0..IN_PLACE_BYTES).step_by(WORD) {
            let (word, other_word) = (word(bytes, place), word(other_bytes, place));
            if word != other_word {
                return word.cmp(&other_word);
            }
        }
        len.cmp(other_len)
    }
}

impl Default for Key {
    /// The key before all others.
    fn default() -> Self {
        Self::Short { len: 0, bytes: [0; IN_PLACE_BYTES] }
    }
}

const WORD: usize = 8;

/// Eight bytes from `place` on, or what there is, as a number of the same order.
#[inline]
fn word(bytes: &[u8; IN_PLACE_BYTES], place: usize) -> u64 {
    match bytes[place..].first_chunk::<WORD>() {
        Some(word) => u64::from_be_bytes(*word),
        None => padded(&bytes[place..]),
    }
}

/// The first eight of these bytes, with zeros behind them if there are fewer.
#[inline]
fn padded(bytes: &[u8]) -> u64 {
    let mut word = [0; WORD];
    let len = bytes.len().min(WORD);
    word[..len].copy_from_slice(&bytes[..len]);
    u64::from_be_bytes(word)
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
        for (place, key) in keys.iter().enumerate() {
            for (other_place, other) in keys.iter().enumerate() {
                assert_eq!(key.cmp(other), place.cmp(&other_place), "{key:?} and {other:?}");
                assert_eq!(key == other, place == other_place);
                let differ =
                    key.iter().zip(other.iter()).take_while(|(one, two)| one == two).count();
                for same in 0..=differ {
                    let words = (key.word(same), other.word(same));
                    assert!(words.0 == words.1 || (words.0 < words.1) == (key < other));
                }
            }
        }
        for (key, text) in keys.iter().zip(texts) {
            assert_eq!(**key, *text);
        }
    }
}
