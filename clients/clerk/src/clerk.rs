//! The handle that programs hold.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use synod_kv::message::{Answer, Entry, Expect, Op, Query, Revision, Span, Txn, TxnDone, Written};
use synod_kv::wire::NodeReport;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::call::{Call, Work};
use crate::connection::Connection;
use crate::driver::{Ask, Driver, Whom};
use crate::error::{ConnectError, ReadError, Reason, Trouble, WriteError};
use crate::options::{Options, bounded};
use crate::route::{Route, Servers};
use crate::watch::{Happened, Waiting, WatchError, WatchOptions, Watcher};
use crate::watching::NewWatch;

/// A client of a key-value cluster. Clones share its connection and its session.
#[derive(Clone, Debug)]
pub struct Clerk {
    asks: mpsc::UnboundedSender<Ask>,
    aside: Arc<Aside>,
    places: Arc<Semaphore>,
    /// The newest revision that the clerk has been told of.
    seen: Arc<AtomicU64>,
    timeout: Duration,
    reads: Reads,
}

/// What reads promise, and who answers them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Reads {
    /// They reflect every write that was answered before them. The leader answers.
    #[default]
    Linearizable,
    /// The same promise, through any node. A node that cannot keep it names one that can.
    LinearizableAnywhere,
    /// They may be old; but never older than what this clerk or a clone of it has read, written or
    /// been told before. Any node answers, at once.
    Stale,
}

/// The second driver, which talks to any node; made when it is first needed.
#[derive(Debug)]
struct Aside {
    options: Arc<Options>,
    servers: Servers,
    asks: OnceLock<mpsc::UnboundedSender<Ask>>,
    watches: AtomicU64,
}

/// What a compare-and-swap did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Swap {
    /// The key was as expected and has the new value.
    Stored {
        /// The revision of this write.
        revision: Revision,
    },
    /// The key was not as expected; nothing changed.
    Differs {
        /// Its modification revision; `None` if there is no such key.
        revision: Option<Revision>,
    },
}

/// The keys of a range, all as of one revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// The revision of the store.
    pub revision: Revision,
    /// The keys and what they hold, in order.
    pub entries: Vec<(Bytes, Entry)>,
    /// Whether there are more than the bounds allowed.
    pub more: bool,
}

/// What happened to some keys after a revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Changes {
    /// This.
    Happened(Happened),
    /// It is forgotten, up to this revision.
    Compacted {
        /// The revision.
        compacted: Revision,
    },
}

impl Clerk {
    /// A clerk of the cluster whose servers are at `addresses` (`host:port`). Some suffice: the others
    /// are learned from them, and so are those that take their place later. Spawns one task on the
    /// current tokio runtime.
    ///
    /// # Errors
    /// [`ConnectError`] if no server welcomed it.
    pub async fn connect<A: Into<String>>(
        addresses: impl IntoIterator<Item = A>,
        options: Options,
    ) -> Result<Self, ConnectError> {
        let servers: Vec<String> = addresses.into_iter().map(Into::into).collect();
        let mut attempts = Vec::new();
        for (asked, address) in servers.iter().enumerate() {
            match Connection::open(address.clone(), &options).await {
                Ok(connection) => {
                    let route = Route::new(Servers::new(servers), asked);
                    return Ok(Self::start(connection, route, options));
                }
                Err(error) => attempts.push((address.clone(), error)),
            }
        }
        Err(ConnectError { attempts })
    }

    fn start(connection: Connection, route: Route, options: Options) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(options.max_in_flight()));
        let timeout = options.timeout();
        let (options, seen) = (Arc::new(options), Arc::new(AtomicU64::new(0)));
        let servers = route.servers().clone();
        let (made, watches) = (OnceLock::new(), AtomicU64::new(0));
        let aside = Aside { options: options.clone(), servers, asks: made, watches };
        let driver = Driver::new(options, asked, seen.clone(), Whom::Leader, route);
        tokio::spawn(driver.connected(connection).run());
        Self { asks, aside: Arc::new(aside), places, seen, timeout, reads: Reads::default() }
    }

    /// The same clerk with another promise for what it reads.
    #[must_use]
    pub fn with_reads(&self, reads: Reads) -> Self {
        Self { reads, ..self.clone() }
    }

    /// The newest revision that this clerk and its clones have been told of.
    #[must_use]
    pub fn seen(&self) -> Revision {
        self.seen.load(Ordering::Relaxed)
    }

    /// The same clerk with another time limit for each call.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout: bounded(timeout), ..self.clone() }
    }

    /// Sets a key to a value.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn put(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<Revision, WriteError> {
        stored(&self.write(Op::Put { key: key.into(), value: value.into() }).await?)
    }

    /// Adds to the end of a key's value; an absent key counts as empty.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn append(
        &self,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
    ) -> Result<Revision, WriteError> {
        stored(&self.write(Op::Append { key: key.into(), value: value.into() }).await?)
    }

    /// Removes a key. `None` if there was none.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn delete(&self, key: impl Into<Bytes>) -> Result<Option<Revision>, WriteError> {
        match self.write(Op::Delete { key: key.into() }).await? {
            Written::Deleted { revision } => Ok(Some(revision)),
            Written::Absent => Ok(None),
            Written::Stored { .. } | Written::Differs { .. } | Written::Txn(_) => Err(misfit()),
        }
    }

    /// Sets a key to a value if it is as expected.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn cas(
        &self,
        key: impl Into<Bytes>,
        expect: Expect,
        value: impl Into<Bytes>,
    ) -> Result<Swap, WriteError> {
        match self.write(Op::Cas { key: key.into(), expect, value: value.into() }).await? {
            Written::Stored { revision } => Ok(Swap::Stored { revision }),
            Written::Differs { revision } => Ok(Swap::Differs { revision }),
            Written::Deleted { .. } | Written::Absent | Written::Txn(_) => Err(misfit()),
        }
    }

    /// If every comparison holds, does the actions of one branch, else those of the other: all at one
    /// revision, or none of them.
    ///
    /// # Errors
    /// [`WriteError`]
    pub async fn txn(&self, txn: Txn) -> Result<Arc<TxnDone>, WriteError> {
        match self.write(Op::Txn(txn)).await? {
            Written::Txn(done) => Ok(done),
            Written::Stored { .. }
            | Written::Deleted { .. }
            | Written::Absent
            | Written::Differs { .. } => Err(misfit()),
        }
    }

    /// What a key holds.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<Entry>, ReadError> {
        match self.read(Query::Get { key: key.into() }).await? {
            Answer::Value { entry, .. } => Ok(entry),
            Answer::Range { .. } | Answer::Changes { .. } | Answer::Compacted { .. } => {
                Err(misread())
            }
        }
    }

    /// At most `limit` keys from `start` on and before `end`, in order.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn range(
        &self,
        start: impl Into<Bytes>,
        end: Option<Bytes>,
        limit: u64,
    ) -> Result<Range, ReadError> {
        match self.read(Query::Range { start: start.into(), end, limit }).await? {
            Answer::Range { revision, entries, more } => Ok(Range { revision, entries, more }),
            Answer::Value { .. } | Answer::Changes { .. } | Answer::Compacted { .. } => {
                Err(misread())
            }
        }
    }

    /// How the node is that this clerk talks to.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn status(&self) -> Result<NodeReport, ReadError> {
        let (result, answer) = oneshot::channel();
        self.ask(Work::Status { result }).await.map_err(ReadError)?;
        answer.await.unwrap_or(Err(ReadError(Reason::Closed)))
    }

    /// What happened to some keys after a revision: a watch in single steps.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn changes(
        &self,
        keys: Span,
        after: Revision,
        limit: u64,
    ) -> Result<Changes, ReadError> {
        match self.read(Query::Changes { keys, after, limit }).await? {
            Answer::Changes { through, events, .. } => {
                Ok(Changes::Happened(Happened { through, events }))
            }
            Answer::Compacted { compacted, .. } => Ok(Changes::Compacted { compacted }),
            Answer::Value { .. } | Answer::Range { .. } => Err(misread()),
        }
    }

    /// Watches what happens, at any node. Returns once a server has taken the watch, and the revision
    /// from which on everything is told.
    ///
    /// # Errors
    /// [`WatchError`], if what is wanted is compacted, or no server takes it within the clerk's time
    /// limit.
    pub async fn watch(&self, options: WatchOptions) -> Result<(Watcher, Revision), WatchError> {
        let asks = self.aside();
        let (tell, told) = mpsc::unbounded_channel();
        let waiting = Arc::new(Waiting::default());
        let id = self.aside.watches.fetch_add(1, Ordering::Relaxed);
        let watch = NewWatch { id, options, told: tell, waiting: waiting.clone() };
        asks.send(Ask::Watch(watch)).map_err(|_| WatchError::Closed)?;
        let mut watcher = Watcher::new(id, asks, told, waiting);
        match timeout(self.timeout, watcher.begun()).await {
            Ok(begun) => begun.map(|from| (watcher, from)),
            Err(_) => Err(WatchError::Deadline),
        }
    }

    /// Ends the session once all calls have ended, and with it the clerk and its clones. Takes at most
    /// the clerk's time limit; without it the store forgets the session when its lease is over.
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        let deadline = Instant::now() + self.timeout;
        if self.asks.send(Ask::Close { deadline, done }).is_ok() {
            closed.await.ok();
        }
        let (done, closed) = oneshot::channel();
        if let Some(asks) = self.aside.asks.get()
            && asks.send(Ask::Close { deadline, done }).is_ok()
        {
            closed.await.ok();
        }
    }

    /// Does `op` exactly once.
    async fn write(&self, op: Op) -> Result<Written, WriteError> {
        let (result, answer) = oneshot::channel();
        self.ask(Work::Write { op, result }).await.map_err(WriteError::NotDone)?;
        // The driver ends every call that it took; without a driver nothing says what became of it.
        answer.await.unwrap_or(Err(WriteError::Unknown(Reason::Closed)))
    }

    async fn read(&self, query: Query) -> Result<Answer, ReadError> {
        let (result, answer) = oneshot::channel();
        let stale = (self.reads == Reads::Stale).then(|| self.seen());
        self.ask(Work::Read { query, stale, result }).await.map_err(ReadError)?;
        answer.await.unwrap_or(Err(ReadError(Reason::Closed)))
    }

    /// Hands a call to the driver once there is a place for it.
    async fn ask(&self, work: Work) -> Result<(), Reason> {
        let deadline = Instant::now() + self.timeout;
        let is_read = matches!(work, Work::Read { .. });
        let call = Call::new(work, deadline, self.place(deadline).await?);
        let sent = if is_read && self.reads != Reads::Linearizable {
            self.aside().send(Ask::Call(call))
        } else {
            self.asks.send(Ask::Call(call))
        };
        sent.map_err(|_| Reason::Closed)
    }

    /// The driver that talks to any node.
    fn aside(&self) -> mpsc::UnboundedSender<Ask> {
        let asks = self.aside.asks.get_or_init(|| {
            let (asks, asked) = mpsc::unbounded_channel();
            let (options, seen) = (self.aside.options.clone(), self.seen.clone());
            let route = Route::anywhere(self.aside.servers.clone());
            tokio::spawn(Driver::new(options, asked, seen, Whom::Anyone, route).run());
            asks
        });
        asks.clone()
    }

    async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Reason> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        match timeout_at(deadline, self.places.clone().acquire_owned()).await {
            Ok(place) => place.map_err(|_| Reason::Closed),
            Err(_) => Err(Reason::Deadline(Trouble::Busy)),
        }
    }
}

const MISFIT: &str = "it answers another question";

fn stored(written: &Written) -> Result<Revision, WriteError> {
    match written {
        Written::Stored { revision } => Ok(*revision),
        Written::Deleted { .. } | Written::Absent | Written::Differs { .. } | Written::Txn(_) => {
            Err(misfit())
        }
    }
}

/// The server answered a read as no read of that kind is answered.
fn misread() -> ReadError {
    ReadError(Reason::BadRequest(MISFIT.into()))
}

/// The server answered a write as no write of that kind is answered.
fn misfit() -> WriteError {
    WriteError::Unknown(Reason::BadRequest(MISFIT.into()))
}
