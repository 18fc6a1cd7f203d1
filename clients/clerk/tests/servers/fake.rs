//! Servers that do what a test tells them: lose answers, redirect, refuse, part, fall silent.
//!
//! Several of them may share one [`World`], the replicated state, as the nodes of a cluster do.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use synod_clerk::{Clerk, Options};
use synod_codec::decode;
use synod_consensus::{Contact, Epoch, Index, Refusal, Role, StateMachine, Status};
use synod_engine::{ClusterId, Incarnation, NodeId};
use synod_kv::Store;
use synod_kv::limits::MAX_COMMAND_BYTES;
use synod_kv::message::{Command, Event, Response};
use synod_kv::wire::{
    Ask, Ended, FromClient, Goodbye, Hello, Leader, Limits, NodeReport, Outcome, PROTOCOL, Reply,
    Request, Said, TELLS_MEMBERS, Watch, Welcome, write_members, write_said,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// What a server does with the next write or read.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Does it and answers.
    Answer,
    /// Does it, then breaks the connection.
    LoseAnswer,
    /// Breaks the connection.
    LoseRequest,
    /// Does nothing.
    Silence,
    /// Refuses.
    Refuse(Refusal),
    /// Points at another server.
    Redirect(String),
    /// Says unknown, having done it or not.
    Unknown { done: bool },
    /// Says something that is no message.
    Babble,
    /// Does nothing, and reads nothing from then on.
    Deaf,
    /// Says that it has not come so far.
    Behind,
}

/// The state that the servers of a cluster share.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<(Store, u64)>>);

impl World {
    pub(crate) fn apply(&self, command: &[u8]) -> Response {
        let (store, index) = &mut *self.0.lock().unwrap();
        *index += 1;
        store.apply(Index(*index), command)
    }

    pub(crate) fn tick_past_every_lease(&self) {
        let mut tick = Vec::new();
        synod_codec::encode(&Command::Tick { elapsed_ms: 4_000 }, &mut tick);
        while self.sessions() > 0 {
            self.apply(&tick);
        }
    }

    pub(crate) fn sessions(&self) -> usize {
        self.0.lock().unwrap().0.sessions()
    }
}

/// One server.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) address: String,
    world: World,
    node: NodeId,
    script: Arc<Mutex<Script>>,
    commands: Arc<Mutex<Vec<Command>>>,
}

struct Script {
    acts: VecDeque<Act>,
    then: Act,
    lease_ms: Option<u64>,
    no_session: Option<Refusal>,
    /// How many events a connection tells its watches before it breaks.
    tells: Option<usize>,
    /// The newest version that it speaks.
    speaks: u16,
    /// Whom it names as members.
    members: Vec<String>,
}

/// A watch of one connection, and the first revision that it has not been told.
struct Watched {
    id: u64,
    watch: Watch,
    next: u64,
}

pub(crate) const CLUSTER: ClusterId = ClusterId(77);

impl Fake {
    /// A server that answers everything until told otherwise.
    pub(crate) async fn start(world: &World) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Script {
            acts: VecDeque::new(),
            then: Act::Answer,
            lease_ms: None,
            no_session: None,
            tells: None,
            speaks: PROTOCOL,
            members: Vec::new(),
        };
        let fake = Self {
            address: address.to_string(),
            world: world.clone(),
            node: NodeId(address.port().into()),
            script: Arc::new(Mutex::new(script)),
            commands: Arc::default(),
        };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        fake
    }

    /// What it does with the next writes and reads, and with all after them.
    pub(crate) fn will(&self, acts: impl IntoIterator<Item = Act>, then: Act) {
        let mut script = self.script.lock().unwrap();
        script.acts = acts.into_iter().collect();
        script.then = then;
    }

    /// The lease that it tells clients, whatever they ask for.
    pub(crate) fn tells_lease_ms(&self, lease_ms: u64) {
        self.script.lock().unwrap().lease_ms = Some(lease_ms);
    }

    /// Refuses to open sessions.
    pub(crate) fn opens_no_session(&self, refusal: Refusal) {
        self.script.lock().unwrap().no_session = Some(refusal);
    }

    /// Breaks each connection that has told its watches so many events.
    pub(crate) fn tells_at_most(&self, events: usize) {
        self.script.lock().unwrap().tells = Some(events);
    }

    /// Speaks no newer version than this.
    pub(crate) fn speaks(&self, protocol: u16) {
        self.script.lock().unwrap().speaks = protocol;
    }

    /// Names these as the members to whom it welcomes.
    pub(crate) fn names(&self, members: &[&Fake]) {
        let addresses = members.iter().map(|member| member.address.clone());
        self.script.lock().unwrap().members = addresses.collect();
    }

    /// The commands that have reached it.
    pub(crate) fn commands(&self) -> Vec<Command> {
        self.commands.lock().unwrap().clone()
    }

    fn next_act(&self) -> Act {
        let mut script = self.script.lock().unwrap();
        script.acts.pop_front().unwrap_or_else(|| script.then.clone())
    }

    async fn serve(&self, mut stream: TcpStream) {
        let mut input = BytesMut::new();
        let mut output = Vec::new();
        let mut watched = Vec::new();
        let mut told = 0;
        loop {
            while let Ok(Some(message)) = FromClient::read(&mut input, MAX_COMMAND_BYTES) {
                let goes_on = match message {
                    FromClient::Hello(hello) => self.on_hello(hello, &mut output),
                    FromClient::Request(Request { id, ask: Ask::Watch(watch) }) => {
                        let seen = self.world.0.lock().unwrap().0.revision().max(watch.seen);
                        let next = watch.from.unwrap_or(seen + 1);
                        write_said(id, &Said::Begun { from: next }, &mut output);
                        watched.push(Watched { id, watch, next });
                        true
                    }
                    FromClient::Request(Request { id, ask: Ask::Cancel }) => {
                        watched.retain(|watched| watched.id != id);
                        true
                    }
                    FromClient::Request(request) => {
                        if self.on_request(request.id, &request.ask, &mut output) {
                            true
                        } else if matches!(self.script.lock().unwrap().then, Act::Deaf) {
                            return std::future::pending().await;
                        } else {
                            false
                        }
                    }
                };
                if !goes_on {
                    stream.write_all(&output).await.ok();
                    return;
                }
            }
            told += self.tell(&mut watched, &mut output);
            if stream.write_all(&output).await.is_err() {
                return;
            }
            output.clear();
            if self.script.lock().unwrap().tells.is_some_and(|most| told >= most) {
                return;
            }
            let pause = if watched.is_empty() { 3_600_000 } else { 2 };
            match timeout(Duration::from_millis(pause), stream.read_buf(&mut input)).await {
                Ok(Ok(1..)) | Err(_) => {}
                Ok(_) => return,
            }
        }
    }

    /// Tells each watch some of what it has not been told; how many events.
    fn tell(&self, watched: &mut [Watched], output: &mut Vec<u8>) -> usize {
        const MOST: usize = 3;
        let mut told = 0;
        for watched in watched {
            let (store, _) = &*self.world.0.lock().unwrap();
            if watched.next <= store.compacted() {
                let ended = Ended::Compacted { compacted: store.compacted() };
                write_said(watched.id, &Said::Ended(ended), output);
                watched.next = u64::MAX;
            }
            let events = store.events_after(watched.next - 1).take(MOST);
            let events: Vec<_> = events.cloned().collect();
            let Some(through) = events.last().map(Event::revision) else { continue };
            told += events.len();
            watched.next = through + 1;
            let wanted = |event: &Event| watched.watch.keys.contains(event.key());
            let events: Vec<_> = events.into_iter().filter(wanted).collect();
            write_said(watched.id, &Said::Events { through, events }, output);
        }
        told
    }

    fn on_hello(&self, hello: Hello, output: &mut Vec<u8>) -> bool {
        if hello.cluster.is_some_and(|cluster| cluster != CLUSTER) {
            Goodbye::OtherCluster { cluster: CLUSTER }.write(output);
            return false;
        }
        let script = self.script.lock().unwrap();
        if hello.protocol > script.speaks {
            Goodbye::Protocol { speaks: script.speaks }.write(output);
            return false;
        }
        let limits = Limits { max_request_bytes: MAX_COMMAND_BYTES as u64, max_in_flight: 10_000 };
        let (protocol, cluster, node, leader) = (hello.protocol, CLUSTER, self.node, None);
        Welcome { protocol, cluster, node, leader, limits }.write(output);
        if protocol >= TELLS_MEMBERS {
            write_members(&script.members, output);
        }
        true
    }

    /// False when the connection is to be closed.
    fn on_request(&self, id: u64, ask: &Ask, output: &mut Vec<u8>) -> bool {
        let mut act = Act::Answer;
        if let Ask::Write(command) = ask {
            let command: Command = decode(command).unwrap();
            if matches!(command, Command::Write { .. }) {
                act = self.next_act();
            } else if let Some(refusal) = self.script.lock().unwrap().no_session {
                act = Act::Refuse(refusal);
            }
            self.commands.lock().unwrap().push(command);
        } else if matches!(ask, Ask::Read(_) | Ask::Stale { .. }) {
            act = self.next_act();
        }
        let outcome = match act {
            Act::Answer => self.answer(ask),
            Act::LoseAnswer => {
                self.answer(ask);
                return false;
            }
            Act::LoseRequest => return false,
            Act::Deaf => {
                self.will([], Act::Deaf);
                return false;
            }
            Act::Behind => Outcome::Behind { revision: 0 },
            Act::Silence => return true,
            Act::Refuse(refusal) => Outcome::Refused { refusal, leader: None },
            Act::Redirect(address) => Outcome::Refused {
                refusal: Refusal::NotLeader { leader: Some(NodeId(0)) },
                leader: Some(Leader { node: NodeId(0), address: Some(address) }),
            },
            Act::Unknown { done } => {
                if done {
                    self.answer(ask);
                }
                Outcome::Unknown
            }
            Act::Babble => {
                output.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                return true;
            }
        };
        Reply { id, outcome }.write(output);
        true
    }

    fn answer(&self, ask: &Ask) -> Outcome {
        match ask {
            Ask::Write(command) => {
                let mut response = self.world.apply(command);
                let told = self.script.lock().unwrap().lease_ms;
                if let (Response::Opened { lease_ms, .. }, Some(told)) = (&mut response, told) {
                    *lease_ms = told;
                }
                Outcome::Written(response)
            }
            Ask::Read(query) | Ask::Stale { query, .. } => {
                Outcome::Read(self.world.0.lock().unwrap().0.read(query))
            }
            Ask::Operate(_) => Outcome::Operated,
            Ask::Watch(_) | Ask::Cancel => unreachable!("watches have their own way"),
            Ask::Status => Outcome::Status(NodeReport {
                log: Status {
                    node: self.node,
                    role: Role::Leader,
                    leader: Some(self.node),
                    epoch: Epoch(1),
                    last: Index(1),
                    commit: Index(1),
                    applied: Index(1),
                    snapshot: Index(0),
                    members: Arc::default(),
                    members_settled: true,
                    peers: vec![],
                },
                contact: Contact {
                    incarnation: Incarnation(1),
                    address: String::new(),
                    client_address: String::new(),
                },
                is_ready: true,
                pid: 1,
                version: "fake".into(),
                uptime_ms: 1,
            }),
        }
    }
}

/// A clerk of these servers, in a hurry.
pub(crate) async fn clerk(servers: &[&Fake]) -> Clerk {
    let options = Options { timeout_ms: 10_000, stall_timeout_ms: 150, ..Options::default() };
    let addresses = servers.iter().map(|fake| fake.address.clone());
    Clerk::connect(addresses, options).await.unwrap()
}

/// Waits until `condition` holds; fails the test if it never does.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain until {what}");
}
