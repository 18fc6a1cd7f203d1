//! What a simulated client asks of one key, in the words of the judge and of the store.

use bytes::Bytes;
use synod_check::registers::Input;
use synod_kv::message::{Action, Compare, Expect, Op, Relation, Span, Target, Txn};
use synod_sim::Dice;

/// The name of a key.
pub(super) fn key(number: u64) -> Bytes {
    Bytes::from(format!("k{number}"))
}

/// A value that no other write has: `serial` is its own, in brackets so that no value contains another,
/// and in so many digits that the value has this length, or as many as it needs.
fn value(serial: usize, bytes: usize) -> Bytes {
    let short = format!("{serial}]");
    let zeros = "0".repeat(bytes.saturating_sub(1 + short.len()));
    Bytes::from(format!("[{zeros}{short}"))
}

/// A write to `key` whose value no other write has, nor this length if it is not enough. A
/// compare-and-swap expects what was `seen` last.
pub(super) fn draw_write(
    dice: &mut Dice,
    key: Bytes,
    (serial, bytes): (usize, usize),
    seen: Option<Bytes>,
) -> Input {
    let value = value(serial, bytes);
    match dice.below(10) {
        0..4 => Input::Put { key, value },
        4..7 => Input::Append { key, value },
        7 => Input::Delete { key },
        _ => Input::Cas { key, expect: seen, value },
    }
}

/// A part of a transaction over several keys: a write to one of them, on condition that it is as it was
/// `seen` last or on none.
pub(super) fn draw_part(
    dice: &mut Dice,
    key: Bytes,
    (serial, bytes): (usize, usize),
    expect: Option<Bytes>,
) -> Input {
    let value = value(serial, bytes);
    if dice.chance(500_000) { Input::Put { key, value } } else { Input::Cas { key, expect, value } }
}

/// Two or three of so many keys, this one first.
pub(super) fn draw_keys(dice: &mut Dice, first: u64, keys: u64) -> Vec<u64> {
    let count = dice.between(2, 3).min(keys);
    let step = dice.between(1, (keys - 1) / (count - 1));
    (0..count).map(|place| (first + place * step) % keys).collect()
}

/// The numbers of the writes that made this value.
pub(super) fn serials(value: &[u8]) -> impl Iterator<Item = usize> {
    let parts = value.split(|byte| *byte == b']').filter(|part| !part.is_empty());
    parts.map(|part| {
        let digits = std::str::from_utf8(part).ok().and_then(|text| text.strip_prefix('['));
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX)
    })
}

/// The writes as one transaction of the store, where one means the same. If several do not happen, they
/// read their keys instead.
pub(super) fn txn(inputs: &[Input]) -> Option<Op> {
    let mut txn = Txn::default();
    for input in inputs {
        let (key, value) = match input {
            Input::Put { key, value } => (key, value),
            Input::Cas { key, expect, value } => {
                let target = expect.clone().map_or(Target::Version(0), Target::Value);
                let keys = Span::One(key.clone());
                txn.compares.push(Compare { keys, relation: Relation::Equal, target });
                (key, value)
            }
            Input::Get { .. } | Input::Append { .. } | Input::Delete { .. } => return None,
        };
        txn.success.push(Action::Put { key: key.clone(), value: value.clone(), prev: false });
        if inputs.len() > 1 {
            txn.failure.push(Action::Get { keys: Span::One(key.clone()), limit: 1 });
        }
    }
    Some(Op::Txn(txn))
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

#[cfg(test)]
mod tests {
    use synod_engine::Random;

    use super::*;

    #[test]
    fn the_keys_of_a_transaction_are_different() {
        for seed in 0..1_000 {
            let mut random = Random::new(seed);
            let (keys, first) = (random.between(2, 6), random.below(2));
            let mut drawn = draw_keys(&mut Dice::new(seed), first, keys);
            drawn.sort_unstable();
            assert!(drawn.len() >= 2 && drawn.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(drawn.iter().all(|key| *key < keys));
        }
    }

    #[test]
    fn a_value_says_which_writes_made_it_however_long_it_is() {
        let whole = [value(7, 0), value(12, 9)].concat();
        assert_eq!(whole, b"[7][0000012]");
        assert_eq!(serials(&whole).collect::<Vec<_>>(), [7, 12]);
    }
}
