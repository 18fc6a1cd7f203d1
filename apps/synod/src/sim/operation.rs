//! What a simulated client asks of one key, in the words of the judge and of the store.

use bytes::Bytes;
use synod_check::registers::Input;
use synod_kv::message::{Action, Compare, Expect, Op, Relation, Span, Target, Txn};
use synod_sim::Dice;

/// The name of a key.
pub(super) fn key(number: u64) -> Bytes {
    Bytes::from(format!("k{number}"))
}

/// A write to `key` whose value no other write has: `serial` is its own, in brackets
/// so that no value contains another. A compare-and-swap expects
/// what was `seen` last.
pub(super) fn draw_write(dice: &mut Dice, key: Bytes, serial: usize, seen: Option<Bytes>) -> Input {
    let value = Bytes::from(format!("[{serial}]"));
    match dice.below(10) {
        0..4 => Input::Put { key, value },
        4..7 => Input::Append { key, value },
        7 => Input::Delete { key },
        _ => Input::Cas { key, expect: seen, value },
    }
}

/// The numbers of the writes that made this value.
pub(super) fn serials(value: &[u8]) -> impl Iterator<Item = usize> {
    let parts = value.split(|byte| *byte == b']').filter(|part| !part.is_empty());
    parts.map(|part| {
        let digits = std::str::from_utf8(part).ok().and_then(|text| text.strip_prefix('['));
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX)
    })
}

/// The write as a transaction of the store, where one means the same.
pub(super) fn txn(input: &Input) -> Option<Op> {
    let put = |key: &Bytes, value: &Bytes| {
        vec![Action::Put { key: key.clone(), value: value.clone(), prev: false }]
    };
    let (compares, success) = match input {
        Input::Put { key, value } => (Vec::new(), put(key, value)),
        Input::Cas { key, expect, value } => {
            let target = expect.clone().map_or(Target::Version(0), Target::Value);
            let keys = Span::One(key.clone());
            let compare = Compare { keys, relation: Relation::Equal, target };
            (vec![compare], put(key, value))
        }
        Input::Get { .. } | Input::Append { .. } | Input::Delete { .. } => return None,
    };
    Some(Op::Txn(Txn { compares, success, failure: Vec::new() }))
}

/// The write as a command of the store; a get is none.
pub(super) fn op(input: &Input) -> Option<Op> {
    Some(match input.clone() {
        Input::Get { .. } => return None,
        Input::Put { key, value } => Op::Put { key, value },
        Input::Append { key, value } => Op::Append { key, value },
        Input::Delete { key } => Op::Delete { key },
        Input::Cas { key, expect, value } => {
            Op::Cas { key, expect: expect.map_or(Expect::Absent, Expect::Value), value }
        }
    })
}
