//! Thousands of lives, each ended by a crash, against a model of what must be there after each.

#[expect(dead_code, reason = "each test uses its part")]
mod faulty;

use std::collections::BTreeMap;

use faulty::{Crash, FaultyDisk};
use synod_engine::{GroupId, Random};
use synod_wal::{Batch, Entry, Kind, Log, OpenError, Options, Preparation, SyncError};

fn options() -> Options {
    Options {
        segment_bytes: 16 << 10,
        max_record_bytes: 3000,
        max_batch_bytes: 8 << 10,
        copy_above_bytes: 80 << 10,
        max_log_bytes: 512 << 10,
        max_spare_segments: 1,
    }
}

/// The live records of each group, as a log that loses nothing holds them.
#[derive(Clone, Default, PartialEq, Debug)]
struct Model {
    groups: BTreeMap<GroupId, Vec<Entry>>,
}

impl Model {
    fn append(&mut self, group: GroupId, kind: Kind, payload: Vec<u8>) {
        let live = self.groups.entry(group).or_default();
        let position = live.last().map_or(0, |entry| entry.position) + 1;
        if let Kind::Checkpoint { keeps } = kind {
            live.drain(..live.len().saturating_sub(keeps as usize));
        }
        live.push(Entry { group, position, kind, payload });
    }

    /// Whether the log holds exactly these records.
    fn holds(&self, entries: &[Entry]) -> bool {
        self.groups.values().flatten().eq(entries)
    }
}

type Record = (GroupId, Kind, Vec<u8>);

/// One run: what was acknowledged, and what was handed over and not acknowledged.
struct Run {
    random: Random,
    disk: FaultyDisk,
    durable: Model,
    in_flight: Vec<Record>,
    made: u64,
    seen: Seen,
}

/// What a run has met.
#[derive(Default, Debug)]
struct Seen {
    crashes_in_recovery: u64,
    cuts: u64,
    unacknowledged_kept: u64,
    full: u64,
    failed_syncs: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            disk: FaultyDisk::new(seed),
            durable: Model::default(),
            in_flight: Vec::new(),
            made: 0,
            seen: Seen::default(),
        }
    }

    fn record(&mut self) -> Record {
        self.made += 1;
        // The last group writes seldom and must be copied forward.
        let group = match self.random.below(100) {
            0..2 => GroupId(9),
            _ => GroupId(self.random.below(3) as u32),
        };
        let kind = match self.random.below(24) {
            0 => Kind::Checkpoint { keeps: 0 },
            1 => Kind::Checkpoint { keeps: self.random.below(6) },
            _ => Kind::Fact,
        };
        let size = match self.random.below(4) {
            0 => self.random.below(3000),
            _ => self.random.below(200),
        };
        let mut payload = self.made.to_le_bytes().to_vec();
        payload.extend((0..size.saturating_sub(8)).map(|_| self.random.bits() as u8));
        (group, kind, payload)
    }

    /// Opens the log, crashing on the way now and then if asked to, and judges what it holds.
    fn recover(&mut self, crash: bool) -> Log {
        loop {
            if crash && self.random.below(3) == 0 {
                self.disk.die_after(self.random.below(40));
            }
            let opened = Log::open_on(self.disk.shared(), options(), Preparation::Inline);
            let (log, recovered) = match opened {
                Ok(opened) => opened,
                Err(error) if self.disk.died() => {
                    assert!(matches!(error, OpenError::Io { .. }), "{error}");
                    self.seen.crashes_in_recovery += 1;
                    let crash = self.any_crash();
                    self.disk = self.disk.crash(crash);
                    continue;
                }
                Err(error) => panic!("a crash is not damage: {error}"),
            };
            self.seen.cuts += u64::from(recovered.cut.is_some());
            let mut holds = self.durable.holds(&recovered.entries);
            for (group, kind, payload) in std::mem::take(&mut self.in_flight) {
                if holds {
                    break;
                }
                self.durable.append(group, kind, payload);
                self.seen.unacknowledged_kept += 1;
                holds = self.durable.holds(&recovered.entries);
            }
            assert!(holds, "records were lost or invented: {recovered:?}");
            return log;
        }
    }

    fn any_crash(&mut self) -> Crash {
        match self.random.below(5) {
            0 => Crash::Kill,
            1 => Crash::PowerLosingAll,
            2 => Crash::PowerTearingPages,
            _ => Crash::PowerTearingSectors,
        }
    }

    /// Writes until the process dies, after this many operations of the disk.
    fn live(&mut self, log: &mut Log, operations: u64) {
        let mut batch = log.batch();
        self.disk.die_after(operations);
        loop {
            let count = if self.random.below(20) == 0 { 40 } else { self.random.between(1, 8) };
            for _ in 0..count {
                let record = self.record();
                let appended = batch.append(record.0, record.1, &record.2);
                appended.expect("no record is too long");
                self.in_flight.push(record);
            }
            if self.random.below(10) == 0 {
                self.disk.set_capacity(self.random.below(400 << 10));
            }
            let mut result = log.sync(&mut batch);
            if let Err(SyncError::Full(_)) = result {
                self.seen.full += 1;
                self.acknowledge(&batch);
                self.disk.set_capacity(u64::MAX);
                result = log.sync(&mut batch);
            }
            match result {
                Ok(()) => self.acknowledge(&batch),
                Err(SyncError::Io { .. }) => {
                    if !self.disk.died() {
                        self.seen.failed_syncs += 1;
                        assert!(matches!(log.sync(&mut batch), Err(SyncError::Poisoned)));
                    }
                    return;
                }
                // The log's own bound; nothing more can be done in this life.
                Err(SyncError::Full(_)) => return,
                Err(error) => panic!("no bit was flipped: {error}"),
            }
        }
    }

    /// What is no longer in the batch is durable.
    fn acknowledge(&mut self, left: &Batch) {
        let written = self.in_flight.len() - left.records();
        for (group, kind, payload) in self.in_flight.drain(..written) {
            self.durable.append(group, kind, payload);
        }
    }
}

/// How many runs of 20 lives; `WAL_SEEDS` asks for more.
fn seeds() -> u64 {
    std::env::var("WAL_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(150)
}

#[test]
fn every_acknowledged_record_survives_every_crash_and_nothing_is_invented() {
    let mut total = Seen::default();
    for seed in 0..seeds() {
        let mut run = Run::new(seed);
        for _ in 0..20 {
            let mut log = run.recover(true);
            if run.random.below(4) == 0 {
                run.disk.fail_sync_after(run.random.below(30));
            }
            let operations = run.random.below(400);
            run.live(&mut log, operations);
            run.disk.set_capacity(u64::MAX);
            let crash = run.any_crash();
            run.disk = run.disk.crash(crash);
        }
        total.crashes_in_recovery += run.seen.crashes_in_recovery;
        total.cuts += run.seen.cuts;
        total.unacknowledged_kept += run.seen.unacknowledged_kept;
        total.full += run.seen.full;
        total.failed_syncs += run.seen.failed_syncs;
    }
    let met = [
        total.crashes_in_recovery,
        total.cuts,
        total.unacknowledged_kept,
        total.full,
        total.failed_syncs,
    ];
    assert!(met.iter().all(|count| *count >= 20), "the runs were too tame: {total:?}");
}

#[test]
fn a_crash_at_any_operation_of_making_rolling_and_reusing_segments_loses_nothing() {
    let crashes =
        [Crash::Kill, Crash::PowerLosingAll, Crash::PowerTearingPages, Crash::PowerTearingSectors];
    for crash in crashes {
        for operations in 0..500 {
            let mut run = Run::new(operations);
            run.disk.die_after(operations);
            let opened = Log::open_on(run.disk.shared(), options(), Preparation::Inline);
            if let Ok((mut log, _)) = opened {
                let left = run.disk.operations_left();
                run.live(&mut log, left);
            }
            run.disk = run.disk.crash(crash);
            run.recover(false);
        }
    }
}
