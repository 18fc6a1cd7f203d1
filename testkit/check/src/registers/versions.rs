//! Which write made what an operation on a register found.
//!
//! A value is what a put or a compare-and-swap wrote, and what was appended since. So a value that can
//! be cut into such pieces in one way only, each written once, tells all of them, in order. Deletions
//! are not told apart by what is found after them: then the versions are not complete.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use super::{Input, Output};
use crate::Operation;
use crate::text::Quoted;
use crate::versions::{Change, Contradiction, Shown, Unclear, Version, Versions};

type Asked<'a> = &'a Operation<Input, Output>;

/// What was written, and by whom.
struct Pieces {
    writers: HashMap<Bytes, usize>,
    lengths: BTreeSet<usize>,
    has_appends: bool,
    has_deletions: bool,
}

/// Which version each operation found and made.
pub(super) fn versions(operations: &[Asked<'_>]) -> Result<Versions, Unclear> {
    let pieces = Pieces::of(operations)?;
    let mut shown = Shown::new(operations.len());
    let mut doubtful = Vec::new();
    for (place, operation) in operations.iter().enumerate() {
        if is_doubtful(operation) {
            shown.writes(place);
            doubtful.push(place);
        } else {
            pieces.take_in(place, operation, operations, &mut shown)?;
        }
    }
    // One that was seen did happen, and so found what it expected; that may show others.
    while let Some(happened) = doubtful.iter().position(|place| shown.is_read(*place)) {
        let place = doubtful.swap_remove(happened);
        pieces.take_in(place, operations[place], operations, &mut shown)?;
    }
    let change = match pieces.has_appends {
        true => Change::Either,
        false => Change::Replace,
    };
    Ok(shown.finish(!pieces.has_deletions, change, |place| operations[place].returned.is_none()))
}

impl Pieces {
    fn of(operations: &[Asked<'_>]) -> Result<Self, Unclear> {
        let mut pieces = Self {
            writers: HashMap::new(),
            lengths: BTreeSet::new(),
            has_appends: false,
            has_deletions: false,
        };
        for (place, operation) in operations.iter().enumerate() {
            let value = match &operation.input {
                Input::Delete { .. } if operation.output() != Some(&Output::Absent) => {
                    pieces.has_deletions = true;
                    continue;
                }
                Input::Put { value, .. } => value,
                Input::Append { value, .. } => {
                    pieces.has_appends = true;
                    value
                }
                Input::Cas { value, .. } if operation.output() != Some(&Output::Differs) => value,
                Input::Get { .. } | Input::Delete { .. } | Input::Cas { .. } => continue,
            };
            let swaps_itself =
                matches!(&operation.input, Input::Cas { expect: Some(it), .. } if it == value);
            if value.is_empty()
                || swaps_itself
                || pieces.writers.insert(value.clone(), place).is_some()
            {
                let why = format!("has {} written twice, or nothing", Quoted(value));
                return Err(Unclear::Ambiguous(why));
            }
            pieces.lengths.insert(value.len());
        }
        Ok(pieces)
    }

    /// What one operation shows.
    fn take_in(
        &self,
        place: usize,
        operation: Asked<'_>,
        operations: &[Asked<'_>],
        shown: &mut Shown,
    ) -> Result<(), Unclear> {
        let found = match (&operation.input, operation.output()) {
            (Input::Get { .. }, Some(Output::Value { value, .. })) => value,
            (Input::Cas { expect, .. }, None | Some(Output::Written { .. })) => {
                shown.writes(place);
                expect
            }
            (
                Input::Put { .. } | Input::Append { .. } | Input::Delete { .. },
                None | Some(Output::Written { .. }),
            ) => {
                shown.writes(place);
                return Ok(());
            }
            (Input::Delete { .. }, Some(Output::Absent))
            | (Input::Cas { .. }, Some(Output::Differs)) => return Ok(()),
            _ => return Err(Unclear::Impossible(vec![place])),
        };
        let cut = self.cut(found.as_ref(), operations)?;
        let Some(cut) = cut else { return Err(Unclear::Impossible(vec![place])) };
        self.put_in_order(place, &cut, operations, shown).map_err(|Contradiction(one, other)| {
            let pieces = [one, other].map(|place| self.behind(place, operations));
            let guilty: BTreeSet<_> = pieces.concat().into_iter().collect();
            Unclear::Impossible(guilty.into_iter().collect())
        })
    }

    /// The operation `place` found these pieces, one after the other.
    fn put_in_order(
        &self,
        place: usize,
        cut: &[usize],
        operations: &[Asked<'_>],
        shown: &mut Shown,
    ) -> Result<(), Contradiction> {
        if let Some(first) = cut.first()
            && !self.has_deletions
            && matches!(operations[*first].input, Input::Append { .. })
        {
            shown.follows(Version::Initial, *first, place)?;
        }
        for pair in cut.windows(2) {
            shown.follows(Version::Of(pair[0]), pair[1], place)?;
        }
        let version = match cut.last() {
            Some(last) => Version::Of(*last),
            None if self.has_deletions => return Ok(()),
            None => Version::Initial,
        };
        shown.reads(place, version);
        match operations[place].input {
            Input::Cas { .. } => shown.follows(version, place, place),
            _ => Ok(()),
        }
    }

    /// The operation, and all whose writes it shows.
    fn behind(&self, place: usize, operations: &[Asked<'_>]) -> Vec<usize> {
        let found = match (&operations[place].input, operations[place].output()) {
            (Input::Cas { expect, .. }, _) => expect.as_ref(),
            (_, Some(Output::Value { value, .. })) => value.as_ref(),
            _ => None,
        };
        let mut behind = self.cut(found, operations).ok().flatten().unwrap_or_default();
        behind.push(place);
        behind
    }

    /// The writes that made this value, in order; `None` if nothing can have made it.
    fn cut(
        &self,
        value: Option<&Bytes>,
        operations: &[Asked<'_>],
    ) -> Result<Option<Vec<usize>>, Unclear> {
        let Some(value) = value else { return Ok(Some(Vec::new())) };
        if !self.has_appends {
            return Ok(self.writers.get(value).map(|write| vec![*write]));
        }
        // For each length of the value: in how many ways it can be cut so far, and the last piece.
        let mut ways = vec![(0u8, 0usize); value.len() + 1];
        ways[0].0 = 1;
        for begin in 0..value.len() {
            if ways[begin].0 == 0 {
                continue;
            }
            for length in self.lengths.iter().take_while(|length| begin + **length <= value.len()) {
                let Some(&write) = self.writers.get(&value[begin..begin + length]) else {
                    continue;
                };
                if begin > 0 && !matches!(operations[write].input, Input::Append { .. }) {
                    continue;
                }
                let so_far = ways[begin].0;
                let end = &mut ways[begin + length];
                *end = (end.0.saturating_add(so_far), write);
            }
        }
        match ways[value.len()].0 {
            0 => Ok(None),
            1 => {
                let (mut cut, mut end) = (Vec::new(), value.len());
                while end > 0 {
                    let write = ways[end].1;
                    cut.push(write);
                    end -= piece(operations[write]).len();
                }
                cut.reverse();
                Ok(Some(cut))
            }
            _ => Err(Unclear::Ambiguous(format!(
                "has {}, which several writes can explain",
                Quoted(value)
            ))),
        }
    }
}

/// Whether it is a compare-and-swap of which nobody knows whether it found what it expected.
fn is_doubtful(operation: Asked<'_>) -> bool {
    operation.returned.is_none() && matches!(operation.input, Input::Cas { .. })
}

/// What the write adds.
fn piece<'a>(operation: Asked<'a>) -> &'a [u8] {
    match &operation.input {
        Input::Put { value, .. } | Input::Append { value, .. } | Input::Cas { value, .. } => value,
        Input::Get { .. } | Input::Delete { .. } => &[],
    }
}
