//! What a node counts and measures, in Prometheus's terms. Hot paths count once per batch.

use std::borrow::Cow;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use synod_consensus::{Role, Status};

use crate::groups::{Groups, Place};

/// Groups up to which each has metrics of its own: every one of them is a dozen lines to be scraped.
const MAX_LABELLED: usize = 16;

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
    pub(crate) messages_out: Counter,
    pub(crate) sessions: Counter,
    pub(crate) overflows: Counter,
    pub(crate) dropped: Counter,
    pub(crate) stall_handovers: Counter,
    syncs: Counter,
    synced_bytes: Counter,
    sync_seconds: Histogram,
    sync_records: Histogram,
    pub(crate) batch_entries: Histogram,
    pub(crate) undurable_bytes: Gauge,
    pub(crate) unapplied: Gauge,
    pub(crate) unanswered: Gauge,
    pub(crate) disk_free_bytes: Gauge,
    totals: Looks,
    /// Of each group, if there are few.
    groups: Vec<Looks>,
}

impl Metrics {
    /// All metrics, registered in `registry` under `synod_`. What is told of a log is summed up over all
    /// groups; of a few groups it is also told of each, with its name as a label.
    pub(crate) fn new(registry: &mut Registry, groups: &Groups) -> Self {
        let mut metrics = Self {
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
            messages_out: Counter::default(),
            sessions: Counter::default(),
            overflows: Counter::default(),
            dropped: Counter::default(),
            stall_handovers: Counter::default(),
            syncs: Counter::default(),
            synced_bytes: Counter::default(),
            sync_seconds: Histogram::new(exponential_buckets(20e-6, 2.0, 20)),
            sync_records: Histogram::new(exponential_buckets(1.0, 2.0, 14)),
            batch_entries: Histogram::new(exponential_buckets(1.0, 2.0, 14)),
            undurable_bytes: Gauge::default(),
            unapplied: Gauge::default(),
            unanswered: Gauge::default(),
            disk_free_bytes: Gauge::default(),
            totals: Looks::default(),
            groups: Vec::new(),
        };
        let registry = registry.sub_registry_with_prefix("synod");
        metrics.register(registry);
        metrics.totals.register(registry);
        if (2..=MAX_LABELLED).contains(&groups.len()) {
            let registry = registry.sub_registry_with_prefix("group");
            for group in groups.iter() {
                let label = (Cow::Borrowed("group"), Cow::Owned(group.0.to_string()));
                let looks = Looks::default();
                looks.register(registry.sub_registry_with_label(label));
                metrics.groups.push(looks);
            }
        }
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
            (
                "peer_out_messages",
                "Messages for peers, of which many may share a frame",
                &self.messages_out,
            ),
            ("peer_messages_dropped", "Messages dropped for want of room", &self.dropped),
            (
                "stall_handovers",
                "Hand-overs asked for since the disk stalled or got low",
                &self.stall_handovers,
            ),
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

    /// The log of the group at `place` looked one way and looks another now.
    pub(crate) fn looks(&self, place: Place, before: &Status, now: &Status) {
        let own = self.groups.get(place.0);
        for gauges in own.into_iter().chain([&self.totals]) {
            gauges.change(before, now);
        }
    }
}

/// How the log of a group looks, or the sum over all groups.
#[derive(Default)]
struct Looks {
    leads: Gauge,
    epoch: Gauge,
    last: Gauge,
    commit: Gauge,
    applied: Gauge,
    snapshot: Gauge,
}

impl Looks {
    fn register(&self, registry: &mut Registry) {
        let gauges = [
            ("is_leader", "1 on the leader", &self.leads),
            ("epoch", "The term, ballot or epoch", &self.epoch),
            ("last_index", "Last entry in the log", &self.last),
            ("commit_index", "Last entry known to be committed", &self.commit),
            ("applied_index", "Last entry applied", &self.applied),
            ("snapshot_index", "Last entry in the newest snapshot", &self.snapshot),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
    }

    fn change(&self, before: &Status, now: &Status) {
        let leads = |status: &Status| u64::from(status.role == Role::Leader);
        let changes = [
            (&self.leads, leads(before), leads(now)),
            (&self.epoch, before.epoch.0, now.epoch.0),
            (&self.last, before.last.0, now.last.0),
            (&self.commit, before.commit.0, now.commit.0),
            (&self.applied, before.applied.0, now.applied.0),
            (&self.snapshot, before.snapshot.0, now.snapshot.0),
        ];
        for (gauge, before, now) in changes {
            gauge.inc_by(now.cast_signed().wrapping_sub(before.cast_signed()));
        }
    }
}
