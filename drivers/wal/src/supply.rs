//! Segments ahead of need.
//!
//! There is always one segment ready behind the one that is written, so that a roll costs nothing and
//! a full disk is noticed while there is still a whole segment to write to. They are made on a thread
//! of their own, or at once where a test wants the order of things fixed.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use crate::segment::{Pool, Segment, Shared};

/// Where segments are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preparation {
    /// On a thread of its own, while the log is written.
    Background,
    /// At once, on the thread that syncs: everything happens in a fixed order.
    Inline,
}

/// The segments to be written next, and who makes more.
pub(crate) struct Supply {
    ready: VecDeque<Segment>,
    /// The sequence number of the next segment to be made.
    next: u64,
    maker: Maker,
    shared: Arc<Shared>,
    /// What was missing at the last attempt, until one succeeds.
    failure: Option<String>,
}

enum Maker {
    Inline(Pool),
    Background {
        /// `None` once the log is closed.
        orders: Option<Sender<Order>>,
        made: Receiver<io::Result<Segment>>,
        /// Whether one is being made.
        pending: bool,
        thread: Option<JoinHandle<()>>,
    },
}

enum Order {
    Prepare(u64),
    Retire { sequence: u64, size_bytes: u64 },
}

impl Supply {
    /// With these segments ready, the last of them before sequence number `next`.
    pub(crate) fn new(
        pool: Pool,
        ready: VecDeque<Segment>,
        next: u64,
        preparation: Preparation,
    ) -> io::Result<Self> {
        let shared = Arc::clone(&pool.shared);
        let maker = match preparation {
            Preparation::Inline => Maker::Inline(pool),
            Preparation::Background => {
                let (orders, orders_in) = channel();
                let (made_out, made) = channel();
                let thread = thread::Builder::new()
                    .name("wal-segments".to_owned())
                    .spawn(move || make(pool, &orders_in, &made_out))?;
                Maker::Background {
                    orders: Some(orders),
                    made,
                    pending: false,
                    thread: Some(thread),
                }
            }
        };
        Ok(Self { ready, next, maker, shared, failure: None })
    }

    /// Sees to it that a segment is ready or being made. Fails only where the disk is worse than full.
    pub(crate) fn replenish(&mut self) -> io::Result<()> {
        if let Maker::Background { made, pending, .. } = &mut self.maker
            && let Ok(result) = made.try_recv()
        {
            *pending = false;
            self.made(result)?;
        }
        if self.ready.is_empty() { self.order() } else { Ok(()) }
    }

    /// The next segment, waiting for it to be made if it must.
    pub(crate) fn take(&mut self) -> io::Result<Segment> {
        if self.ready.is_empty() {
            self.order()?;
            if let Maker::Background { made, pending, .. } = &mut self.maker {
                let result = made.recv().unwrap_or_else(|_| {
                    Err(io::Error::other("the thread that makes segments is gone"))
                });
                *pending = false;
                self.made(result)?;
            }
        }
        match self.ready.pop_front() {
            Some(segment) => Ok(segment),
            None => {
                let why = self.failure.clone().unwrap_or_default();
                Err(io::Error::new(io::ErrorKind::StorageFull, why))
            }
        }
    }

    /// Takes back a segment that is no longer needed.
    pub(crate) fn retire(&mut self, sequence: u64, size_bytes: u64) -> io::Result<()> {
        match &mut self.maker {
            Maker::Inline(pool) => pool.retire(sequence, size_bytes),
            Maker::Background { orders, .. } => {
                send(orders.as_ref(), Order::Retire { sequence, size_bytes })
            }
        }
    }

    /// Bytes of the segments that are ready.
    pub(crate) fn ready_bytes(&self) -> u64 {
        self.ready.iter().map(|segment| segment.size_bytes).sum()
    }

    /// Whether the next segment could not be made for want of space.
    pub(crate) fn is_short(&self) -> bool {
        self.ready.is_empty() && self.failure.is_some()
    }

    /// Bytes of all files of the log.
    pub(crate) fn allocated_bytes(&self) -> u64 {
        self.shared.allocated_bytes.load(Ordering::Relaxed)
    }

    fn order(&mut self) -> io::Result<()> {
        match &mut self.maker {
            Maker::Inline(pool) => {
                let result = pool.prepare(self.next);
                self.made(result)
            }
            Maker::Background { pending: true, .. } => Ok(()),
            Maker::Background { orders, pending, .. } => {
                send(orders.as_ref(), Order::Prepare(self.next))?;
                *pending = true;
                Ok(())
            }
        }
    }

    fn made(&mut self, result: io::Result<Segment>) -> io::Result<()> {
        match result {
            Ok(segment) => {
                self.next = segment.sequence + 1;
                self.ready.push_back(segment);
                self.failure = None;
                Ok(())
            }
            Err(error) if is_full(&error) => {
                self.failure = Some(error.to_string());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        if let Maker::Background { orders, thread, .. } = &mut self.maker {
            *orders = None;
            if let Some(thread) = thread.take() {
                // A panic there was reported when it happened.
                drop(thread.join());
            }
        }
    }
}

/// Whether space is what is missing.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn send(orders: Option<&Sender<Order>>, order: Order) -> io::Result<()> {
    orders
        .and_then(|orders| orders.send(order).ok())
        .ok_or_else(|| io::Error::other("the thread that makes segments is gone"))
}

fn make(mut pool: Pool, orders: &Receiver<Order>, made: &Sender<io::Result<Segment>>) {
    for order in orders {
        let result = match order {
            Order::Prepare(sequence) => pool.prepare(sequence),
            Order::Retire { sequence, size_bytes } => match pool.retire(sequence, size_bytes) {
                Ok(()) => continue,
                Err(error) => Err(error),
            },
        };
        if made.send(result).is_err() {
            return;
        }
    }
}
