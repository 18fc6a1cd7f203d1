//! Stories of engines that run by themselves: Basic Paxos and gossip on sockets and disks.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

#[allow(dead_code, reason = "not every story breaks its disk in every way")]
mod rig;

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rig::Rig;
use synod_codec::frame;
use synod_engine::{ClusterId, Incarnation, NodeId, Token};
use synod_gossip::{self as gossip, Gossip};
use synod_paxos::Ballot;
use synod_paxos::basic::{self, Event, Message, Paxos, Record, Request};
use synod_runtime::solo::{Busy, Config, Counts, Node, Sight, User, start};
use synod_runtime::{StartError, StopReason};

const CLUSTER: ClusterId = ClusterId(7);
const PATIENCE: Duration = Duration::from_secs(20);

/// Passes on what it is told.
struct Teller(Sender<Told>);

#[derive(PartialEq, Debug)]
enum Told {
    Event(Event),
    Wrote(Record),
}

impl User<Paxos> for Teller {
    fn told(&mut self, event: Event) {
        self.0.send(Told::Event(event)).ok();
    }

    fn saw(&mut self, sight: Sight<'_, Paxos>) {
        if let Sight::Persisted(record) = sight {
            self.0.send(Told::Wrote(record.clone())).ok();
        }
    }
}

/// A node, and what its user is told.
struct Member {
    node: Node<Paxos>,
    told: Receiver<Told>,
}

impl Member {
    fn begin(config: &Config) -> Result<Self, StartError> {
        let (tell, told) = channel();
        let mut nodes: Vec<_> = config.peers.keys().copied().collect();
        nodes.push(config.node);
        let mut engine = basic::Config::new(config.node, nodes);
        engine.ask_ms = 200;
        Ok(Self { node: start::<Paxos, _>(config, |_| engine, Teller(tell))?, told })
    }

    fn ask(&self, token: u64, value: &'static str) {
        self.node.request(Token(token), Request::Propose(value.into())).unwrap();
    }

    /// The next event.
    fn event(&self) -> Event {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.told.recv_timeout(left).expect("it is told something") {
                Told::Event(event) => return event,
                Told::Wrote(_) => {}
            }
        }
    }

    fn chosen(&self) -> basic::Value {
        match self.event() {
            Event::Chosen { value, .. } => value,
            Event::Refused { refusal, .. } => panic!("refused: {refusal}"),
        }
    }
}

fn config(node: u64, dir: &Path, addresses: &[SocketAddr]) -> Config {
    let peers: BTreeMap<_, _> = (1..).map(NodeId).zip(addresses.iter().copied()).collect();
    Config::new(NodeId(node), CLUSTER, dir, addresses[node as usize - 1], peers)
}

/// Addresses that nobody listens at, each given out once.
fn addresses(count: usize) -> Vec<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(83);
    let next = || 10_000 + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 22_000;
    let address = || SocketAddr::from(([127, 0, 0, 1], next() as u16));
    let free = std::iter::repeat_with(address).filter(|address| UdpSocket::bind(address).is_ok());
    free.take(count).collect()
}

/// A peer, node 2 of 3, whose words are put into its mouth.
struct Puppet {
    socket: UdpSocket,
    to: SocketAddr,
    life: Incarnation,
    met: Option<Incarnation>,
}

/// The beginning of a datagram, as on the wire.
type Envelope = (ClusterId, NodeId, Incarnation, NodeId, Option<Incarnation>);

impl Puppet {
    fn at(address: SocketAddr, to: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, to, life: Incarnation(21), met: None }
    }

    fn envelope(&self) -> Envelope {
        (CLUSTER, NodeId(2), self.life, NodeId(1), self.met)
    }

    fn says(&self, message: &Message) {
        self.says_in(self.envelope(), message);
    }

    fn says_in(&self, envelope: Envelope, message: &Message) {
        let mut bytes = Vec::new();
        frame::write(1, 0, &mut bytes, |out| synod_codec::encode(&(envelope, message), out));
        self.socket.send_to(&bytes, self.to).unwrap();
    }

    /// The next message that is no question.
    fn hears(&self) -> Message {
        self.hears_from().1
    }

    fn hears_from(&self) -> (Envelope, Message) {
        let mut bytes = [0; 2_000];
        loop {
            let (length, _) = self.socket.recv_from(&mut bytes).expect("it is told something");
            let mut buffer = BytesMut::from(&bytes[..length]);
            let frame = frame::read(&mut buffer, 2_000).unwrap().unwrap();
            let heard: (Envelope, Message) = synod_codec::decode(&frame.payload).unwrap();
            if heard.1 != Message::Ask {
                return heard;
            }
        }
    }

    /// Whether there is nothing but questions to be heard for a while.
    fn hears_nothing(&self) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let begin = Instant::now();
        let mut bytes = [0; 2_000];
        let mut nothing = true;
        while begin.elapsed() < Duration::from_millis(100) {
            if let Ok((length, _)) = self.socket.recv_from(&mut bytes) {
                let mut buffer = BytesMut::from(&bytes[..length]);
                let frame = frame::read(&mut buffer, 2_000).unwrap().unwrap();
                let heard: (Envelope, Message) = synod_codec::decode(&frame.payload).unwrap();
                nothing &= heard.1 == Message::Ask;
            }
        }
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        nothing
    }
}

fn ballot(round: u64) -> Ballot {
    Ballot { round, proposer: NodeId(2) }
}

fn prepare(round: u64) -> Message {
    Message::Prepare { ballot: ballot(round) }
}

fn promise(round: u64) -> Message {
    Message::Promise { ballot: ballot(round), accepted: None }
}

/// Waits until `holds`.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn counted(node: &Member, what: &str, holds: impl Fn(Counts) -> bool) {
    until(what, || holds(node.node.counts()));
}

#[test]
fn three_nodes_choose_and_whoever_is_killed_comes_back_to_the_same_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3);
    let begin =
        |id: u64| Member::begin(&config(id, &dir.path().join(id.to_string()), &addresses)).unwrap();
    let mut nodes = [1, 2, 3].map(begin).into_iter();
    let (one, two, three) = (nodes.next().unwrap(), nodes.next().unwrap(), nodes.next().unwrap());
    one.ask(1, "red");
    assert_eq!([&one, &two, &three].map(Member::chosen), ["red"; 3].map(basic::Value::from));
    drop(three);
    two.ask(1, "blue");
    assert_eq!(two.chosen(), "red".into());
    drop((one, two));
    for node in [1, 2, 3].map(begin) {
        assert_eq!(node.chosen(), "red".into(), "told again at the start");
    }
}

#[tokio::test]
async fn a_promise_outlives_kill_9_and_a_graceful_stop() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3);
    let rig = Rig::default();
    let mut config = config(1, dir.path(), &addresses);
    config.log_disk = rig.disk();
    let puppet = Puppet::at(addresses[1], addresses[0]);
    let node = Member::begin(&config).unwrap();
    puppet.says(&prepare(5));
    assert_eq!(puppet.hears(), promise(5));
    drop(node);
    let node = Member::begin(&config).unwrap();
    let refused = |promised| Message::Refused { ballot: ballot(3), promised: ballot(promised) };
    puppet.says(&prepare(3));
    assert_eq!(puppet.hears(), refused(5));
    let _relief = rig.relief();
    rig.stalls.store(true, Ordering::Relaxed);
    puppet.says(&prepare(7));
    until("it has promised to itself", || {
        node.told.try_recv() == Ok(Told::Wrote(Record::Promise(ballot(7))))
    });
    let stalls = rig.stalls.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        stalls.store(false, Ordering::Relaxed);
    });
    assert_eq!(node.node.shutdown().await, StopReason::Shutdown);
    assert_eq!(puppet.hears(), promise(7), "what was begun is made durable, and said");
    let _node = Member::begin(&config).unwrap();
    puppet.says(&prepare(3));
    assert_eq!(puppet.hears(), refused(7));
}

#[test]
fn what_is_no_datagram_of_this_group_is_refused_and_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3);
    let node = Member::begin(&config(1, dir.path(), &addresses)).unwrap();
    let puppet = Puppet::at(addresses[1], addresses[0]);
    let (cluster, from, life, to, met) = puppet.envelope();
    puppet.socket.send_to(b"garbage", addresses[0]).unwrap();
    puppet.socket.send_to(&[0; 1_500], addresses[0]).unwrap();
    puppet.socket.send_to(&[], addresses[0]).unwrap();
    puppet.says_in((ClusterId(8), from, life, to, met), &prepare(1));
    puppet.says_in((cluster, NodeId(4), life, to, met), &prepare(1));
    puppet.says_in((cluster, NodeId(1), life, to, met), &prepare(1));
    puppet.says_in((cluster, from, life, NodeId(3), met), &prepare(1));
    let large = basic::Value(vec![7; 1_400].into());
    puppet.says(&Message::Request { value: large });
    counted(&node, "all garbage is counted", |counts| counts.garbage == 8);
    assert_eq!(node.node.counts().received, 0);
    puppet.says(&prepare(1));
    assert_eq!(puppet.hears(), promise(1), "the node goes on");
}

#[test]
fn a_stalled_disk_leaks_no_promise_and_beyond_the_bounds_datagrams_are_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3);
    let rig = Rig::default();
    let mut config = config(1, dir.path(), &addresses);
    config.log_disk = rig.disk();
    (config.limits.max_undurable_bytes, config.limits.max_queued_requests) = (1_000, 2);
    let node = Member::begin(&config).unwrap();
    let puppet = Puppet::at(addresses[1], addresses[0]);
    puppet.says(&prepare(1));
    assert_eq!(puppet.hears(), promise(1));
    let _relief = rig.relief();
    rig.stalls.store(true, Ordering::Relaxed);
    let mut round = 1;
    until("too much waits for the disk", || {
        round += 1;
        puppet.says(&prepare(round));
        node.node.counts().dropped > 0
    });
    assert!(puppet.hears_nothing(), "nothing is durable");
    let request = || node.node.request(Token(1), Request::Propose("v".into()));
    until("requests wait, and then are refused", || request() == Err(Busy));
    rig.stalls.store(false, Ordering::Relaxed);
    let Message::Promise { ballot: promised, .. } = puppet.hears() else { panic!("a promise") };
    assert_eq!(promised, ballot(2));
    until("it takes requests again", || request() == Ok(()));
}

#[tokio::test]
async fn a_disk_that_fails_stops_the_node_before_it_says_anything() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3);
    let rig = Rig::default();
    let mut config = config(1, dir.path(), &addresses);
    config.log_disk = rig.disk();
    let node = Member::begin(&config).unwrap();
    let puppet = Puppet::at(addresses[1], addresses[0]);
    rig.fails.store(true, Ordering::Relaxed);
    puppet.says(&prepare(1));
    match node.node.stopped().await {
        StopReason::Fatal(why) => assert!(why.contains("the disk is broken"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(puppet.hears_nothing());
}

#[test]
fn who_lost_its_directory_is_heard_by_nobody_and_hears_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3);
    let config = config(1, dir.path(), &addresses);
    let mut puppet = Puppet::at(addresses[1], addresses[0]);
    let node = Member::begin(&config).unwrap();
    puppet.says(&prepare(1));
    let ((_, _, life, _, met), message) = puppet.hears_from();
    assert_eq!((message, met), (promise(1), Some(puppet.life)));
    assert_eq!(life, node.node.identity().incarnation);
    // The peer's directory is emptied: it has forgotten its ballots.
    puppet.life = Incarnation(23);
    puppet.says(&prepare(2));
    counted(&node, "the stranger is noticed", |counts| counts.strange == 1);
    // It is remembered who it was, durably.
    drop(node);
    let node = Member::begin(&config).unwrap();
    puppet.says(&prepare(2));
    counted(&node, "the stranger is known", |counts| counts.strange == 1);
    // And if the node's own is emptied, it does not hear who knew it.
    drop(node);
    std::fs::remove_dir_all(dir.path()).unwrap();
    let node = Member::begin(&config).unwrap();
    (puppet.life, puppet.met) = (Incarnation(21), Some(life));
    puppet.says(&prepare(3));
    counted(&node, "it is not meant", |counts| counts.strange == 1);
    assert!(puppet.hears_nothing());
}

/// Says what gossip it hears.
struct Ear(Sender<gossip::Event>);

impl User<Gossip> for Ear {
    fn told(&mut self, event: gossip::Event) {
        self.0.send(event).ok();
    }
}

#[test]
fn an_engine_without_records_runs_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(5);
    let begin = |id: u64| {
        let config = config(id, &dir.path().join(id.to_string()), &addresses);
        let mut engine = gossip::Config::new(NodeId(id), config.peers.keys().copied());
        (engine.round_ms, engine.stop) = (10, gossip::Stop::Counter(20));
        let (tell, told) = channel();
        (start::<Gossip, _>(&config, |_| engine, Ear(tell)).unwrap(), told)
    };
    let nodes = [1, 2, 3, 4, 5].map(begin);
    nodes[0].0.request(Token(1), gossip::Request::Start("news".into())).unwrap();
    for (_, told) in &nodes[1..] {
        match told.recv_timeout(PATIENCE).expect("it hears") {
            gossip::Event::Heard(rumor) => assert_eq!(&rumor.content[..], b"news"),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_directory_of_another_group_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let addresses = addresses(3);
    let mut config = config(1, dir.path(), &addresses);
    drop(Member::begin(&config).unwrap());
    config.cluster = ClusterId(8);
    assert!(matches!(Member::begin(&config), Err(StartError::Identity(_))));
    config.cluster = CLUSTER;
    let running = Member::begin(&config).unwrap();
    assert!(matches!(Member::begin(&config), Err(StartError::Identity(_))), "it is in use");
    drop(running);
}
