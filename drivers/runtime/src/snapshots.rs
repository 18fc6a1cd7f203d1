//! How many snapshots are written at a time: a few, however many groups want one, since each holds on to
//! a frozen state and shares one disk with the log.

use std::collections::VecDeque;

use synod_engine::TaskId;

use crate::groups::Place;

/// Snapshots that are written at the same time.
const AT_A_TIME: usize = 2;

/// The row of groups that want a snapshot written. A group wants one at a time.
#[derive(Default)]
pub(crate) struct Snapshots {
    waiting: VecDeque<(Place, TaskId)>,
    writing: usize,
}

impl Snapshots {
    /// The group at `place` wants one; returns who may begin now.
    pub(crate) fn ask(&mut self, place: Place, id: TaskId) -> Option<(Place, TaskId)> {
        self.waiting.push_back((place, id));
        self.begin()
    }

    /// One was written, or failed; returns who may begin now.
    pub(crate) fn done(&mut self) -> Option<(Place, TaskId)> {
        self.writing -= 1;
        self.begin()
    }

    fn begin(&mut self) -> Option<(Place, TaskId)> {
        if self.writing == AT_A_TIME {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.writing += 1;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_at_a_time_and_each_in_its_turn() {
        let mut snapshots = Snapshots::default();
        let wanted: Vec<_> = (0..5).map(|group| (Place(group), TaskId(7))).collect();
        let begun: Vec<_> =
            wanted.iter().filter_map(|(place, id)| snapshots.ask(*place, *id)).collect();
        assert_eq!(begun, wanted[..AT_A_TIME]);
        let mut rest = Vec::new();
        for _ in 0..5 {
            rest.extend(snapshots.done());
        }
        assert_eq!(rest, wanted[AT_A_TIME..]);
        assert_eq!(snapshots.ask(Place(9), TaskId(1)), Some((Place(9), TaskId(1))));
    }
}
