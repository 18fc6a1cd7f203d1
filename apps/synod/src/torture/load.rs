//! Clients that make one call after the other and write down every answer.
//!
//! Each is connected through another server, and each value is written once in all histories. A call that
//! was surely not done is left out of the history; one of unknown fate stands without an end.
//!
//! A *pair* is two keys that are only written together, by transactions, and only read together: it is
//! judged as one register, and whoever finds two different values in it has found a violation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use synod_check::Operation;
use synod_check::registers::{Input, Output};
use synod_clerk::{Action, Clerk, Entry, Expect, Options, ReadError, Reads, Swap, Txn, WriteError};
use synod_engine::Random;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::timeline::{End, Timeline};
use super::watchers::Heard;
use crate::exit::Result;

/// An operation of a history.
pub(super) type Recorded = Operation<Input, Output>;

/// How long clients wait for an answer: some give up while others are still served.
const PATIENCE_MS: [u64; 3] = [500, 1_500, 5_000];

/// The client that reads everything in the end, and how long it waits.
const LAST: u64 = u64::MAX;
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// What clients do.
#[derive(Clone, Debug)]
pub(super) struct Habits {
    pub(super) clients: u64,
    /// How many calls a second all of them together aim at.
    pub(super) rate: u64,
    pub(super) keys: u64,
    pub(super) seed: u64,
}

/// Clients at work.
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
    clerks: Vec<Clerk>,
}

/// What clients saw.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) history: Vec<Recorded>,
    /// A pair of keys that did not hold the same.
    pub(super) torn: Option<String>,
    /// What watchers were told.
    pub(super) heard: Vec<Heard>,
}

struct Shared {
    begin: Instant,
    timeline: Timeline,
    /// What the names of all keys begin with.
    prefix: String,
    keys: u64,
    /// How long a client rests after a call, at the most.
    rest: Duration,
    stop: AtomicBool,
    values: AtomicU64,
    history: Mutex<Seen>,
    /// When the last write that was done was asked for, in nanoseconds.
    newest_write: watch::Sender<u64>,
}

impl Load {
    /// Connects all clients to the servers at `addresses`, and lets them begin. The names of their keys
    /// begin with `prefix`.
    pub(super) async fn start(
        (addresses, options): (&[String], Options),
        habits: &Habits,
        prefix: &str,
        timeline: &Timeline,
    ) -> Result<Self> {
        let mut clerks = Vec::new();
        for client in 0..habits.clients as usize {
            let mut addresses = addresses.to_vec();
            let first = client % addresses.len();
            addresses.rotate_left(first);
            let timeout_ms = PATIENCE_MS[client % PATIENCE_MS.len()];
            let options = Options { timeout_ms, ..options.clone() };
            let clerk = Clerk::connect(addresses, options).await?;
            let anywhere = (client / 2).is_multiple_of(2);
            let reads = if anywhere { Reads::LinearizableAnywhere } else { Reads::Linearizable };
            clerks.push(clerk.with_reads(reads));
        }
        let rest = Duration::from_secs(2 * habits.clients) / habits.rate as u32;
        let shared = Arc::new(Shared {
            begin: Instant::now(),
            timeline: timeline.clone(),
            prefix: prefix.to_owned(),
            keys: habits.keys,
            rest,
            stop: AtomicBool::new(false),
            values: AtomicU64::new(0),
            history: Mutex::default(),
            newest_write: watch::channel(0).0,
        });
        timeline.open();
        let mut clients = JoinSet::new();
        let mut chance = Random::new(habits.seed);
        for (client, clerk) in (0..).zip(&clerks) {
            let (shared, clerk, mut random) = (shared.clone(), clerk.clone(), chance.fork());
            clients.spawn(async move {
                while !shared.stop.load(Ordering::Relaxed) {
                    shared.call(&clerk, client, &mut random).await;
                    tokio::time::sleep(random.duration(Duration::ZERO, shared.rest)).await;
                }
            });
        }
        Ok(Self { shared, clients, clerks })
    }

    /// What the names of its keys begin with.
    pub(super) fn prefix(&self) -> &str {
        &self.shared.prefix
    }

    /// Waits until a write is done that is asked for from now on.
    pub(super) async fn next_write(&self) {
        let now = self.shared.now();
        let mut newest = self.shared.newest_write.subscribe();
        newest.wait_for(|asked| *asked > now).await.expect("this value holds the sender");
    }

    /// The newest revision that a client was told of.
    pub(super) fn seen(&self) -> u64 {
        self.clerks.iter().map(Clerk::seen).max().unwrap_or_default()
    }

    /// Waits until every client has ended its last call.
    pub(super) async fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client does not panic");
        }
        self.shared.timeline.close();
    }

    /// Reads everything once more, for the history.
    pub(super) async fn read_all(&self) -> std::result::Result<(), ReadError> {
        let clerk = self.clerks[0].with_timeout(LAST_PATIENCE);
        for key in 0..self.shared.keys {
            let key = self.shared.key(key);
            let asked = self.shared.now();
            let entry = clerk.get(key.clone()).await?;
            self.shared.record(LAST, asked, Input::Get { key }, Some(found(entry)));
        }
        for pair in 0..self.shared.pairs() {
            let asked = self.shared.now();
            let (input, answer) = self.shared.read_pair(&clerk, pair).await?;
            self.shared.record(LAST, asked, input, Some(answer));
        }
        Ok(())
    }

    /// Deletes what it wrote, for a store that is to last for hours, and gives the history back.
    pub(super) async fn finish(self) -> Seen {
        let prefix = self.shared.prefix.clone();
        // What cannot be deleted now stays: it is little, and nobody uses these names again.
        if let Ok(range) =
            self.clerks[0].range(prefix.clone(), Some(after(&prefix)), u64::MAX).await
        {
            for (key, _) in range.entries {
                self.clerks[0].delete(key).await.ok();
            }
        }
        for clerk in self.clerks {
            clerk.close().await;
        }
        std::mem::take(&mut *self.shared.lock())
    }
}

/// The first name behind all that begin with `prefix`.
pub(super) fn after(prefix: &str) -> Bytes {
    // Names are ASCII.
    format!("{prefix}\u{7f}").into()
}

impl Shared {
    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    fn key(&self, key: u64) -> Bytes {
        format!("{}key-{key}", self.prefix).into()
    }

    /// There are a quarter as many pairs as keys.
    fn pairs(&self) -> u64 {
        self.keys.div_ceil(4)
    }

    fn pair(&self, pair: u64) -> String {
        format!("{}pair-{pair}/", self.prefix)
    }

    async fn call(&self, clerk: &Clerk, client: u64, random: &mut Random) {
        let key = self.key(random.below(self.keys));
        let value = format!("[{}]", self.values.fetch_add(1, Ordering::Relaxed));
        let value = Bytes::from(value);
        let asked = self.now();
        let (input, answer) = match random.below(12) {
            0..3 => match clerk.get(key.clone()).await {
                Ok(entry) => (Input::Get { key }, Answer::Is(found(entry))),
                // A read that was not answered says nothing.
                Err(ReadError(_)) => (Input::Get { key }, Answer::NotDone),
            },
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
            9 => self.cas(clerk, key, value).await,
            10 => self.write_pair(clerk, random.below(self.pairs()), value).await,
            _ => {
                let pair = random.below(self.pairs());
                match self.read_pair(clerk, pair).await {
                    Ok((input, output)) => (input, Answer::Is(output)),
                    Err(ReadError(_)) => (Input::Get { key }, Answer::NotDone),
                }
            }
        };
        let is_write = !matches!(input, Input::Get { .. });
        let end = match answer {
            Answer::NotDone => End::NotDone,
            Answer::Unknown => {
                self.record(client, asked, input, None);
                End::Unknown
            }
            Answer::Is(output) => {
                self.record(client, asked, input, Some(output));
                if is_write {
                    self.newest_write.send_modify(|newest| *newest = asked.max(*newest));
                }
                End::Done
            }
        };
        let latency = Duration::from_nanos(self.now() - asked);
        self.timeline.note(end, is_write, latency);
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

    /// Puts both keys of a pair at once.
    async fn write_pair(&self, clerk: &Clerk, pair: u64, value: Bytes) -> (Input, Answer) {
        let name = self.pair(pair);
        let put = |half| Action::Put {
            key: format!("{name}{half}").into(),
            value: value.clone(),
            prev: false,
        };
        let txn = Txn { compares: vec![], success: vec![put('a'), put('b')], failure: vec![] };
        let written = clerk.txn(txn).await.map(|done| written_at(done.revision));
        (Input::Put { key: name.into(), value }, answer(written))
    }

    /// Reads both keys of a pair at once.
    async fn read_pair(
        &self,
        clerk: &Clerk,
        pair: u64,
    ) -> std::result::Result<(Input, Output), ReadError> {
        let name = self.pair(pair);
        let range = clerk.range(name.clone(), Some(after(&name)), 3).await?;
        let mut halves: Vec<Entry> = range.entries.into_iter().map(|(_, entry)| entry).collect();
        let one = halves.pop();
        let is_whole = match (&one, &halves[..]) {
            (None, []) => true,
            (Some(one), [other]) => {
                one.value == other.value && one.mod_revision == other.mod_revision
            }
            (None | Some(_), _) => false,
        };
        if !is_whole {
            let what = format!("the pair {name} holds {one:?} and {halves:?} at one revision");
            self.lock().torn.get_or_insert(what);
        }
        Ok((Input::Get { key: name.into() }, found(one)))
    }

    fn record(&self, client: u64, asked: u64, input: Input, output: Option<Output>) {
        let recorded = match output {
            Some(output) => Operation::returned(client, asked..=self.now(), input, output),
            None => Operation::unknown(client, asked, input),
        };
        self.lock().history.push(recorded);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Answer {
    Is(Output),
    NotDone,
    Unknown,
}

fn answer(result: std::result::Result<Output, WriteError>) -> Answer {
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
