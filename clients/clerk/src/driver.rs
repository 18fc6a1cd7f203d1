//! The one task of a clerk: it owns the connection and moves bytes, time and servers.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use synod_kv::wire::{FromServer, Said};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::call::Call;
use crate::connection::{Connection, OpenError};
use crate::desk::{Desk, Next};
use crate::error::Trouble;
use crate::options::Options;
use crate::route::Route;
use crate::watching::{NewWatch, Watching};

/// How long nothing is sent to a server that has too much to do.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// How long a clerk that nobody holds any more may take to end its session.
const FAREWELL: Duration = Duration::from_secs(1);
/// Calls taken in at a time, so that answers are read between.
const BATCH: usize = 1_024;
/// How long a call that nobody waits for may hold its number.
const ABANDONED: Duration = Duration::from_millis(500);
/// Nothing is due before this; then the driver looks again.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// What reaches the driver from the clones of the clerk.
#[derive(Debug)]
pub(crate) enum Ask {
    Call(Call),
    /// End the session once all calls have ended, and tell.
    Close {
        deadline: Instant,
        done: oneshot::Sender<()>,
    },
    /// Tell this watcher what happens.
    Watch(NewWatch),
    /// A watcher that was too slow has taken all that it was told.
    Resume(u64),
    /// A watcher is gone.
    Unwatch(u64),
}

/// Which servers a driver talks to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whom {
    /// The leader, once it is known.
    Leader,
    /// Any, and the same as long as it answers.
    Anyone,
}

pub(crate) struct Driver {
    options: Arc<Options>,
    asks: mpsc::UnboundedReceiver<Ask>,
    desk: Desk,
    watching: Watching,
    whom: Whom,
    /// The newest revision that the clerk has been told of.
    seen: Arc<AtomicU64>,
    route: Route,
    link: Link,
    /// Attempts in a row that reached no server.
    unreached: usize,
    /// Nothing is sent before this.
    paused_until: Instant,
    /// When to look at deadlines again; never later than the next of them.
    wake: Instant,
    closing: Option<Closing>,
}

struct Closing {
    deadline: Instant,
    done: Option<oneshot::Sender<()>>,
}

enum Link {
    Down { until: Instant },
    Opening(Opening),
    Up(Box<Connection>),
}

type Opening = Pin<Box<dyn Future<Output = (String, Result<Connection, OpenError>)> + Send>>;

enum Event {
    Opened(Box<Connection>),
    OpenFailed(String),
    Progress(io::Result<()>),
}

impl Driver {
    pub(crate) fn new(
        options: Arc<Options>,
        asks: mpsc::UnboundedReceiver<Ask>,
        seen: Arc<AtomicU64>,
        whom: Whom,
        route: Route,
    ) -> Self {
        let now = Instant::now();
        Self {
            desk: Desk::new(options.lease_ms),
            options,
            asks,
            watching: Watching::default(),
            whom,
            seen,
            route,
            link: Link::Down { until: now },
            unreached: 0,
            paused_until: now,
            wake: now,
            closing: None,
        }
    }

    /// The same, with a connection to begin with.
    pub(crate) fn connected(mut self, connection: Connection) -> Self {
        self.opened(Box::new(connection));
        self
    }

    /// Until the clerk is closed, or all its clones are gone.
    pub(crate) async fn run(mut self) {
        let mut alarm = pin!(sleep_until(self.wake));
        let mut arrived = Vec::new();
        while self.turn(Instant::now()) {
            if alarm.deadline() != self.wake {
                alarm.as_mut().reset(self.wake);
            }
            tokio::select! {
                event = self.link.event() => self.on_event(event),
                count = self.asks.recv_many(&mut arrived, BATCH), if self.closing.is_none() => {
                    if count == 0 {
                        self.close(Instant::now() + FAREWELL, None);
                    }
                    arrived.drain(..).for_each(|ask| self.on_ask(ask));
                }
                () = &mut alarm => self.look_at_deadlines(Instant::now()),
            }
        }
        self.watching.end();
        self.desk.end(self.link.connection());
        if let Some(done) = self.closing.and_then(|closing| closing.done) {
            done.send(()).ok();
        }
    }

    /// Does all that can be done without waiting. False when there is nothing left to do, ever.
    fn turn(&mut self, now: Instant) -> bool {
        if let Link::Down { until } = self.link {
            if until <= now {
                self.link = self.open_next();
            } else {
                self.wake_by(until);
            }
        }
        if self.paused_until > now {
            self.wake_by(self.paused_until);
        } else if self.send(now).is_err() {
            self.lost();
        }
        let Some(closing) = &self.closing else { return true };
        let deadline = closing.deadline;
        self.wake_by(deadline);
        !self.desk.is_done() && deadline > now
    }

    fn send(&mut self, now: Instant) -> io::Result<()> {
        let Link::Up(connection) = &mut self.link else { return Ok(()) };
        let was_waiting = self.desk.is_waiting();
        self.desk.send(connection, now);
        self.watching.send(connection, &self.seen);
        let mut wake = self.desk.keep_alive(connection, now).unwrap_or(self.wake);
        if self.closing.is_some() {
            self.desk.close(connection);
        }
        if !self.watching.is_empty() && !self.desk.is_waiting() {
            // A server that has nothing to tell is as silent as one that is gone.
            let ping_at = connection.heard + self.options.stall_timeout() / 2;
            if ping_at <= now {
                self.desk.ping(connection);
            } else {
                wake = wake.min(ping_at);
            }
        }
        if !was_waiting && self.desk.is_waiting() {
            connection.heard = now;
            wake = wake.min(now + self.options.stall_timeout().min(ABANDONED));
        }
        let flushed = connection.flush();
        self.wake_by(wake);
        flushed
    }

    /// Ends calls whose time is up, gives up a server that owes an answer and has been silent for too
    /// long, and finds out when to look again.
    fn look_at_deadlines(&mut self, now: Instant) {
        self.wake = now + LONGEST_SLEEP;
        if let Some(deadline) = self.desk.expire(now) {
            self.wake_by(deadline);
        }
        if let Link::Up(connection) = &self.link
            && self.desk.is_waiting()
        {
            let until = connection.heard + self.options.stall_timeout();
            if until > now {
                self.wake_by(until.min(now + ABANDONED));
            } else {
                self.lost();
            }
        }
    }

    fn open_next(&mut self) -> Link {
        let (address, options) = (self.route.next(), self.options.clone());
        Link::Opening(Box::pin(async move {
            let result = Connection::open(address.clone(), &options).await;
            (address, result)
        }))
    }

    fn on_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Call(call) => {
                self.wake_by(call.deadline);
                self.desk.accept(call);
            }
            Ask::Close { deadline, done } => self.close(deadline, Some(done)),
            Ask::Watch(watch) => self.watching.accept(watch),
            Ask::Resume(id) => self.watching.resume(id),
            Ask::Unwatch(id) => self.watching.forget(id, self.link.connection_mut()),
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Opened(connection) => self.opened(connection),
            Event::OpenFailed(what) => {
                self.unreached += 1;
                if self.unreached >= self.route.len() {
                    self.desk.trouble = Trouble::Unreachable(what);
                }
                self.lost();
            }
            Event::Progress(Ok(())) => match self.on_input() {
                Ok(Next::GoOn) => {}
                Ok(Next::Pause) => self.paused_until = Instant::now() + BUSY_PAUSE,
                Ok(Next::Leave(leader)) => {
                    let pause = self.route.redirected(leader);
                    self.down(pause);
                }
                Err(_) => self.lost(),
            },
            Event::Progress(Err(_)) => self.lost(),
        }
    }

    /// Takes in all messages that have come; tells what the gravest of them means.
    fn on_input(&mut self) -> Result<Next, OpenError> {
        let Link::Up(connection) = &mut self.link else { return Ok(Next::GoOn) };
        let mut next = Next::GoOn;
        let now = connection.heard;
        while let Some(message) = connection.read()? {
            let reply = match message {
                FromServer::Reply(reply) => reply,
                FromServer::Told(id, said) => {
                    if let Said::Events { through, .. } = &said {
                        self.seen.fetch_max(*through, Ordering::Relaxed);
                    }
                    self.watching.on_told(id, said, connection);
                    continue;
                }
                FromServer::Progress(through) => {
                    self.watching.on_progress(through);
                    continue;
                }
                FromServer::Members(addresses) => {
                    self.route.servers().learn(addresses);
                    continue;
                }
                FromServer::Goodbye(goodbye) => return Err(OpenError::Goodbye(goodbye)),
                FromServer::Welcome(_) => return Err(OpenError::NoWelcome),
            };
            if let Some(revision) = reply.outcome.revision() {
                self.seen.fetch_max(revision, Ordering::Relaxed);
            }
            match (self.desk.on_reply(reply, now), &next) {
                (Next::GoOn, _) => self.route.succeeded(),
                (Next::Pause, Next::GoOn) => next = Next::Pause,
                (leave @ Next::Leave(Some(_)), _) => next = leave,
                (leave @ Next::Leave(None), Next::GoOn | Next::Pause) => next = leave,
                (Next::Pause | Next::Leave(None), _) => {}
            }
        }
        Ok(next)
    }

    fn opened(&mut self, connection: Box<Connection>) {
        self.unreached = 0;
        if matches!(self.desk.trouble, Trouble::Unreachable(_)) {
            self.desk.trouble = Trouble::Silence;
        }
        let welcome = &connection.welcome;
        let elsewhere = welcome.leader.as_ref().filter(|leader| leader.node != welcome.node);
        let elsewhere = elsewhere.and_then(|leader| leader.address.clone());
        let is_new = elsewhere.as_ref().is_some_and(|address| *address != connection.address);
        if self.whom == Whom::Leader && is_new && self.route.may_follow() {
            let pause = self.route.redirected(elsewhere);
            self.link = Link::Down { until: Instant::now() + pause };
        } else {
            self.link = Link::Up(connection);
        }
    }

    /// The connection broke, or the server parted or spoke nonsense.
    fn lost(&mut self) {
        let pause = self.route.failed();
        self.down(pause);
    }

    fn down(&mut self, pause: Duration) {
        let link = Link::Down { until: Instant::now() + pause };
        if let Link::Up(connection) = std::mem::replace(&mut self.link, link) {
            self.desk.on_lost(&connection);
            self.watching.on_lost();
        }
    }

    fn close(&mut self, deadline: Instant, done: Option<oneshot::Sender<()>>) {
        self.asks.close();
        while let Ok(ask) = self.asks.try_recv() {
            if let Ask::Call(call) = ask {
                self.desk.accept(call);
            }
        }
        self.closing = Some(Closing { deadline, done });
    }

    fn wake_by(&mut self, at: Instant) {
        self.wake = self.wake.min(at);
    }
}

impl Link {
    fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Up(connection) => Some(connection),
            Self::Down { .. } | Self::Opening(_) => None,
        }
    }

    fn connection_mut(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Up(connection) => Some(connection),
            Self::Down { .. } | Self::Opening(_) => None,
        }
    }

    /// Waits for what happens next. Safe to cancel.
    async fn event(&mut self) -> Event {
        match self {
            Self::Down { .. } => std::future::pending().await,
            Self::Opening(opening) => match opening.await {
                (_, Ok(connection)) => Event::Opened(Box::new(connection)),
                (address, Err(error)) => Event::OpenFailed(format!("{address}: {error}")),
            },
            Self::Up(connection) => Event::Progress(connection.progress().await),
        }
    }
}
