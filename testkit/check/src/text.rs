//! Bytes in JSON: a string where they are text, `{"hex": "…"}` where they are not.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Plain(String),
    Hex { hex: String },
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

fn text(bytes: &Bytes) -> Text {
    match str::from_utf8(bytes) {
        Ok(text) => Text::Plain(text.into()),
        Err(_) => Text::Hex { hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect() },
    }
}

fn bytes<E: serde::de::Error>(text: Text) -> Result<Bytes, E> {
    let hex = match text {
        Text::Plain(text) => return Ok(text.into()),
        Text::Hex { hex } => hex,
    };
    if !hex.is_ascii() || !hex.len().is_multiple_of(2) {
        return Err(E::custom("hex has two digits per byte"));
    }
    let byte = |pair: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(pair), 16);

    let bytes: Result<Vec<_>, _> = hex.as_bytes().chunks(2).map(byte).collect();
    bytes.map(Into::into).map_err(E::custom)
}
