//! Watches the free space of the directory's file system, and sweeps blobs that nobody needs, off the
//! core thread.
//!
//! Below the reserve the node refuses proposals and takes no entries from a leader; what is left is
//! for votes. It is [`Disk::Ample`] again a little above the reserve.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use synod_engine::Engine;
use tracing::{info, warn};

use crate::blobs::Store;
use crate::inbox::Inbox;
use crate::metrics::Metrics;
use crate::{Disk, Limits};

/// How free space is found out: of the real file system, or of one that a test makes up.
#[derive(Clone)]
pub struct FreeSpace(Arc<Measure>);

type Measure = dyn Fn(&Path) -> io::Result<u64> + Send + Sync;

impl FreeSpace {
    /// What `bytes` says is free.
    pub fn of(bytes: impl Fn(&Path) -> io::Result<u64> + Send + Sync + 'static) -> Self {
        Self(Arc::new(bytes))
    }
}

impl Default for FreeSpace {
    fn default() -> Self {
        Self::of(|path| {
            let system = rustix::fs::statvfs(path)?;
            Ok(system.f_bavail.saturating_mul(system.f_frsize))
        })
    }
}

impl fmt::Debug for FreeSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FreeSpace")
    }
}

/// Where the log is written: a real directory, or a disk that a test makes fail or stall.
#[derive(Clone)]
pub struct LogDisk(Arc<Open>);

type Open = dyn Fn(&Path) -> io::Result<Arc<dyn synod_wal::disk::Disk>> + Send + Sync;

impl LogDisk {
    /// The disk that `open` makes of the log's directory.
    pub fn of(
        open: impl Fn(&Path) -> io::Result<Arc<dyn synod_wal::disk::Disk>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(open))
    }

    pub(crate) fn open(&self, path: &Path) -> io::Result<Arc<dyn synod_wal::disk::Disk>> {
        (self.0)(path)
    }
}

impl Default for LogDisk {
    fn default() -> Self {
        Self::of(|path| Ok(Arc::new(synod_wal::disk::Directory::open(path)?)))
    }
}

impl fmt::Debug for LogDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogDisk")
    }
}

/// What the watch needs.
pub(crate) struct Watch<E: Engine> {
    pub(crate) dir: PathBuf,
    pub(crate) free: FreeSpace,
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    pub(crate) inbox: Arc<Inbox<E>>,
    pub(crate) metrics: Arc<Metrics>,
}

impl<E: Engine> Watch<E> {
    /// The state now, judged from what it was.
    pub(crate) fn look(&self, before: Disk) -> Disk {
        let free = match (self.free.0)(&self.dir) {
            Ok(free) => free,
            Err(error) => {
                warn!("the free space of {} is not known: {error}", self.dir.display());
                return before;
            }
        };
        self.metrics.disk_free_bytes.set(i64::try_from(free).unwrap_or(i64::MAX));
        let reserve = self.limits.disk_reserve_bytes;
        let needed =
            if before == Disk::Low { reserve.saturating_add(reserve / 8) } else { reserve };
        if free < needed { Disk::Low } else { Disk::Ample }
    }

    /// The thread; it ends when the other end of `stop` is dropped.
    pub(crate) fn run(self, mut disk: Disk, stop: &Receiver<()>) {
        let pause = Duration::from_millis(self.limits.disk_watch_ms.max(1));
        while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(pause) {
            let now = self.look(disk);
            self.store.sweep(Instant::now(), now == Disk::Low);
            if now == disk {
                continue;
            }
            let reserve = self.limits.disk_reserve_bytes;
            match now {
                Disk::Low => warn!("less than {reserve} bytes are free: proposals are refused"),
                Disk::Ample => info!("the disk has room again: proposals are taken"),
            }
            disk = now;
            self.inbox.put(|arrivals| arrivals.disk = Some(now));
        }
    }
}
