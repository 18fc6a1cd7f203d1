//! What a node may have under way, keep in memory and keep on disk: the knobs that mean the same whatever
//! the protocol.

use synod_consensus::Refusal;
use synod_engine::ConfigError;

use crate::SnapshotBounds;

/// How much a node takes, sends, and keeps. The defaults suit ordinary networks and disks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Entries in one message, in bytes. Large enough to fill a network pipe, small enough that a
    /// heartbeat never waits long behind one.
    pub max_append_bytes: usize,
    /// Unacknowledged messages with entries to one follower; what a fast network and a slow disk need.
    pub max_in_flight_appends: usize,
    /// The same in bytes; bounds the memory of its link, and what it keeps of entries that came too early.
    pub max_in_flight_bytes: usize,
    /// A longer command is refused.
    pub max_command_bytes: usize,
    /// Proposals are refused while this much is not committed, or not durable on the leader itself;
    /// bounds what an isolated leader, or one with a stalled disk, keeps.
    pub max_uncommitted_bytes: usize,
    /// Proposals are refused, and a follower takes no more entries, while the state machine is this
    /// many entries behind; bounds the queue between them.
    pub max_unapplied_entries: u64,
    /// Proposals are refused, and a follower takes no more entries, while the state machine has this
    /// many bytes of entries to take in; bounds the memory that they hold.
    pub max_unapplied_bytes: usize,
    /// Reads are refused while this many wait.
    pub max_pending_reads: usize,
    /// Forwarded proposals that wait to be sent or answered, in bytes; beyond it they are refused.
    pub max_forwarded_bytes: usize,
    /// A snapshot is due when the entries since the last one weigh so many times what it weighs, within
    /// the next three bounds. Each writes the whole state: a multiple of 4 adds a quarter to what is
    /// written to the log, 1 would double it.
    pub snapshot_growth: u32,
    /// It is due after this many bytes of entries at the earliest: a small state costs little to write,
    /// but not nothing. Half of `max_log_bytes` is the latest.
    pub snapshot_every_bytes: usize,
    /// And after this many entries in any case. What a restart applies: one or two seconds of work.
    pub snapshot_every: u64,
    /// Bytes of entries kept on disk before a snapshot, so that a follower that is a little late needs
    /// none: a few seconds of the heaviest load.
    pub keep_log_bytes: usize,
    /// Entries that are applied stay in memory up to this many bytes; a follower that needs older ones
    /// is served from disk. A second or so of the heaviest load.
    pub max_cached_log_bytes: usize,
    /// Proposals are refused while so much was written since the last snapshot: none could be written.
    /// Half of it is what a restart holds in memory until it is applied, at most.
    pub max_log_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_append_bytes: 1 << 20,
            max_in_flight_appends: 256,
            max_in_flight_bytes: 32 << 20,
            max_command_bytes: 2 << 20,
            max_uncommitted_bytes: 64 << 20,
            max_unapplied_entries: 200_000,
            max_unapplied_bytes: 64 << 20,
            max_pending_reads: 100_000,
            max_forwarded_bytes: 8 << 20,
            snapshot_growth: 4,
            snapshot_every_bytes: 64 << 20,
            snapshot_every: 2_000_000,
            keep_log_bytes: 128 << 20,
            max_cached_log_bytes: 64 << 20,
            max_log_bytes: 1 << 30,
        }
    }
}

impl Bounds {
    /// Checks the knobs against each other.
    ///
    /// # Errors
    /// [`ConfigError`], naming the knob.
    pub fn check(&self) -> Result<(), ConfigError> {
        ConfigError::among([
            (self.max_append_bytes == 0, "max_append_bytes must be above 0"),
            (self.max_in_flight_appends == 0, "max_in_flight_appends must be above 0"),
            (self.max_in_flight_bytes == 0, "max_in_flight_bytes must be above 0"),
            (self.max_command_bytes == 0, "max_command_bytes must be above 0"),
            (
                self.max_uncommitted_bytes < self.max_command_bytes,
                "max_uncommitted_bytes must be at least max_command_bytes",
            ),
            (self.max_unapplied_entries == 0, "max_unapplied_entries must be above 0"),
            (self.max_unapplied_bytes == 0, "max_unapplied_bytes must be above 0"),
            (self.max_pending_reads == 0, "max_pending_reads must be above 0"),
            (self.snapshot_every == 0, "snapshot_every must be above 0"),
            (self.snapshot_every_bytes == 0, "snapshot_every_bytes must be above 0"),
            (self.snapshot_growth == 0, "snapshot_growth must be above 0"),
            (
                self.max_log_bytes <= self.snapshot_every_bytes,
                "max_log_bytes must be above snapshot_every_bytes",
            ),
        ])
    }

    /// Whether a command may be so long.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`].
    pub fn admit(&self, command: &[u8]) -> Result<(), Refusal> {
        let max_bytes = self.max_command_bytes;
        if command.len() > max_bytes {
            return Err(Refusal::TooLarge { max_bytes: max_bytes as u64 });
        }
        Ok(())
    }

    /// When a snapshot is due.
    #[must_use]
    pub fn snapshots(&self) -> SnapshotBounds {
        SnapshotBounds {
            growth: self.snapshot_growth,
            every_bytes: self.snapshot_every_bytes,
            every: self.snapshot_every,
            max_log_bytes: self.max_log_bytes,
        }
    }

    /// How much of the log is looked up on disk as one. Small enough that a checkpoint keeps about
    /// what it should, large enough that a log of 1 GiB is 16,000 of them.
    #[must_use]
    pub fn stretch_bytes(&self) -> usize {
        (self.keep_log_bytes / 16).min(64 << 10)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    /// Of each bound the last value that passes, and the first that is refused by the knob's name.
    #[test]
    fn every_knob_is_refused_from_its_bound_on() {
        type Set = fn(&mut Bounds, u64);
        let knobs: [(&str, Set, u64, u64); 12] = [
            ("max_append_bytes", |it, to| it.max_append_bytes = to as usize, 1, 0),
            ("max_in_flight_appends", |it, to| it.max_in_flight_appends = to as usize, 1, 0),
            ("max_in_flight_bytes", |it, to| it.max_in_flight_bytes = to as usize, 1, 0),
            ("max_command_bytes", |it, to| it.max_command_bytes = to as usize, 1, 0),
            (
                "max_uncommitted_bytes",
                |it, to| it.max_uncommitted_bytes = to as usize,
                2 << 20,
                (2 << 20) - 1,
            ),
            ("max_unapplied_entries", |it, to| it.max_unapplied_entries = to, 1, 0),
            ("max_unapplied_bytes", |it, to| it.max_unapplied_bytes = to as usize, 1, 0),
            ("max_pending_reads", |it, to| it.max_pending_reads = to as usize, 1, 0),
            ("snapshot_every ", |it, to| it.snapshot_every = to, 1, 0),
            ("snapshot_growth", |it, to| it.snapshot_growth = to as u32, 1, 0),
            ("snapshot_every_bytes", |it, to| it.snapshot_every_bytes = to as usize, 1, 0),
            ("max_log_bytes", |it, to| it.max_log_bytes = to as usize, (256 << 20) + 1, 256 << 20),
        ];
        for (knob, set, passes, refused) in knobs {
            let mut bounds = Bounds { snapshot_every_bytes: 256 << 20, ..Bounds::default() };
            set(&mut bounds, passes);
            assert_eq!(bounds.check(), Ok(()), "{knob} {passes}");
            set(&mut bounds, refused);
            let fault = bounds.check().expect_err(knob).to_string();
            assert!(fault.starts_with(knob), "{knob} {refused}: {fault}");
        }
    }

    #[test]
    fn what_is_cached_by_default_is_still_kept_on_disk_and_looked_up_in_small_parts() {
        let mut bounds = Bounds::default();
        assert_eq!(bounds.check(), Ok(()));
        assert!(bounds.keep_log_bytes >= bounds.max_cached_log_bytes);
        assert!(bounds.keep_log_bytes < bounds.max_log_bytes);
        assert!(bounds.max_forwarded_bytes >= bounds.max_command_bytes);
        assert_eq!((1 << 30) / bounds.stretch_bytes(), 16 * 1024, "of a log of 1 GiB");
        bounds.keep_log_bytes = 1000;
        assert_eq!(bounds.stretch_bytes(), 62);
    }
}
