//! Which records are live, and in which segments they stand.
//!
//! A record is live from when it is written until a checkpoint of its group replaces it. The ledger
//! counts bytes per group and segment; it does not know single records, so a segment of which a
//! checkpoint keeps the last records of a group counts as live with all of that group's.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use synod_engine::GroupId;

use crate::format::Kind;

/// Live bytes per group and segment.
#[derive(Default)]
pub(crate) struct Ledger {
    groups: BTreeMap<GroupId, Group>,
    /// Live bytes per segment; no segment without any.
    segments: BTreeMap<u64, u64>,
    live_bytes: u64,
}

#[derive(Default)]
struct Group {
    /// The position of its last record; 0 if it has none.
    last: u64,
    /// The position of its oldest live record.
    oldest_live: u64,
    live: Vec<Share>,
}

/// What a group has in a segment.
#[derive(Clone, Copy)]
struct Share {
    segment: u64,
    bytes: u64,
    /// The position of the newest of these records.
    newest: u64,
}

impl Ledger {
    /// Takes note of the group's next record and names its position.
    pub(crate) fn append(&mut self, group: GroupId, kind: Kind, segment: u64, bytes: u64) -> u64 {
        let entry = self
            .groups
            .entry(group)
            .or_insert_with(|| Group { oldest_live: 1, ..Group::default() });
        entry.last += 1;
        let position = entry.last;
        if let Kind::Checkpoint { keeps } = kind {
            let oldest_live = position.saturating_sub(keeps).max(entry.oldest_live);
            entry.oldest_live = oldest_live;
            for share in entry.live.extract_if(.., |share| share.newest < oldest_live) {
                release(&mut self.segments, share.segment, share.bytes);
                self.live_bytes -= share.bytes;
            }
        }
        self.add(group, position, segment, bytes);
        position
    }

    /// Takes note of a group's records as a start found them.
    pub(crate) fn restore(&mut self, group: GroupId, oldest_live: u64, last: u64) {
        self.groups.insert(group, Group { last, oldest_live, live: Vec::new() });
    }

    /// Takes note that the live record of `group` at `position` takes `bytes` in `segment`.
    pub(crate) fn add(&mut self, group: GroupId, position: u64, segment: u64, bytes: u64) {
        let Some(entry) = self.groups.get_mut(&group) else { return };
        match entry.live.iter_mut().rev().find(|share| share.segment == segment) {
            Some(share) => {
                share.bytes += bytes;
                share.newest = share.newest.max(position);
            }
            None => entry.live.push(Share { segment, bytes, newest: position }),
        }
        *self.segments.entry(segment).or_default() += bytes;
        self.live_bytes += bytes;
    }

    /// Takes note that everything live in `segment` has been copied elsewhere.
    pub(crate) fn abandon(&mut self, segment: u64) {
        for entry in self.groups.values_mut() {
            entry.live.retain(|share| share.segment != segment);
        }
        self.live_bytes -= self.segments.remove(&segment).unwrap_or(0);
    }

    /// Whether this record is still needed.
    pub(crate) fn is_live(&self, group: GroupId, position: u64) -> bool {
        self.groups.get(&group).is_some_and(|entry| entry.oldest_live <= position)
    }

    /// The first segment with live records.
    pub(crate) fn oldest_segment(&self) -> Option<u64> {
        self.segments.keys().next().copied()
    }

    /// The segments, oldest first, that may have live records of `group` from `position` on.
    pub(crate) fn segments_with(&self, group: GroupId, position: u64) -> Vec<u64> {
        let Some(entry) = self.groups.get(&group).filter(|entry| entry.oldest_live <= position)
        else {
            return Vec::new();
        };
        let shares = entry.live.iter().filter(|share| share.newest >= position);
        let mut segments: Vec<_> = shares.map(|share| share.segment).collect();
        segments.sort_unstable();
        segments
    }

    /// Bytes of all live records.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// The position of the last record of `group`; 0 if it has none.
    pub(crate) fn last(&self, group: GroupId) -> u64 {
        self.groups.get(&group).map_or(0, |entry| entry.last)
    }

    /// All groups that have live records, with how many bytes; the largest first.
    pub(crate) fn by_size(&self) -> Vec<(u64, GroupId)> {
        let size = |entry: &Group| entry.live.iter().map(|share| share.bytes).sum::<u64>();
        let sizes = self.groups.iter().map(|(group, entry)| (size(entry), *group));
        let mut sizes: Vec<_> = sizes.filter(|(size, _)| *size > 0).collect();
        sizes.sort_unstable_by_key(|(size, group)| (Reverse(*size), *group));
        sizes
    }

    /// The group with the most live bytes, and how many.
    pub(crate) fn largest(&self) -> Option<(GroupId, u64)> {
        let size = |entry: &Group| entry.live.iter().map(|share| share.bytes).sum::<u64>();
        self.groups
            .iter()
            .map(|(group, entry)| (*group, size(entry)))
            .max_by_key(|(_, bytes)| *bytes)
    }
}

fn release(segments: &mut BTreeMap<u64, u64>, segment: u64, bytes: u64) {
    if let Some(live) = segments.get_mut(&segment) {
        *live -= bytes;
        if *live == 0 {
            segments.remove(&segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: GroupId = GroupId(1);
    const B: GroupId = GroupId(2);

    #[test]
    fn a_checkpoint_frees_the_segments_that_only_its_group_held() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.append(A, Kind::Fact, 1, 10), 1);
        assert_eq!(ledger.append(B, Kind::Fact, 1, 10), 1);
        assert_eq!(ledger.append(A, Kind::Fact, 2, 10), 2);
        assert_eq!(ledger.append(A, Kind::Checkpoint { keeps: 0 }, 3, 5), 3);
        assert_eq!(ledger.oldest_segment(), Some(1));
        assert_eq!(ledger.live_bytes(), 15);
        ledger.append(B, Kind::Checkpoint { keeps: 0 }, 3, 5);
        assert_eq!(ledger.oldest_segment(), Some(3));
        assert!(!ledger.is_live(A, 2) && ledger.is_live(A, 3));
    }

    #[test]
    fn a_segment_lives_as_long_as_a_checkpoint_keeps_one_of_its_records() {
        let mut ledger = Ledger::default();
        for segment in [1, 1, 2, 3] {
            ledger.append(A, Kind::Fact, segment, 10);
        }
        ledger.append(A, Kind::Checkpoint { keeps: 2 }, 3, 5);
        assert_eq!(ledger.oldest_segment(), Some(2));
        assert_eq!(ledger.live_bytes(), 25);
        assert!(ledger.is_live(A, 3) && !ledger.is_live(A, 2));
    }

    #[test]
    fn what_was_copied_no_longer_holds_its_segment() {
        let mut ledger = Ledger::default();
        ledger.append(A, Kind::Fact, 1, 10);
        ledger.append(B, Kind::Fact, 2, 30);
        ledger.add(A, 1, 2, 10);
        ledger.abandon(1);
        assert_eq!(ledger.oldest_segment(), Some(2));
        assert_eq!(ledger.live_bytes(), 40);
        assert_eq!(ledger.largest(), Some((B, 30)));
        assert_eq!((ledger.last(A), ledger.last(GroupId(9))), (1, 0));
        assert_eq!(ledger.by_size(), [(30, B), (10, A)]);
    }
}
