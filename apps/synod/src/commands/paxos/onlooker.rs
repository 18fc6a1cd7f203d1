//! The local user of a node: looks on while it runs, and passes on what it sees to whoever listens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use synod_engine::{Engine, Instant, Token};
use synod_paxos::basic::{Attempt, Event, Paxos, Timer, View};
use synod_runtime::host::Host;
use synod_runtime::solo::{Sight, User};
use tokio::sync::mpsc;

use super::seen::{Seen, What};

/// How much a listener may be behind; beyond it nothing more is told to it.
const BEHIND: usize = 4_096;

/// Who listens to a node, and how the node is.
#[derive(Default)]
pub(super) struct Audience {
    listeners: Mutex<Vec<mpsc::Sender<Seen>>>,
    view: Mutex<Option<View>>,
    tokens: AtomicU64,
}

impl Audience {
    /// Everything from now on.
    pub(super) fn listen(&self) -> mpsc::Receiver<Seen> {
        let (tell, told) = mpsc::channel(BEHIND);
        lock(&self.listeners).push(tell);
        told
    }

    /// A name for a request that no other has.
    pub(super) fn token(&self) -> Token {
        Token(self.tokens.fetch_add(1, Ordering::Relaxed))
    }

    /// How the node is; `None` before it has started.
    pub(super) fn view(&self) -> Option<View> {
        lock(&self.view).clone()
    }

    /// Who has gone, or is too far behind, is told nothing any more.
    fn tell(&self, seen: &Seen) {
        lock(&self.listeners).retain(|listener| listener.try_send(seen.clone()).is_ok());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Microseconds since 1970, for people: nothing is decided by it.
pub(super) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as u64)
}

/// Looks on.
pub(super) struct Onlooker {
    node: u64,
    audience: Arc<Audience>,
    /// What took place since the node last settled.
    fresh: Vec<What>,
    gives_way: bool,
}

impl Onlooker {
    pub(super) fn new(node: u64, audience: Arc<Audience>) -> Self {
        Self { node, audience, fresh: Vec::new(), gives_way: false }
    }

    /// Whether the proposer has begun to wait, and for how long.
    fn look(&mut self, now: Instant, view: &View, host: &Host<Paxos>) {
        let gives_way = view.attempt == Some(Attempt::Delayed);
        let before = std::mem::replace(&mut self.gives_way, gives_way);
        if gives_way
            && !before
            && let Some(end) = host.due(Timer::Retry)
        {
            let for_us = u64::try_from(end.since(now).as_micros()).unwrap_or(u64::MAX);
            self.fresh.push(What::GivesWay { for_us });
        }
    }
}

impl User<Paxos> for Onlooker {
    fn told(&mut self, event: Event) {
        self.fresh.push(match event {
            Event::Chosen { value, own } => {
                What::Chosen { value, own: own.into_iter().map(|token| token.0).collect() }
            }
            Event::Refused { token, refusal } => {
                What::Refused { token: token.0, why: refusal.to_string() }
            }
        });
    }

    fn saw(&mut self, sight: Sight<'_, Paxos>) {
        let what = match sight {
            Sight::Heard { from, message } => {
                What::Heard { from: from.0, message: message.clone() }
            }
            Sight::Said { to, message } => {
                if let Some(What::Said { to: others, message: same }) = self.fresh.last_mut()
                    && same == message
                {
                    return others.push(to.0);
                }
                What::Said { to: vec![to.0], message: message.clone() }
            }
            Sight::Persisted(record) => What::Wrote(record.clone()),
        };
        self.fresh.push(what);
    }

    fn settled(&mut self, now: Instant, host: &Host<Paxos>) {
        let view = host.engine().view();
        self.look(now, &view, host);
        *lock(&self.audience.view) = Some(view);
        let at_us = now_us();
        for what in self.fresh.drain(..) {
            self.audience.tell(&Seen { at_us, node: self.node, what });
        }
    }
}
