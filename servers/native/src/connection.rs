//! One client's connection: requests in, answers out, and the bounds on both.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use synod_kv::limits::{MAX_COMMAND_BYTES, MAX_KEY_BYTES};
use synod_kv::wire::{
    self, Ask, FromClient, Garbled, Goodbye, Hello, Limits, OLDEST_PROTOCOL, Outcome, PROTOCOL,
    Request, TELLS_MEMBERS, Welcome,
};
use synod_runtime::{Call, Operation};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::outbox::{Outbox, Overflowed, ReplyTo};
use crate::server::Shared;
use crate::watched::Watched;
use crate::watches::Watches;

/// Longest request: the longest command that the store takes.
const MAX_REQUEST_BYTES: usize = MAX_COMMAND_BYTES;
const READ_BYTES: usize = 64 << 10;
/// How long a client that is told goodbye has to hear it.
const FAREWELL: Duration = Duration::from_millis(200);

/// Why a connection ends.
enum End {
    /// The client left, or the network did.
    Gone,
    /// The server parts, and says why.
    Part(Goodbye),
    /// The client does not read what it is sent.
    Stalled,
}

/// Serves one client until either side leaves.
pub(crate) async fn run(shared: &Arc<Shared>, mut stream: TcpStream) {
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let hello = Duration::from_millis(shared.limits.hello_timeout_ms);
    let end = match timeout(hello, welcome(shared, &mut stream, &mut input)).await {
        Ok(Ok(protocol)) => converse(shared, &mut stream, input, protocol).await,
        Ok(Err(end)) => end,
        Err(_) => End::Part(Goodbye::Malformed("no hello came in time".into())),
    };
    match end {
        End::Gone => {}
        End::Stalled => {
            shared.metrics.stalled.inc();
        }
        End::Part(goodbye) => {
            if matches!(goodbye, Goodbye::Malformed(_)) {
                shared.metrics.garbled.inc();
                tracing::debug!(%goodbye, "closing a client's connection");
            }
            timeout(FAREWELL, part(&mut stream, &goodbye)).await.ok();
        }
    }
}

/// Tells a client that is not let in, as far as that goes without waiting.
pub(crate) fn turn_away(stream: &TcpStream, goodbye: &Goodbye) {
    let mut output = Vec::new();
    goodbye.write(&mut output);
    stream.try_write(&output).ok();
}

/// Says goodbye, and reads on until the client has left: closing before that might take the goodbye
/// back.
async fn part(stream: &mut TcpStream, goodbye: &Goodbye) {
    let mut output = Vec::new();
    goodbye.write(&mut output);
    if stream.write_all(&output).await.is_ok() && stream.shutdown().await.is_ok() {
        let mut rest = [0; 4096];
        while matches!(stream.read(&mut rest).await, Ok(1..)) {}
    }
}

/// Welcomes a client; the version that it speaks.
async fn welcome(
    shared: &Shared,
    stream: &mut TcpStream,
    input: &mut BytesMut,
) -> Result<u16, End> {
    stream.set_nodelay(true)?;
    let Hello { protocol, cluster } = loop {
        match FromClient::read(input, MAX_REQUEST_BYTES)? {
            Some(FromClient::Hello(hello)) => break hello,
            Some(FromClient::Request(_)) => {
                let what = "a request came before the hello".into();
                return Err(End::Part(Goodbye::Malformed(what)));
            }
            None if stream.read_buf(input).await? == 0 => return Err(End::Gone),
            None => {}
        }
    };
    if !(OLDEST_PROTOCOL..=PROTOCOL).contains(&protocol) {
        return Err(End::Part(Goodbye::Protocol { speaks: PROTOCOL }));
    }
    if cluster.is_some_and(|cluster| cluster != shared.cluster) {
        return Err(End::Part(Goodbye::OtherCluster { cluster: shared.cluster }));
    }
    let limits = Limits {
        max_request_bytes: MAX_REQUEST_BYTES as u64,
        max_in_flight: shared.limits.max_in_flight,
    };
    let (cluster, node, leader) = (shared.cluster, shared.node, shared.leader());
    let mut output = Vec::new();
    Welcome { protocol, cluster, node, leader, limits }.write(&mut output);
    stream.write_all(&output).await?;
    Ok(protocol)
}

/// What a client is told of the members.
struct Members {
    known: watch::Receiver<Arc<[String]>>,
    is_news: bool,
    is_told: bool,
}

impl Members {
    fn of(shared: &Shared, protocol: u16) -> Self {
        let is_told = protocol >= TELLS_MEMBERS;
        Self { known: shared.members(), is_news: is_told, is_told }
    }

    fn tell(&mut self, output: &mut Vec<u8>) {
        if std::mem::take(&mut self.is_news) {
            wire::write_members(&self.known.borrow_and_update(), output);
        }
    }

    /// Waits until there is something to tell. Safe to cancel.
    async fn news(&mut self) {
        // Without a sender there is no server, and nobody to tell.
        self.is_news |= self.known.changed().await.is_ok();
    }
}

async fn converse(
    shared: &Shared,
    stream: &mut TcpStream,
    mut input: BytesMut,
    protocol: u16,
) -> End {
    match try_converse(shared, stream, &mut input, protocol).await {
        Ok(end) | Err(end) => end,
    }
}

async fn try_converse(
    shared: &Shared,
    stream: &mut TcpStream,
    input: &mut BytesMut,
    protocol: u16,
) -> Result<End, End> {
    let outbox = Arc::new(shared.outbox());
    let mut stopping = pin!(shared.stopping());
    let patience = Duration::from_millis(shared.limits.stall_timeout_ms);
    let mut drained_by = None;
    let (mut reader, mut writer) = stream.split();
    let mut watches = Watches::new(shared.feed.clone(), shared.limits);
    let mut members = Members::of(shared, protocol);
    let mut output = Vec::new();
    let mut sent = 0;
    let mut progress = Instant::now();
    submit(shared, &outbox, &mut watches, input, &mut output)?;
    loop {
        if sent == output.len() {
            if output.capacity() > shared.limits.max_unread_bytes {
                output = Vec::new();
            }
            output.clear();
            sent = 0;
        }
        // Read before the answers are taken: none may come in between and be left behind.
        let in_flight = outbox.in_flight();
        if output.is_empty() {
            outbox.take(&mut output)?;
            watches.tell(&mut output);
            members.tell(&mut output);
            progress = Instant::now();
        }
        let unsent = &output[sent..];
        if drained_by.is_some() && in_flight == 0 && unsent.is_empty() {
            return Ok(End::Part(Goodbye::ShuttingDown));
        }
        let is_listening = drained_by.is_none()
            && in_flight < shared.limits.max_in_flight
            && unsent.len() < shared.limits.max_unread_bytes;
        let wake = drained_by.unwrap_or(progress + patience);
        input.reserve(READ_BYTES);
        tokio::select! {
            count = writer.write(unsent), if !unsent.is_empty() => {
                sent += count?;
                progress = Instant::now();
            }
            count = reader.read_buf(input), if is_listening => {
                if count? == 0 {
                    return Ok(End::Gone);
                }
                submit(shared, &outbox, &mut watches, input, &mut output)?;
            }
            () = outbox.filled() => {}
            () = members.news(), if unsent.is_empty() && members.is_told => {}
            () = watches.filled(), if unsent.is_empty() && !watches.is_empty() => {}
            () = &mut stopping, if drained_by.is_none() => {
                let drain = Duration::from_millis(shared.limits.drain_ms);
                drained_by = Some(Instant::now() + drain);
            }
            () = sleep_until(wake), if drained_by.is_some() || !unsent.is_empty() => {
                return Ok(match drained_by {
                    Some(_) => End::Part(Goodbye::ShuttingDown),
                    None => End::Stalled,
                });
            }
        }
    }
}

/// Hands all requests that have come in whole to the node, at once.
fn submit(
    shared: &Shared,
    outbox: &Arc<Outbox>,
    watches: &mut Watches,
    input: &mut BytesMut,
    output: &mut Vec<u8>,
) -> Result<(), End> {
    let mut calls = Vec::new();
    let mut others = Vec::new();
    let garbled = loop {
        match FromClient::read(input, MAX_REQUEST_BYTES) {
            Ok(Some(FromClient::Request(Request { id, ask }))) => match ask {
                Ask::Write(command) if wire::is_for_hosts(&command) => {
                    let what = "clients do not move the store's time".to_owned();
                    others.push((id, Outcome::BadRequest(what)));
                }
                Ask::Write(command) => calls.push(propose(outbox, id, &command)),
                Ask::Read(query) | Ask::Stale { query, .. }
                    if query.longest_key_bytes() > MAX_KEY_BYTES =>
                {
                    let what = format!("a key has at most {MAX_KEY_BYTES} bytes");
                    others.push((id, Outcome::BadRequest(what)));
                }
                Ask::Read(query) => {
                    calls.push(Call::Read { query, reply: ReplyTo::client(outbox.clone(), id) });
                }
                Ask::Operate(operation) => calls.push(operate(outbox, id, operation)),
                Ask::Stale { query, at_least } => {
                    let reply = ReplyTo::client_at(outbox.clone(), id, at_least);
                    calls.push(Call::Local { query, reply });
                }
                Ask::Watch(watch) => watches.begin(id, watch, output),
                Ask::Cancel => watches.cancel(id, output),
                Ask::Status => others.push((id, Outcome::Status(shared.report()))),
            },
            Ok(Some(FromClient::Hello(_))) => {
                break Some(Goodbye::Malformed("a second hello".into()));
            }
            Ok(None) => break None,
            Err(garbled) => break Some(Goodbye::Malformed(garbled.to_string())),
        }
    };
    let requests = (calls.len() + others.len()) as u32;
    if requests > 0 {
        shared.metrics.requests.inc_by(requests.into());
        outbox.expect(requests);
        shared.handle.call_all(calls);
        for (id, outcome) in others {
            outbox.answer(id, outcome);
        }
    }
    garbled.map_or(Ok(()), |goodbye| Err(End::Part(goodbye)))
}

/// The command is copied: it outlives the buffer that it came in.
fn propose(outbox: &Arc<Outbox>, id: u64, command: &[u8]) -> Call<Watched, ReplyTo> {
    let command = Bytes::copy_from_slice(command);
    Call::Propose { command, reply: ReplyTo::client(outbox.clone(), id) }
}

fn operate(outbox: &Arc<Outbox>, id: u64, operation: wire::Operation) -> Call<Watched, ReplyTo> {
    let operation = match operation {
        wire::Operation::Change(wishes) => Operation::Change(wishes),
        wire::Operation::Transfer(to) => Operation::Transfer(to),
    };
    Call::Operate { operation, reply: ReplyTo::client(outbox.clone(), id) }
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<Garbled> for End {
    fn from(garbled: Garbled) -> Self {
        Self::Part(Goodbye::Malformed(garbled.to_string()))
    }
}

impl From<Overflowed> for End {
    fn from(_: Overflowed) -> Self {
        Self::Stalled
    }
}
