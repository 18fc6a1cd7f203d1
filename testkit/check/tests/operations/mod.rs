//! Short ways to write operations on registers.
#![allow(dead_code, reason = "each test file uses its own share")]

use std::ops::RangeInclusive;

use bytes::Bytes;
use synod_check::registers::{Input, Output, Registers};
use synod_check::{DEFAULT_MAX_STEPS, Verdict, check};

pub(crate) type Operation = synod_check::Operation<Input, Output>;

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn put(time: RangeInclusive<u64>, value: &str) -> Operation {
    Operation::returned(1, time, input_put(value), written(None))
}

pub(crate) fn append(time: RangeInclusive<u64>, value: &str) -> Operation {
    let input = Input::Append { key: bytes("k"), value: bytes(value) };
    Operation::returned(2, time, input, written(None))
}

pub(crate) fn get(time: RangeInclusive<u64>, value: Option<&str>) -> Operation {
    let output = Output::Value { value: value.map(bytes), revision: None };
    Operation::returned(3, time, Input::Get { key: bytes("k") }, output)
}

pub(crate) fn delete(time: RangeInclusive<u64>, output: Output) -> Operation {
    Operation::returned(4, time, Input::Delete { key: bytes("k") }, output)
}

pub(crate) fn cas(
    time: RangeInclusive<u64>,
    expect: Option<&str>,
    value: &str,
    output: Output,
) -> Operation {
    let (expect, value) = (expect.map(bytes), bytes(value));
    Operation::returned(5, time, Input::Cas { key: bytes("k"), expect, value }, output)
}

pub(crate) fn input_put(value: &str) -> Input {
    Input::Put { key: bytes("k"), value: bytes(value) }
}

pub(crate) fn written(revision: Option<u64>) -> Output {
    Output::Written { revision }
}

/// The same operation, of unknown fate.
pub(crate) fn unknown(operation: Operation) -> Operation {
    Operation { returned: None, ..operation }
}

/// The same operation, with the revision that its answer told.
pub(crate) fn at_revision(revision: u64, mut operation: Operation) -> Operation {
    match operation.returned.as_mut().map(|returned| &mut returned.output) {
        Some(Output::Value { revision: told, .. } | Output::Written { revision: told }) => {
            *told = Some(revision);
        }
        other => panic!("no revision in {other:?}"),
    }
    operation
}

pub(crate) fn judge(history: &[Operation]) -> Verdict {
    check(&Registers, history, DEFAULT_MAX_STEPS)
}
