//! The calls of a clerk: which wait, which are under way, and what each reply means for them.
//!
//! No I/O beyond appending to a connection's output; the [driver](crate::driver) does the rest.

use std::collections::VecDeque;
use std::time::Duration;

use synod_consensus::Refusal;
use synod_kv::message::{Command, Rejected, Response, SessionId};
use synod_kv::wire::{self, Outcome, Reply};
use tokio::time::Instant;

use crate::call::{Call, Work};
use crate::connection::Connection;
use crate::error::{Reason, Trouble, is_final};
use crate::session::Session;
use crate::table::{Sent, Table};

/// Bytes of a command besides its keys and values, at most.
const COMMAND_OVERHEAD_BYTES: u64 = 64;

/// All calls of a clerk, and its session.
#[derive(Debug)]
pub(crate) struct Desk {
    lease_ms: u64,
    /// Waiting to be sent: those with a number first, in the order of their numbers.
    writes: VecDeque<Call>,
    reads: VecDeque<Call>,
    under_way: Table<UnderWay>,
    session: SessionState,
    /// What to tell calls whose time is up.
    pub(crate) trouble: Trouble,
}

#[derive(Debug)]
enum UnderWay {
    Call(Call),
    Open,
    KeepAlive(SessionId),
    Close,
    /// Whether the server is still there, and has a leader.
    Ping,
}

#[derive(Debug)]
enum SessionState {
    Absent,
    Opening,
    Open(Session),
    Closing,
}

/// What a reply means for the connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Go on.
    GoOn,
    /// Send nothing for a moment.
    Pause,
    /// Ask another server: this one, if it is known.
    Leave(Option<String>),
}

impl Desk {
    pub(crate) fn new(lease_ms: u64) -> Self {
        Self {
            lease_ms,
            writes: VecDeque::new(),
            reads: VecDeque::new(),
            under_way: Table::new(),
            session: SessionState::Absent,
            trouble: Trouble::default(),
        }
    }

    /// Calls that wait or are under way.
    pub(crate) fn len(&self) -> usize {
        self.writes.len() + self.reads.len() + self.under_way.len()
    }

    /// Whether the server owes an answer.
    pub(crate) fn is_waiting(&self) -> bool {
        self.under_way.len() > 0
    }

    /// Takes in a new call.
    pub(crate) fn accept(&mut self, call: Call) {
        match call.work {
            Work::Write { .. } => self.writes.push_back(call),
            Work::Read { .. } | Work::Status { .. } => self.reads.push_back(call),
        }
    }

    /// Writes what waits to `connection`, as far as there is room.
    pub(crate) fn send(&mut self, connection: &mut Connection, now: Instant) {
        while connection.has_room() {
            let sent_read = self.send_read(connection);
            let sent_write = self.send_write(connection, now);
            if !sent_read && !sent_write {
                break;
            }
        }
    }

    /// Sends the first read; false if there is none.
    fn send_read(&mut self, connection: &mut Connection) -> bool {
        let Some(call) = self.reads.pop_front() else { return false };
        if call.is_abandoned() {
            return true;
        }
        self.send_call(connection, call, |id, call, out| match &call.work {
            Work::Read { query, stale: None, .. } => wire::write_query(id, query, out),
            Work::Read { query, stale: Some(at_least), .. } => {
                wire::write_stale(id, query, *at_least, out);
            }
            Work::Status { .. } => wire::write_status(id, out),
            Work::Write { .. } => unreachable!("writes wait in their own queue"),
        });
        true
    }

    /// Sends the first write, or opens the session that it needs; false if it must wait.
    fn send_write(&mut self, connection: &mut Connection, now: Instant) -> bool {
        let Some(first) = self.writes.front() else { return false };
        let session = match &mut self.session {
            SessionState::Open(session) => session,
            SessionState::Absent => {
                self.session = SessionState::Opening;
                let open = Command::Open { lease_ms: self.lease_ms };
                self.send_command(connection, UnderWay::Open, &open);
                return false;
            }
            SessionState::Opening | SessionState::Closing => return false,
        };
        let is_new = first.number.is_none();
        if is_new && !session.numbers().has_room() {
            return false;
        }
        session.heard = now;
        let Some(mut call) = self.writes.pop_front() else { return false };
        let Work::Write { op, .. } = &call.work else { return true };
        let max_bytes = connection.limits().max_request_bytes;
        if call.is_abandoned() {
            self.settle(&call);
        } else if op.size_bytes() as u64 + COMMAND_OVERHEAD_BYTES > max_bytes {
            self.settle(&call);
            call.fail(Reason::Refused(Refusal::TooLarge { max_bytes }));
        } else {
            if is_new {
                call.number = session.numbers().next().map(|number| (session.id, number));
            }
            let Some((session_id, number)) = call.number else { return false };
            let answered_below = session.numbers().answered_below();
            let op = op.clone();
            let command = Command::Write { session: session_id, number, answered_below, op };
            self.send_call(connection, call, |id, _, out| wire::write_command(id, &command, out));
        }
        true
    }

    fn send_call(
        &mut self,
        connection: &mut Connection,
        call: Call,
        write: impl FnOnce(u64, &Call, &mut Vec<u8>),
    ) {
        let id = self.under_way.next_id();
        let ends_at = connection.write(|out| write(id, &call, out));
        self.under_way.insert(UnderWay::Call(call), ends_at);
    }

    fn send_command(&mut self, connection: &mut Connection, what: UnderWay, command: &Command) {
        let id = self.under_way.next_id();
        let ends_at = connection.write(|out| wire::write_command(id, command, out));
        self.under_way.insert(what, ends_at);
    }

    /// Keeps the session alive if it is time; tells when it will be time again.
    pub(crate) fn keep_alive(
        &mut self,
        connection: &mut Connection,
        now: Instant,
    ) -> Option<Instant> {
        let SessionState::Open(session) = &mut self.session else { return None };
        if session.keep_alive_at() <= now {
            session.heard = now;
            let (session, answered_below) = (session.id, session.numbers().answered_below());
            let command = Command::KeepAlive { session, answered_below };
            self.send_command(connection, UnderWay::KeepAlive(session), &command);
        }
        match &self.session {
            SessionState::Open(session) => Some(session.keep_alive_at()),
            _ => None,
        }
    }

    /// Asks the server for a sign of life.
    pub(crate) fn ping(&mut self, connection: &mut Connection) {
        let id = self.under_way.next_id();
        let ends_at = connection.write(|out| wire::write_status(id, out));
        self.under_way.insert(UnderWay::Ping, ends_at);
    }

    /// Ends the session once no call is left.
    pub(crate) fn close(&mut self, connection: &mut Connection) {
        if self.len() == 0
            && let SessionState::Open(session) = &self.session
        {
            let command = Command::Close { session: session.id };
            self.session = SessionState::Closing;
            self.send_command(connection, UnderWay::Close, &command);
        }
    }

    /// Whether neither a call nor a session is left.
    pub(crate) fn is_done(&self) -> bool {
        self.len() == 0 && matches!(self.session, SessionState::Absent)
    }

    /// Takes in the answer to one request.
    pub(crate) fn on_reply(&mut self, reply: Reply, now: Instant) -> Next {
        let Some(Sent { what, .. }) = self.under_way.take(reply.id) else { return Next::GoOn };
        match (what, reply.outcome) {
            (UnderWay::Call(call), outcome) => self.on_answer(call, outcome),
            (UnderWay::Open, Outcome::Written(Response::Opened { session, lease_ms })) => {
                let session = Session::new(session, Duration::from_millis(lease_ms), now);
                self.session = SessionState::Open(session);
                Next::GoOn
            }
            (UnderWay::Open, outcome) => {
                self.session = SessionState::Absent;
                self.on_no_session(outcome)
            }
            (UnderWay::KeepAlive(id), Outcome::Written(Response::Rejected(_))) => {
                self.lose_session(id);
                Next::GoOn
            }
            (UnderWay::KeepAlive(_), outcome) => self.on_refused(&outcome),
            (UnderWay::Close, _) => {
                self.session = SessionState::Absent;
                Next::GoOn
            }
            // A server without a leader may be cut off, and what it knows may grow old.
            (UnderWay::Ping, Outcome::Status(report)) if report.log.leader.is_none() => {
                Next::Leave(None)
            }
            (UnderWay::Ping, _) => Next::GoOn,
        }
    }

    /// No session could be opened. Where no server would open one, the writes that need it end.
    fn on_no_session(&mut self, outcome: Outcome) -> Next {
        let next = self.on_refused(&outcome);
        let reason = match outcome {
            Outcome::Written(Response::Rejected(Rejected::TooManySessions { max_sessions })) => {
                self.trouble = Trouble::TooManySessions { max_sessions };
                return Next::Pause;
            }
            Outcome::Refused { refusal, .. } if is_final(refusal) => Reason::Refused(refusal),
            Outcome::Refused { .. } | Outcome::Unknown => return next,
            Outcome::Written(Response::Rejected(rejected)) => Reason::Rejected(rejected),
            Outcome::BadRequest(what) => Reason::BadRequest(what),
            Outcome::Written(_)
            | Outcome::Read(_)
            | Outcome::Status(_)
            | Outcome::Operated
            | Outcome::Behind { .. } => Reason::BadRequest("it answers another question".into()),
        };
        for call in self.writes.drain(..) {
            call.fail(reason.clone());
        }
        next
    }

    fn on_answer(&mut self, mut call: Call, outcome: Outcome) -> Next {
        match (call.work, outcome) {
            (Work::Read { result, .. }, Outcome::Read(answer)) => {
                result.send(Ok(answer)).ok();
                self.succeed()
            }
            (Work::Status { result }, Outcome::Status(report)) => {
                result.send(Ok(report)).ok();
                Next::GoOn
            }
            (Work::Write { result, .. }, Outcome::Written(Response::Written(written))) => {
                self.settle_number(call.number);
                result.send(Ok(written)).ok();
                self.succeed()
            }
            (work @ Work::Write { .. }, Outcome::Written(Response::Rejected(rejected))) => {
                call.work = work;
                self.on_rejected(call, rejected)
            }
            (work, outcome) => {
                call.work = work;
                match &outcome {
                    Outcome::Refused { refusal, .. } if is_final(*refusal) => {
                        self.settle(&call);
                        call.fail(Reason::Refused(*refusal));
                    }
                    Outcome::Refused { .. } | Outcome::Behind { .. } => self.requeue(call),
                    Outcome::Unknown => {
                        call.in_doubt |= matches!(call.work, Work::Write { .. });
                        self.requeue(call);
                    }
                    Outcome::BadRequest(what) => {
                        self.settle(&call);
                        call.fail(Reason::BadRequest(what.clone()));
                    }
                    Outcome::Written(_)
                    | Outcome::Read(_)
                    | Outcome::Status(_)
                    | Outcome::Operated => {
                        self.settle(&call);
                        call.in_doubt |= matches!(call.work, Work::Write { .. });
                        call.fail(Reason::BadRequest("it answers another question".into()));
                    }
                }
                self.on_refused(&outcome)
            }
        }
    }

    fn on_rejected(&mut self, call: Call, rejected: Rejected) -> Next {
        match rejected {
            Rejected::NoSession => {
                if let Some((session, _)) = call.number {
                    self.lose_session(session);
                }
                self.requeue(call);
                Next::GoOn
            }
            Rejected::WindowFull { .. } => {
                self.requeue(call);
                Next::Pause
            }
            // The store keeps this as the answer to the number: every copy ends so.
            Rejected::KeySize { .. }
            | Rejected::ValueSize { .. }
            | Rejected::TxnSize { .. }
            | Rejected::SetTwice
            | Rejected::ChangeSize { .. }
            | Rejected::AnswerSize { .. } => {
                self.settle(&call);
                call.fail_for_certain(Reason::Rejected(rejected));
                Next::GoOn
            }
            Rejected::AlreadyAnswered | Rejected::TooManySessions { .. } | Rejected::Malformed => {
                self.settle(&call);
                call.fail(Reason::Rejected(rejected));
                Next::GoOn
            }
        }
    }

    /// What a reply without a result means for the connection.
    fn on_refused(&mut self, outcome: &Outcome) -> Next {
        match outcome {
            Outcome::Refused { refusal: Refusal::NotLeader { .. }, leader } => {
                let address = leader.as_ref().and_then(|leader| leader.address.clone());
                if address.is_none() {
                    self.trouble = Trouble::NoLeader;
                }
                Next::Leave(address)
            }
            Outcome::Refused { refusal, .. } if !is_final(*refusal) => {
                self.trouble = Trouble::Busy;
                Next::Pause
            }
            Outcome::Unknown => Next::Pause,
            // Another server may have come further.
            Outcome::Behind { .. } => Next::Leave(None),
            Outcome::Refused { .. }
            | Outcome::BadRequest(_)
            | Outcome::Written(_)
            | Outcome::Read(_)
            | Outcome::Status(_)
            | Outcome::Operated => Next::GoOn,
        }
    }

    fn succeed(&mut self) -> Next {
        if self.trouble != Trouble::Silence {
            self.trouble = Trouble::Silence;
        }
        Next::GoOn
    }

    /// The connection is gone: what it carried waits again.
    pub(crate) fn on_lost(&mut self, connection: &Connection) {
        for Sent { what, ends_at } in self.under_way.drain(|_| true) {
            match what {
                UnderWay::Call(mut call) => {
                    let is_write = matches!(call.work, Work::Write { .. });
                    call.in_doubt |= is_write && connection.has_sent(ends_at);
                    self.requeue(call);
                }
                UnderWay::Open | UnderWay::Close => self.session = SessionState::Absent,
                UnderWay::KeepAlive(_) | UnderWay::Ping => {}
            }
        }
    }

    /// Ends the calls whose time is up and drops those that nobody waits for; tells the next deadline.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Instant> {
        let is_over = |call: &Call| call.deadline <= now || call.is_abandoned();
        let mut over = Vec::new();
        for queue in [&mut self.writes, &mut self.reads] {
            if queue.iter().any(is_over) {
                let (gone, kept) = queue.drain(..).partition(is_over);
                *queue = kept;
                over.extend::<VecDeque<_>>(gone);
            }
        }
        let is_call_over = |what: &UnderWay| matches!(what, UnderWay::Call(call) if is_over(call));
        for Sent { what, .. } in self.under_way.drain(is_call_over) {
            if let UnderWay::Call(mut call) = what {
                // What the kernel has not taken yet may still be sent: the connection lives on.
                call.in_doubt = true;
                over.push(call);
            }
        }
        for call in over {
            self.settle(&call);
            call.fail(Reason::Deadline(self.trouble.clone()));
        }
        let under_way = self.under_way.iter().filter_map(|what| match what {
            UnderWay::Call(call) => Some(call),
            UnderWay::Open | UnderWay::KeepAlive(_) | UnderWay::Close | UnderWay::Ping => None,
        });
        let waiting = self.writes.iter().chain(&self.reads);
        waiting.chain(under_way).map(|call| call.deadline).min()
    }

    /// Ends all calls: the clerk is closed.
    pub(crate) fn end(mut self, connection: Option<&Connection>) {
        if let Some(connection) = connection {
            self.on_lost(connection);
        }
        for call in self.writes.into_iter().chain(self.reads) {
            call.fail(Reason::Closed);
        }
    }

    /// Puts a call back among those that wait. A number of a session that is over is worth nothing:
    /// without a copy in doubt the call gets a new one, otherwise nobody will ever know.
    fn requeue(&mut self, mut call: Call) {
        let is_open = |id| matches!(&self.session, SessionState::Open(open) if open.id == id);
        if call.number.is_some_and(|(session, _)| !is_open(session)) {
            call.number = None;
            if call.in_doubt {
                return call.fail(Reason::SessionLost);
            }
        }
        match call.work {
            Work::Write { .. } => {
                let place = self.writes.partition_point(|other| other.order() < call.order());
                self.writes.insert(place, call);
            }
            Work::Read { .. } | Work::Status { .. } => self.reads.push_back(call),
        }
    }

    fn settle(&mut self, call: &Call) {
        self.settle_number(call.number);
    }

    fn settle_number(&mut self, number: Option<(SessionId, u64)>) {
        if let SessionState::Open(session) = &mut self.session
            && let Some((id, number)) = number
            && id == session.id
        {
            session.numbers().settle(number);
        }
    }

    fn lose_session(&mut self, id: SessionId) {
        if matches!(&self.session, SessionState::Open(session) if session.id == id) {
            self.session = SessionState::Absent;
            for call in std::mem::take(&mut self.writes) {
                self.requeue(call);
            }
        }
    }
}

#[cfg(test)]
mod tests;
