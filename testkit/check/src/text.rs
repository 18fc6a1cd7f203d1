//! Bytes in JSON: a string where they are text, `{"hex": "…"}` where they are not; numbers are taken
//! for their digits. And bytes as people are shown them.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Number(i64),
    Hex { hex: String },
}

/// Bytes as people are shown them: quoted, with escapes where they are no text.
pub(crate) struct Quoted<'a>(pub(crate) &'a Bytes);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A list of them; of a long one only its end.
pub(crate) struct Listed<'a>(pub(crate) &'a [Bytes]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        let hidden = self.0.len().saturating_sub(SHOWN);
        write!(f, "[")?;
        if hidden > 0 {
            write!(f, "{hidden} more, ")?;
        }
        for (place, value) in self.0[hidden..].iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{}", Quoted(value))?;
        }
        write!(f, "]")
    }
}

/// The name of a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Bytes);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Quoted(&self.0))
    }
}

pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    text(bytes).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    bytes(Text::deserialize(deserializer)?)
}

/// The same for bytes that may be missing.
pub(crate) mod option {
    use super::{Bytes, Deserialize, Deserializer, Serialize, Serializer, Text, bytes, text};

    pub(crate) fn serialize<S: Serializer>(
        bytes: &Option<Bytes>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(text).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Bytes>, D::Error> {
        Option::<Text>::deserialize(deserializer)?.map(bytes).transpose()
    }
}

/// The same for a list of them.
pub(crate) mod list {
    use super::{Bytes, Deserialize, Deserializer, Serializer, Text, bytes, text};

    pub(crate) fn serialize<S: Serializer>(
        list: &[Bytes],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(text))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Bytes>, D::Error> {
        Vec::<Text>::deserialize(deserializer)?.into_iter().map(bytes).collect()
    }
}

fn text(bytes: &Bytes) -> Text {
    match str::from_utf8(bytes) {
        Ok(text) => Text::Plain(text.into()),
        Err(_) => Text::Hex { hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect() },
    }
}

fn bytes<E: serde::de::Error>(text: Text) -> Result<Bytes, E> {
    let hex = match text {
        Text::Plain(text) => return Ok(text.into()),
        Text::Number(number) => return Ok(number.to_string().into()),
        Text::Hex { hex } => hex,
    };
    if !hex.is_ascii() || !hex.len().is_multiple_of(2) {
        return Err(E::custom("hex has two digits per byte"));
    }
    let byte = |pair: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(pair), 16);

    let bytes: Result<Vec<_>, _> = hex.as_bytes().chunks(2).map(byte).collect();
    bytes.map(Into::into).map_err(E::custom)
}
