//! What a node counts and measures, in Prometheus's terms. Hot paths count once per batch.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use synod_consensus::{Role, Status};

/// Shared by all threads of a node.
pub(crate) struct Metrics {
    pub(crate) proposals: Counter,
    pub(crate) reads: Counter,
    pub(crate) refused: Counter,
    pub(crate) unknown: Counter,
    pub(crate) committed: Counter,
    pub(crate) elections: Counter,
    pub(crate) snapshots: Counter,
    pub(crate) installs: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) sessions: Counter,
    pub(crate) overflows: Counter,
    pub(crate) dropped: Counter,
    syncs: Counter,
    synced_bytes: Counter,
    sync_seconds: Histogram,
    sync_records: Histogram,
    pub(crate) batch_entries: Histogram,
    pub(crate) undurable_bytes: Gauge,
    pub(crate) unapplied: Gauge,
    pub(crate) unanswered: Gauge,
    pub(crate) disk_free_bytes: Gauge,
    is_leader: Gauge,
    epoch: Gauge,
    last: Gauge,
    commit: Gauge,
    applied: Gauge,
    snapshot: Gauge,
}

impl Metrics {
    /// All metrics, registered in `registry` under `synod_`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            proposals: Counter::default(),
            reads: Counter::default(),
            refused: Counter::default(),
            unknown: Counter::default(),
            committed: Counter::default(),
            elections: Counter::default(),
            snapshots: Counter::default(),
            installs: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            sessions: Counter::default(),
            overflows: Counter::default(),
            dropped: Counter::default(),
            syncs: Counter::default(),
            synced_bytes: Counter::default(),
            sync_seconds: Histogram::new(exponential_buckets(20e-6, 2.0, 20)),
            sync_records: Histogram::new(exponential_buckets(1.0, 2.0, 14)),
            batch_entries: Histogram::new(exponential_buckets(1.0, 2.0, 14)),
            undurable_bytes: Gauge::default(),
            unapplied: Gauge::default(),
            unanswered: Gauge::default(),
            disk_free_bytes: Gauge::default(),
            is_leader: Gauge::default(),
            epoch: Gauge::default(),
            last: Gauge::default(),
            commit: Gauge::default(),
            applied: Gauge::default(),
            snapshot: Gauge::default(),
        };
        metrics.register(registry.sub_registry_with_prefix("synod"));
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        let counters = [
            ("proposals", "Proposals taken in", &self.proposals),
            ("reads", "Reads taken in", &self.reads),
            ("requests_refused", "Requests refused", &self.refused),
            ("requests_unknown", "Proposals whose fate is unknown", &self.unknown),
            ("entries_committed", "Entries known to be committed", &self.committed),
            ("leadership_changes", "Changes of role, leader or epoch", &self.elections),
            ("snapshots_written", "Snapshots written", &self.snapshots),
            ("snapshots_installed", "Snapshots installed", &self.installs),
            ("peer_sessions", "Sessions opened with peers", &self.sessions),
            ("peer_overflows", "Sessions ended by a full queue", &self.overflows),
            ("peer_messages_dropped", "Messages dropped for want of room", &self.dropped),
            ("log_syncs", "Batches made durable", &self.syncs),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let byte_counters = [
            ("peer_in", "Bytes received from peers", &self.bytes_in),
            ("peer_out", "Bytes sent to peers", &self.bytes_out),
            ("log_synced", "Bytes of records made durable", &self.synced_bytes),
        ];
        for (name, help, counter) in byte_counters {
            registry.register_with_unit(name, help, Unit::Bytes, counter.clone());
        }
        let byte_gauges = [
            ("log_undurable", "Bytes of records on their way to the disk", &self.undurable_bytes),
            ("disk_free", "Free space of the file system", &self.disk_free_bytes),
        ];
        for (name, help, gauge) in byte_gauges {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
        let gauges = [
            ("unapplied", "Entries and reads that wait for the state machine", &self.unapplied),
            ("unanswered", "Requests that wait for an answer", &self.unanswered),
            ("is_leader", "1 on the leader", &self.is_leader),
            ("epoch", "The term, ballot or epoch", &self.epoch),
            ("last_index", "Last entry in the log", &self.last),
            ("commit_index", "Last entry known to be committed", &self.commit),
            ("applied_index", "Last entry applied", &self.applied),
            ("snapshot_index", "Last entry in the newest snapshot", &self.snapshot),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let help = "How long a batch takes to become durable";
        registry.register_with_unit("log_sync", help, Unit::Seconds, self.sync_seconds.clone());
        registry.register("log_sync_records", "Records per batch", self.sync_records.clone());
        let help = "Entries committed at a time";
        registry.register("commit_batch_entries", help, self.batch_entries.clone());
    }

    /// A batch became durable.
    pub(crate) fn synced(&self, took: Duration, records: usize, bytes: usize) {
        self.syncs.inc();
        self.synced_bytes.inc_by(bytes as u64);
        self.sync_seconds.observe(took.as_secs_f64());
        self.sync_records.observe(records as f64);
    }

    /// The log looks like this.
    pub(crate) fn looks(&self, status: &Status) {
        self.is_leader.set(i64::from(status.role == Role::Leader));
        let gauges = [
            (&self.epoch, status.epoch.0),
            (&self.last, status.last.0),
            (&self.commit, status.commit.0),
            (&self.applied, status.applied.0),
            (&self.snapshot, status.snapshot.0),
        ];
        for (gauge, value) in gauges {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}
