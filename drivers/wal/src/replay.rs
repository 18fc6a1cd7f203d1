//! The records of a log, group by group, in the order in which they were made.
//!
//! Copying forward changes where records stand, never their positions; so positions decide.

use std::collections::BTreeMap;

use synod_engine::GroupId;

use crate::format::{Kind, RECORD_HEADER_BYTES, RawRecord};
use crate::ledger::Ledger;

/// A record that an earlier life made durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Whose it is.
    pub group: GroupId,
    /// Its place among the records of its group, counted from 1 when the group was new.
    pub position: u64,
    /// What it is to the ones before it. A group's entries begin with the oldest that its newest
    /// checkpoint keeps, or with that checkpoint.
    pub kind: Kind,
    /// What was appended.
    pub payload: Vec<u8>,
}

/// Live records as they are found.
#[derive(Default)]
pub(crate) struct Replay {
    groups: BTreeMap<GroupId, Group>,
}

#[derive(Default)]
struct Group {
    /// Records before this one are dead.
    oldest_live: u64,
    records: Vec<Found>,
}

struct Found {
    position: u64,
    segment: u64,
    kind: Kind,
    payload: Vec<u8>,
}

impl Replay {
    /// Takes in a record that stands in `segment`; later ones stand in the same or a later segment.
    pub(crate) fn take(&mut self, record: RawRecord<'_>, segment: u64) {
        let group = self.groups.entry(record.group).or_default();
        if let Kind::Checkpoint { keeps } = record.kind {
            group.oldest_live = group.oldest_live.max(record.position.saturating_sub(keeps));
            group.records.retain(|found| found.position >= group.oldest_live);
        }
        if record.position < group.oldest_live {
            return;
        }
        group.records.push(Found {
            position: record.position,
            segment,
            kind: record.kind,
            payload: record.payload.to_vec(),
        });
    }

    /// Orders the records, drops copies, and sees whether any is missing.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        for (group, found) in &mut self.groups {
            // Of copies the last is kept: the others' segments may be free.
            found
                .records
                .sort_by_key(|record| (record.position, std::cmp::Reverse(record.segment)));
            found.records.dedup_by_key(|record| record.position);
            let first = found.oldest_live.max(1);
            for (record, position) in found.records.iter().zip(first..) {
                if record.position != position {
                    return Err(format!(
                        "record {position} of group {group} is nowhere in the log"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The records, and the ledger that knows them.
    pub(crate) fn finish(self) -> (Vec<Entry>, Ledger) {
        let mut ledger = Ledger::default();
        let mut entries = Vec::new();
        for (group, found) in self.groups {
            let last = found.records.last().map_or(0, |record| record.position);
            ledger.restore(group, found.oldest_live.max(1), last);
            for Found { position, segment, kind, payload } in found.records {
                ledger.add(group, position, segment, (RECORD_HEADER_BYTES + payload.len()) as u64);
                entries.push(Entry { group, position, kind, payload });
            }
        }
        (entries, ledger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(position: u64, kind: Kind, payload: &[u8]) -> RawRecord<'_> {
        RawRecord { group: GroupId(1), position, kind, payload }
    }

    #[test]
    fn copies_made_later_take_their_old_place() {
        let mut replay = Replay::default();
        replay.take(record(1, Kind::Fact, b"dead"), 1);
        replay.take(record(2, Kind::Checkpoint { keeps: 0 }, b"base"), 1);
        replay.take(record(3, Kind::Fact, b"c"), 1);
        replay.take(record(4, Kind::Fact, b"d"), 2);
        replay.take(record(1, Kind::Fact, b"dead"), 2);
        replay.take(record(2, Kind::Checkpoint { keeps: 0 }, b"base"), 3);
        replay.take(record(3, Kind::Fact, b"c"), 3);
        assert_eq!(replay.check(), Ok(()));
        let (entries, ledger) = replay.finish();
        let payloads: Vec<&[u8]> = entries.iter().map(|entry| &entry.payload[..]).collect();
        assert_eq!(payloads, [&b"base"[..], b"c", b"d"]);
        assert_eq!(ledger.oldest_segment(), Some(2));
        assert_eq!(ledger.last(GroupId(1)), 4);
    }

    #[test]
    fn what_a_checkpoint_keeps_comes_back_before_it() {
        let mut replay = Replay::default();
        for position in 1..=4 {
            replay.take(record(position, Kind::Fact, b"fact"), 1);
        }
        replay.take(record(5, Kind::Checkpoint { keeps: 2 }, b"base"), 2);
        replay.take(record(6, Kind::Fact, b"fact"), 2);
        assert_eq!(replay.check(), Ok(()));
        let (entries, ledger) = replay.finish();
        let positions: Vec<_> = entries.iter().map(|entry| entry.position).collect();
        assert_eq!(positions, [3, 4, 5, 6]);
        assert!(ledger.is_live(GroupId(1), 3) && !ledger.is_live(GroupId(1), 2));
        assert_eq!(ledger.oldest_segment(), Some(1));
    }

    #[test]
    fn a_missing_record_is_noticed() {
        let mut replay = Replay::default();
        replay.take(record(1, Kind::Fact, b"a"), 1);
        replay.take(record(3, Kind::Fact, b"c"), 1);
        assert!(replay.check().unwrap_err().contains("record 2"));
    }
}
