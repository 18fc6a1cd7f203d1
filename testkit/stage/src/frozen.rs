//! Bytes that never change: what a released version said and wrote.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Compares each value with its line of `frozen`, in hexadecimal digits, both ways.
///
/// # Panics
/// If one is written otherwise, or what is written there is read otherwise.
#[track_caller]
pub fn assert_frozen<T>(values: &[T], frozen: &str)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let lines: Vec<_> = frozen.lines().collect();
    let encoded: Vec<_> = values.iter().map(encoded).collect();
    let hex: Vec<_> = encoded.iter().map(|bytes| digits(bytes)).collect();
    assert_eq!(hex, lines, "encoded");
    for (value, bytes) in values.iter().zip(encoded) {
        let decoded = synod_codec::decode::<T>(&bytes);
        assert_eq!(decoded.as_ref(), Ok(value), "decoded from {}", digits(&bytes));
    }
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    synod_codec::encode(value, &mut bytes);
    bytes
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
