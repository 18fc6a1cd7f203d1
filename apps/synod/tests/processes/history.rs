//! A load that writes down every answer, and the judge of what it wrote.
//!
//! Each lane is a client that makes one call after the other. A call that was surely not done is left
//! out; one of unknown fate stands without an end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_check::registers::{Input, Output, Registers};
use synod_check::{DEFAULT_MAX_STEPS, Operation, Verdict, check};
use synod_clerk::{Clerk, Entry, Expect, ReadError, Swap, WriteError};
use synod_engine::Random;
use tokio::task::JoinSet;

type Record = Operation<Input, Output>;

/// A load under way.
pub(crate) struct Load {
    shared: Arc<Shared>,
    lanes: JoinSet<()>,
    clerk: Clerk,
}

struct Shared {
    start: Instant,
    keys: u64,
    stop: AtomicBool,
    values: AtomicU64,
    /// When the last acknowledged write that counts was asked for, in nanoseconds since the start.
    newest_write: AtomicU64,
    acknowledged: AtomicU64,
    records: Mutex<Vec<Record>>,
}

impl Load {
    /// Starts `lanes` lanes over `keys` keys.
    pub(crate) fn start(clerk: &Clerk, lanes: u64, keys: u64) -> Self {
        Self::start_on(std::slice::from_ref(clerk), lanes, keys)
    }

    /// The same, where the lanes take turns with these clerks.
    pub(crate) fn start_on(clerks: &[Clerk], lanes: u64, keys: u64) -> Self {
        let shared = Arc::new(Shared {
            start: Instant::now(),
            keys,
            stop: AtomicBool::new(false),
            values: AtomicU64::new(0),
            newest_write: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            records: Mutex::default(),
        });
        let mut set = JoinSet::new();
        for (lane, clerk) in (0..lanes).zip(clerks.iter().cycle()) {
            let (shared, clerk) = (shared.clone(), clerk.clone());
            set.spawn(async move {
                let mut random = Random::new(lane);
                while !shared.stop.load(Ordering::Relaxed) {
                    shared.call(&clerk, lane, &mut random).await;
                }
            });
        }
        Self { shared, lanes: set, clerk: clerks[0].clone() }
    }

    /// Writes acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until a write is acknowledged that is asked for from now on; how long it took.
    pub(crate) async fn next_write(&self) -> Duration {
        let now = Instant::now();
        let asked_after = self.shared.now();
        super::cluster::until("a write is acknowledged", async || {
            (self.shared.newest_write.load(Ordering::Relaxed) > asked_after).then_some(())
        })
        .await;
        now.elapsed()
    }

    /// Stops the load, reads every key, and has the history judged. How many operations it has.
    pub(crate) async fn judge(mut self) -> usize {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(lane) = self.lanes.join_next().await {
            lane.unwrap();
        }
        for key in 0..self.shared.keys {
            let key = name(key);
            let asked = self.shared.now();
            let entry = self.clerk.get(key.clone()).await.expect("the cluster is up again");
            self.shared.record(u64::MAX, asked, Input::Get { key }, Some(found(entry)));
        }
        let records = std::mem::take(&mut *self.shared.records.lock().unwrap());
        match check(&Registers, &records, DEFAULT_MAX_STEPS) {
            Verdict::Ok => records.len(),
            Verdict::Illegal(counterexample) => panic!("{}", counterexample.explain(&records)),
            verdict @ Verdict::Unknown { .. } => panic!("{verdict}"),
        }
    }
}

impl Shared {
    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    async fn call(&self, clerk: &Clerk, lane: u64, random: &mut Random) {
        let key = name(random.below(self.keys));
        let value = Bytes::from(format!("[{}]", self.values.fetch_add(1, Ordering::Relaxed)));
        let asked = self.now();
        let (input, answer) = match random.below(10) {
            0..3 => {
                let answer = match clerk.get(key.clone()).await {
                    Ok(entry) => Answer::Is(found(entry)),
                    // A read that was not answered says nothing.
                    Err(ReadError(_)) => Answer::NotDone,
                };
                (Input::Get { key }, answer)
            }
            3..6 => {
                let written = clerk.put(key.clone(), value.clone()).await;
                (Input::Put { key, value }, answer(written.map(written_at)))
            }
            6..8 => {
                let written = clerk.append(key.clone(), value.clone()).await;
                (Input::Append { key, value }, answer(written.map(written_at)))
            }
            8 => {
                let deleted = clerk.delete(key.clone()).await;
                let deleted = deleted.map(|revision| revision.map_or(Output::Absent, written_at));
                (Input::Delete { key }, answer(deleted))
            }
            _ => self.cas(clerk, key, value).await,
        };
        let is_write = !matches!(input, Input::Get { .. });
        match answer {
            Answer::NotDone => {}
            Answer::Unknown => self.record(lane, asked, input, None),
            Answer::Is(output) => {
                self.record(lane, asked, input, Some(output));
                if is_write {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    self.newest_write.fetch_max(asked, Ordering::Relaxed);
                }
            }
        }
    }

    /// Swaps what a read finds, which may have changed by then.
    async fn cas(&self, clerk: &Clerk, key: Bytes, value: Bytes) -> (Input, Answer) {
        let expect = match clerk.get(key.clone()).await {
            Ok(entry) => entry.map(|entry| entry.value),
            Err(ReadError(_)) => return (Input::Get { key }, Answer::NotDone),
        };
        let expected = expect.clone().map_or(Expect::Absent, Expect::Value);
        let swapped = clerk.cas(key.clone(), expected, value.clone()).await;
        let swapped = swapped.map(|swap| match swap {
            Swap::Stored { revision } => written_at(revision),
            Swap::Differs { .. } => Output::Differs,
        });
        (Input::Cas { key, expect, value }, answer(swapped))
    }

    fn record(&self, client: u64, asked: u64, input: Input, output: Option<Output>) {
        let record = match output {
            Some(output) => Operation::returned(client, asked..=self.now(), input, output),
            None => Operation::unknown(client, asked, input),
        };
        self.records.lock().unwrap().push(record);
    }
}

enum Answer {
    Is(Output),
    NotDone,
    Unknown,
}

fn answer(result: Result<Output, WriteError>) -> Answer {
    match result {
        Ok(output) => Answer::Is(output),
        Err(WriteError::NotDone(_)) => Answer::NotDone,
        Err(WriteError::Unknown(_)) => Answer::Unknown,
    }
}

fn written_at(revision: u64) -> Output {
    Output::Written { revision: Some(revision) }
}

fn found(entry: Option<Entry>) -> Output {
    let revision = entry.as_ref().map(|entry| entry.mod_revision);
    Output::Value { value: entry.map(|entry| entry.value), revision }
}

fn name(key: u64) -> Bytes {
    format!("key {key}").into()
}
