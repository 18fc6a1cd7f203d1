//! Watches on a feed, without a socket between: what each is told, judged by the rules of
//! [`synod_check::watch`], under random writes, slow readers, compaction and snapshots.

use std::collections::BTreeMap;

use bytes::BytesMut;
use synod_check::watch::{self as judge, Watched as Judged, check_history, check_watch};
use synod_codec::encode;
use synod_consensus::{Index, StateMachine};
use synod_engine::Random;
use synod_kv::Store;
use synod_kv::limits::MIN_LEASE_MS;
use synod_kv::message::{Action, Command, Op, SessionId, Txn};
use synod_kv::wire::FromServer;

use super::*;

/// A node: a store, what it shows, and the log index.
struct Node {
    store: Store,
    feed: Arc<Feed>,
    index: u64,
    happened: Vec<judge::Event>,
}

fn judged(event: &Event) -> judge::Event {
    judge::Event {
        revision: event.revision(),
        key: event.key().clone(),
        value: event.entry().map(|entry| entry.value.clone()),
        prev: event.prev().map(|entry| entry.value.clone()),
        is_create: event.is_create(),
    }
}

impl Node {
    fn new() -> Self {
        let mut store = Store::new();
        let mut open = Vec::new();
        encode(&Command::Open { lease_ms: MIN_LEASE_MS }, &mut open);
        store.apply(Index(1), &open);
        Self { store, feed: Arc::default(), index: 1, happened: Vec::new() }
    }

    fn apply(&mut self, op: Op) {
        let number = self.index;
        self.index += 1;
        let command = Command::Write { session: SessionId(1), number, answered_below: number, op };
        let mut bytes = Vec::new();
        encode(&command, &mut bytes);
        let before = self.store.revision();
        self.store.apply(Index(self.index), &bytes);
        self.happened.extend(self.store.events_after(before).map(judged));
    }

    fn put(&mut self, key: &str, size_bytes: usize) {
        let value = vec![b'v'; size_bytes].into();
        self.apply(Op::Put { key: Bytes::copy_from_slice(key.as_bytes()), value });
    }

    fn delete(&mut self, key: &str) {
        self.apply(Op::Delete { key: Bytes::copy_from_slice(key.as_bytes()) });
    }

    fn show(&self) {
        self.feed.publish(&self.store);
    }

    fn watches(&self) -> Watches {
        Watches::new(self.feed.clone(), Limits::default())
    }

    /// The same node, restored from a snapshot of `other`.
    fn install(&mut self, other: &Self) {
        let pieces: Vec<_> = Store::chunks(&other.store.freeze()).collect();
        self.store = self.store.restore(pieces.into_iter()).unwrap();
        self.index = other.index;
        self.happened = other.happened.clone();
    }
}

fn all(from: Option<Revision>) -> Watch {
    Watch { keys: Span::all(), from, seen: 0, filter: Filter::All, prev: false }
}

fn one(key: &'static str, from: Revision) -> Watch {
    Watch { keys: Span::One(key.into()), ..all(Some(from)) }
}

/// What a client has heard.
#[derive(Default)]
struct Heard {
    begun: BTreeMap<u64, Revision>,
    told: BTreeMap<u64, Vec<judge::Told>>,
    ended: BTreeMap<u64, Ended>,
    progress: Vec<Revision>,
}

impl Heard {
    fn hear(&mut self, bytes: &mut Vec<u8>) {
        let mut stream = BytesMut::from(&bytes[..]);
        bytes.clear();
        while let Some(message) = FromServer::read(&mut stream).unwrap() {
            match message {
                FromServer::Told(id, Said::Begun { from }) => drop(self.begun.insert(id, from)),
                FromServer::Told(id, Said::Ended(ended)) => drop(self.ended.insert(id, ended)),
                FromServer::Told(id, Said::Events { through, events }) => {
                    let events = events.iter().map(judged).collect();
                    self.told.entry(id).or_default().push(judge::Told { through, events });
                }
                FromServer::Progress(through) => {
                    self.progress.push(through);
                    for id in self.begun.keys().filter(|id| !self.ended.contains_key(id)) {
                        let told = judge::Told { through, events: vec![] };
                        self.told.entry(*id).or_default().push(told);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn revisions(&self, id: u64) -> Vec<Revision> {
        let told = self.told.get(&id).into_iter().flatten();
        told.flat_map(|told| &told.events).map(|event| event.revision).collect()
    }
}

/// Tells `watches` until there is nothing more to tell.
fn drain(watches: &mut Watches, heard: &mut Heard) {
    let mut out = Vec::new();
    loop {
        watches.tell(&mut out);
        heard.hear(&mut out);
        if !watches.is_behind {
            return;
        }
    }
}

fn begin(watches: &mut Watches, heard: &mut Heard, id: u64, watch: Watch) {
    let mut out = Vec::new();
    watches.begin(id, watch, &mut out);
    heard.hear(&mut out);
}

#[tokio::test]
async fn a_watch_is_told_what_happens_to_its_keys_from_its_revision_on() {
    let mut node = Node::new();
    for key in ["a", "b", "a", "c"] {
        node.put(key, 1);
    }
    node.show();
    let (mut watches, mut heard) = (node.watches(), Heard::default());
    begin(&mut watches, &mut heard, 1, one("a", 2));
    begin(&mut watches, &mut heard, 2, all(None));
    begin(&mut watches, &mut heard, 3, Watch { filter: Filter::Deletes, ..all(Some(1)) });
    begin(&mut watches, &mut heard, 4, Watch { seen: 5, ..all(None) });
    drain(&mut watches, &mut heard);
    node.put("a", 1);
    node.delete("b");
    node.show();
    drain(&mut watches, &mut heard);
    assert_eq!(heard.begun, BTreeMap::from([(1, 2), (2, 5), (3, 1), (4, 6)]));
    assert_eq!(heard.revisions(1), [3, 5]);
    assert_eq!(heard.revisions(2), [5, 6]);
    assert_eq!(heard.revisions(3), [6]);
    assert_eq!(heard.revisions(4), [6]);
    let mut out = Vec::new();
    watches.cancel(2, &mut out);
    heard.hear(&mut out);
    node.put("a", 1);
    node.show();
    drain(&mut watches, &mut heard);
    assert_eq!((heard.revisions(2), &heard.ended[&2]), (vec![5, 6], &Ended::Cancelled));
    assert_eq!(heard.revisions(1), [3, 5, 7]);
}

/// A watch from a revision that is yet to come was told older events (etcd#20221).
#[tokio::test]
async fn a_watch_from_a_future_revision_is_told_nothing_from_before() {
    let mut node = Node::new();
    node.put("a", 1);
    node.show();
    let (mut watches, mut heard) = (node.watches(), Heard::default());
    begin(&mut watches, &mut heard, 1, all(Some(4)));
    begin(&mut watches, &mut heard, 2, all(Some(2)));
    for _ in 0..4 {
        node.put("a", 1);
        node.show();
        drain(&mut watches, &mut heard);
    }
    assert_eq!(heard.revisions(1), [4, 5]);
    assert_eq!(heard.revisions(2), [2, 3, 4, 5]);
}

/// A progress notification named a revision whose events were still to come (etcd#15220).
#[tokio::test]
async fn progress_is_never_ahead_of_what_was_told() {
    let mut node = Node::new();
    let limits = Limits { watch_progress_ms: 0, ..Limits::default() };
    let mut watches = Watches::new(node.feed.clone(), limits);
    let (mut heard, mut random, mut told) = (Heard::default(), Random::new(1), 0);
    begin(&mut watches, &mut heard, 0, one("k0", 1));
    let mut out = Vec::new();
    for round in 1..400u64 {
        for _ in 0..random.below(40) {
            node.put(&format!("k{}", random.below(4)), random.below(20_000) as usize);
        }
        if random.chance(700_000) {
            node.show();
        }
        if random.chance(100_000) {
            let from = random.between(1, node.store.revision() + 3);
            begin(&mut watches, &mut heard, round, one("k1", from));
        }
        // One turn only: more may be at hand.
        watches.tell(&mut out);
        heard.hear(&mut out);
        if let Some(through) = heard.progress.pop() {
            told += 1;
            for (id, from) in &heard.begun {
                let key = if *id == 0 { "k0" } else { "k1" };
                let due = node.happened.iter().filter(|event| {
                    event.key == key && (*from..=through).contains(&event.revision)
                });
                let revisions = heard.revisions(*id);
                let heard = revisions.iter().filter(|revision| **revision <= through);
                assert_eq!(heard.count(), due.count(), "watch {id} through {through}");
            }
        }
    }
    assert!(told > 10 && heard.begun.len() > 20, "{told} of {}", heard.begun.len());
}

/// A watcher that was starved lost events (etcd#17529); the catching up of many held the store's lock
/// (etcd#22264).
#[tokio::test]
async fn a_slow_connection_holds_nobody_up_and_is_told_that_it_is_too_late_not_less() {
    let mut node = Node::new();
    let (mut slow, mut quick) = (node.watches(), node.watches());
    let (mut slow_heard, mut quick_heard) = (Heard::default(), Heard::default());
    begin(&mut slow, &mut slow_heard, 1, all(Some(1)));
    begin(&mut slow, &mut slow_heard, 2, one("never", 1));
    begin(&mut quick, &mut quick_heard, 1, all(Some(1)));
    while node.store.compacted() == 0 {
        node.put("k", 1 << 20);
        node.show();
        drain(&mut quick, &mut quick_heard);
    }
    assert_eq!(quick_heard.revisions(1), (1..=node.store.revision()).collect::<Vec<_>>());
    drain(&mut slow, &mut slow_heard);
    let compacted = node.store.compacted();
    assert_eq!(slow_heard.revisions(1), [0; 0]);
    assert_eq!(slow_heard.ended[&1], Ended::Compacted { compacted });
    assert_eq!(slow_heard.ended[&2], Ended::Compacted { compacted });
    begin(&mut slow, &mut slow_heard, 3, all(Some(compacted)));
    assert_eq!(slow_heard.ended[&3], Ended::Compacted { compacted });
    begin(&mut slow, &mut slow_heard, 4, all(Some(compacted + 1)));
    drain(&mut slow, &mut slow_heard);
    assert_eq!(
        slow_heard.revisions(4),
        (compacted + 1..=node.store.revision()).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn one_turn_tells_no_more_than_its_share() {
    let mut node = Node::new();
    for _ in 0..2_000 {
        node.put("k", 1_000);
    }
    node.show();
    let (mut watches, mut heard) = (node.watches(), Heard::default());
    begin(&mut watches, &mut heard, 1, all(Some(1)));
    let mut out = Vec::new();
    watches.tell(&mut out);
    assert!(out.len() < 2 * MAX_TOLD_BYTES, "{} bytes", out.len());
    heard.hear(&mut out);
    assert!(watches.is_behind);
    drain(&mut watches, &mut heard);
    assert_eq!(heard.revisions(1).len(), 2_000);
}

#[tokio::test]
async fn watches_beyond_the_bounds_end_at_once() {
    let node = Node::new();
    let limits = Limits { max_range_watches: 2, max_watch_bytes: 1_000, ..Limits::default() };
    let (mut watches, mut heard) = (Watches::new(node.feed.clone(), limits), Heard::default());
    for id in 1..=3 {
        begin(&mut watches, &mut heard, id, all(None));
    }
    for id in 4..=20 {
        begin(&mut watches, &mut heard, id, one("k", 1));
    }
    begin(&mut watches, &mut heard, 1, one("k", 1));
    let longest = Bytes::from(vec![0; MAX_KEY_BYTES + 1]);
    begin(&mut watches, &mut heard, 30, Watch { keys: Span::One(longest), ..all(None) });
    assert_eq!(heard.ended[&3], Ended::TooMany);
    assert_eq!(heard.ended[&20], Ended::TooMany);
    assert!(matches!(heard.ended[&1], Ended::BadRequest(_)), "the id is in use");
    assert!(matches!(heard.ended[&30], Ended::BadRequest(_)));
    let mut out = Vec::new();
    watches.cancel(2, &mut out);
    begin(&mut watches, &mut heard, 31, all(None));
    assert!(!heard.ended.contains_key(&31), "a place is given back");
}

/// Random writes at two nodes that apply the same log, one of which lags and is restored from snapshots;
/// clients watch at one, break off anywhere, and go on at the other.
struct Story {
    random: Random,
    nodes: [Node; 2],
    log: Vec<Op>,
    applied: [usize; 2],
    clients: Vec<Client>,
}

struct Client {
    watch: Watch,
    next: Revision,
    told: Vec<judge::Told>,
    at: Option<(usize, Watches, Heard)>,
    compacted: bool,
}

impl Story {
    fn op(&mut self) -> Op {
        let random = &mut self.random;
        let key = |random: &mut Random| Bytes::from(format!("k{}", random.below(5)));
        // Large now and then, so that histories are compacted.
        let size = if random.chance(80_000) { 1 << 20 } else { random.below(50) };
        let value = Bytes::from(vec![b'v'; size as usize]);
        match random.below(10) {
            0..5 => Op::Put { key: key(random), value },
            5..8 => Op::Delete { key: key(random) },
            _ => {
                let prev = false;
                let set = Action::Put { key: key(random), value, prev };
                let gone = Action::Delete { keys: Span::prefix("k1"), prev };
                Op::Txn(Txn { compares: vec![], success: vec![set, gone], failure: vec![] })
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(200) {
            0..80 => {
                let op = self.op();
                self.log.push(op);
            }
            80..140 => {
                let node = self.random.below(2) as usize;
                for _ in 0..self.random.below(20) {
                    let Some(op) = self.log.get(self.applied[node]).cloned() else { break };
                    self.nodes[node].apply(op);
                    self.applied[node] += 1;
                }
                self.nodes[node].show();
            }
            140 => {
                let behind = usize::from(self.applied[1] < self.applied[0]);
                let [one, two] = &mut self.nodes;
                let (to, from) = if behind == 0 { (one, two) } else { (two, one) };
                to.install(from);
                to.show();
                self.applied[behind] = self.applied[1 - behind];
            }
            _ => {
                let client = self.random.below(self.clients.len() as u64) as usize;
                self.serve(client);
            }
        }
    }

    /// The client hears what one turn tells, breaks off, or goes on somewhere.
    fn serve(&mut self, client: usize) {
        let node = self.random.below(2) as usize;
        let breaks = self.random.chance(200_000);
        let client = &mut self.clients[client];
        let feed = &self.nodes[node].feed;
        let limits = Limits { watch_progress_ms: 0, ..Limits::default() };
        let mut out = Vec::new();
        let (at, watches, heard) = client.at.get_or_insert_with(|| {
            let mut watches = Watches::new(feed.clone(), limits);
            watches.begin(1, Watch { from: Some(client.next), ..client.watch.clone() }, &mut out);
            (node, watches, Heard::default())
        });
        assert!(*at < 2);
        watches.tell(&mut out);
        heard.hear(&mut out);
        let told = heard.told.remove(&1).unwrap_or_default();
        client.next = told.last().map_or(client.next, |last| client.next.max(last.through + 1));
        client.told.extend(told);
        client.compacted |= heard.ended.contains_key(&1);
        if breaks || client.compacted {
            client.at = None;
        }
        if client.compacted {
            self.judge(self.clients.iter().position(|client| client.compacted).unwrap());
        }
    }

    /// What the client was told is what happened. Then it begins anew.
    fn judge(&mut self, client: usize) {
        let watch = self.clients[client].watch.clone();
        let wants = |event: &judge::Event| {
            watch.keys.contains(&event.key)
                && match watch.filter {
                    Filter::All => true,
                    Filter::Puts => event.value.is_some(),
                    Filter::Deletes => event.value.is_none(),
                }
        };
        let history = &self.nodes[usize::from(self.applied[1] > self.applied[0])].happened;
        let told = std::mem::take(&mut self.clients[client].told);
        let next = self.clients[client].next;
        let from = watch.from.unwrap();
        assert!(told.last().is_none_or(|last| last.through < next));
        let judged = Judged { from, wants: &wants, prev: watch.prev, told };
        check_watch(history, &judged).unwrap_or_else(|broken| panic!("{broken}"));
        let from = self.nodes[0].store.revision().max(self.nodes[1].store.revision()) + 1;
        let client = &mut self.clients[client];
        (client.next, client.watch.from, client.compacted) = (from, Some(from), false);
    }
}

/// A watch went back in time when it was resumed at a node that had been cut off (etcd#15271).
#[tokio::test]
async fn watches_that_break_off_go_on_anywhere_without_a_gap_or_a_repeat() {
    let mut compacted = 0;
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let clients = (0..4).map(|place| {
            let keys = match place {
                0 => Span::all(),
                1 => Span::prefix("k1"),
                _ => Span::One(Bytes::from(format!("k{}", random.below(5)))),
            };
            let filter = [Filter::All, Filter::Puts, Filter::Deletes][random.below(3) as usize];
            let watch = Watch { keys, from: Some(1), seen: 0, filter, prev: place % 2 == 0 };
            Client { watch, next: 1, told: vec![], at: None, compacted: false }
        });
        let clients = clients.collect();
        let nodes = [Node::new(), Node::new()];
        let mut story = Story { random, nodes, log: vec![], applied: [0; 2], clients };
        for _ in 0..3_000 {
            story.step();
        }
        for client in 0..story.clients.len() {
            story.judge(client);
        }
        for node in &story.nodes {
            check_history(0, &node.happened, &[]).unwrap_or_else(|broken| panic!("{broken}"));
            compacted += node.store.compacted();
        }
    }
    assert!(compacted > 0, "histories are compacted on the way");
}
