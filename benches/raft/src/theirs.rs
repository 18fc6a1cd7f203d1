//! The other side: three openraft nodes, with the cheapest log and network that its traits allow.
//!
//! Shaped like openraft's own `benchmarks/minimal`: log and state machine in memory, appends by a
//! function call, the same configuration. Two things cost less than there: the log is a queue instead
//! of a tree, and a lock of the standard library guards it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Debug};
use std::future::Future;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use openraft::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf};
use openraft::base::{BoxFuture, BoxStream};
use openraft::entry::RaftEntry;
use openraft::error::{
    ClientWriteError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, VoteRequest,
    VoteResponse,
};
use openraft::storage::{
    EntryResponder, IOFlushed, LogState, RaftLogReader, RaftLogStorage, RaftSnapshotBuilder,
    RaftStateMachine,
};
use openraft::{
    Config, EntryPayload, OptionalSend, Raft, RaftTypeConfig, Snapshot, SnapshotMeta,
    StoredMembership,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;

use crate::load::{Found, Shape, client, measure};
use crate::tally::Tally;

/// The types that openraft is built from here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Types;

/// A command; its bytes are shared, not copied.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Command(#[serde(skip)] Bytes);

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl RaftTypeConfig for Types {
    type D = Command;
    type R = ();
    type NodeId = u64;
    type Node = ();
    type Term = u64;
    type LeaderId = openraft::impls::leader_id_adv::LeaderId<u64, u64>;
    type Vote = openraft::impls::Vote<Self::LeaderId>;
    type Payload = EntryPayload<Command, u64, ()>;
    type Entry =
        openraft::Entry<<Self::LeaderId as openraft::vote::RaftLeaderId>::Committed, Self::Payload>;
    type Responder<T>
        = openraft::impls::OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type AsyncRuntime = openraft::impls::TokioRuntime;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

type Node = Raft<Types, Machine>;
type Answered = Result<StreamAppendResult<Types>, RPCError<Types>>;
type Entry = <Types as RaftTypeConfig>::Entry;

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A log in memory.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    vote: Option<VoteOf<Types>>,
    purged: Option<LogIdOf<Types>>,
    /// The index of the first entry that is kept.
    first: u64,
    entries: VecDeque<Entry>,
}

impl Stored {
    /// The place of the entry at `index`, or the nearest end.
    fn place(&self, index: u64) -> usize {
        (index.saturating_sub(self.first) as usize).min(self.entries.len())
    }
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let stored = locked(&self.0);
        let from = match range.start_bound() {
            Bound::Included(index) => stored.place(*index),
            Bound::Excluded(index) => stored.place(index + 1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => stored.place(index + 1),
            Bound::Excluded(index) => stored.place(*index),
            Bound::Unbounded => stored.entries.len(),
        };
        Ok(stored.entries.range(from..to.max(from)).cloned().collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<Types>>> {
        Ok(locked(&self.0).vote)
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let stored = locked(&self.0);
        let last = stored.entries.back().map(RaftEntry::log_id).or(stored.purged);
        Ok(LogState { last_purged_log_id: stored.purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Types>) -> io::Result<()> {
        locked(&self.0).vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        locked(&self.0).entries.extend(entries);
        callback.io_completed(Ok(()));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> io::Result<()> {
        let mut stored = locked(&self.0);
        let place = last.map_or(0, |last| stored.place(last.index() + 1));
        stored.entries.truncate(place);
        Ok(())
    }

    async fn purge(&mut self, last: LogIdOf<Types>) -> io::Result<()> {
        let mut stored = locked(&self.0);
        let place = stored.place(last.index() + 1);
        stored.entries.drain(..place);
        stored.first = last.index() + 1;
        stored.purged = Some(last);
        Ok(())
    }
}

/// The state machine, and its newest snapshot.
#[derive(Clone, Default)]
struct Machine(Arc<Mutex<State>>);

#[derive(Clone, Default)]
struct State {
    tally: Tally,
    last: Option<LogIdOf<Types>>,
    membership: StoredMembershipOf<Types>,
    snapshot: Option<SnapshotOf<Types, Tally>>,
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = Tally;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, Tally>> {
        let mut state = locked(&self.0);
        let meta =
            SnapshotMeta { last_log_id: state.last, last_membership: state.membership.clone() };
        let snapshot = Snapshot { meta, snapshot: state.tally };
        state.snapshot = Some(snapshot.clone());
        Ok(snapshot)
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Tally;
    type SnapshotBuilder = Self;

    async fn applied_state(
        &mut self,
    ) -> io::Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>)> {
        let state = locked(&self.0);
        Ok((state.last, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let mut state = locked(&self.0);
            state.last = Some(entry.log_id);
            match &entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(command) => state.tally.apply(&command.0),
                EntryPayload::Membership(members) => {
                    state.membership = StoredMembership::new(Some(entry.log_id), members.clone());
                }
            }
            drop(state);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<Types>,
        snapshot: Tally,
    ) -> io::Result<()> {
        let mut state = locked(&self.0);
        state.tally = snapshot;
        state.last = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        state.snapshot = Some(Snapshot { meta: meta.clone(), snapshot });
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types, Tally>>> {
        Ok(locked(&self.0).snapshot.clone())
    }
}

/// All nodes, by id: what the network is made of.
#[derive(Clone, Default)]
struct Table(Arc<Mutex<BTreeMap<u64, Node>>>);

impl RaftNetworkFactory<Types> for Table {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _: &()) -> Link {
        Link(locked(&self.0)[&target].clone())
    }
}

/// A network of function calls to one node.
struct Link(Node);

fn unreachable<E: std::error::Error + 'static>(error: E) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::new(&error))
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = Tally;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.0.append_entries(request).await.map_err(unreachable)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        requests: S,
        _: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Answered>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        let answers = self.0.stream_append(requests).map_err(unreachable);
        Box::pin(async move { Ok(Box::pin(answers) as BoxStream<'s, Answered>) })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.0.vote(request).await.map_err(unreachable)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, Tally>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let installed = self.0.install_full_snapshot(vote, snapshot).await;
        installed.map_err(|error| StreamingError::Unreachable(Unreachable::new(&error)))
    }
}

/// One run, on `threads` threads.
pub(crate) fn run(shape: Shape, threads: usize) -> Found {
    let mut runtime = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if threads > 1 {
        runtime.worker_threads(threads);
    }
    let runtime = runtime.enable_time().build().expect("a runtime");
    let found = runtime.block_on(async {
        let (leader, machines) = start().await;
        let (per_second, answered) = measure(shape, |number, clock| {
            let leader = leader.clone();
            let write = move |command| {
                let leader = leader.clone();
                write(leader, Command(command))
            };
            let task = tokio::spawn(client(number, shape.value_bytes, clock, write));
            async { task.await.expect("a client does not fail") }
        })
        .await;
        while machines.iter().any(|machine| locked(&machine.0).tally.applied < answered) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let states = machines.iter().map(|machine| locked(&machine.0).tally).collect();
        Found { per_second, answered, states }
    });
    runtime.shutdown_background();
    found
}

/// Writes until it is done: a leader that was not heard for a lease refuses at the door, and is given
/// a moment.
async fn write(leader: Node, command: Command) {
    loop {
        match leader.client_write(command.clone()).await {
            Ok(_) => return,
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => panic!("the leader answers: {error}"),
        }
    }
}

/// Three nodes, the first of them leading.
async fn start() -> (Node, Vec<Machine>) {
    let config = Config {
        election_timeout_min: 200,
        election_timeout_max: 2000,
        purge_batch_size: 1024,
        max_payload_entries: 1024,
        ..Config::default()
    };
    let config = Arc::new(config.validate().expect("a sound configuration"));
    let (table, mut machines) = (Table::default(), Vec::new());
    for id in 0..3 {
        let machine = Machine::default();
        let (config, table_, store) = (config.clone(), table.clone(), Store::default());
        let node = Node::new(id, config, table_, store, machine.clone()).await;
        locked(&table.0).insert(id, node.expect("a node starts"));
        machines.push(machine);
    }
    let leader = locked(&table.0)[&0].clone();
    leader.initialize(std::collections::BTreeSet::from([0, 1, 2])).await.expect("a first cluster");
    let nodes: Vec<Node> = locked(&table.0).values().cloned().collect();
    for node in nodes {
        let wait = node.wait(Some(Duration::from_secs(10)));
        wait.applied_index_at_least(Some(1), "it follows").await.expect("an election");
    }
    (leader, machines)
}
