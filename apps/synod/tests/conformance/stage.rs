//! A cluster for a story: no faults but those of the story, a state machine that remembers lines, and
//! somebody who asks one thing after the other.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use synod::engines::Wired;
use synod::engines::knobs::LogKnobs;
use synod_consensus::{
    Contact, Index, Outcome, ReplicatedLog, RestoreError, Role, StateMachine, Status,
};
use synod_engine::{NodeId, Sound};
use synod_log::Part;
use synod_sim::replicated::{Answer, Call, Replica, Replicated};
use synod_sim::{ClientId, Mix, Outside, Plan, Sim, Workload};

/// Longest wait for anything, in virtual time: far beyond what any of it takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the asker looks for something to ask.
const BEAT: Duration = Duration::from_millis(1);
const ASKER: ClientId = ClientId(0);

/// Every line that was written, in order.
#[derive(Clone, Default)]
pub(crate) struct Lines(Vec<Bytes>);

impl StateMachine for Lines {
    type Response = usize;
    type Query = ();
    type Answer = Vec<Bytes>;
    type Frozen = Vec<Bytes>;

    fn apply(&mut self, _: Index, command: &[u8]) -> usize {
        self.0.push(Bytes::copy_from_slice(command));
        self.0.len()
    }

    fn read(&self, (): &()) -> Vec<Bytes> {
        self.0.clone()
    }

    fn freeze(&self) -> Vec<Bytes> {
        self.0.clone()
    }

    fn chunks(lines: &Vec<Bytes>) -> impl Iterator<Item = Bytes> {
        lines.clone().into_iter()
    }

    fn restore(&self, chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        Ok(Self(chunks.collect()))
    }
}

pub(crate) type Told = Answer<usize, Vec<Bytes>>;
/// The number of a question.
pub(crate) type Ticket = usize;

/// Asks what it is given to ask, and keeps the answers.
#[derive(Default)]
pub(crate) struct Asker {
    next: Ticket,
    waiting: Vec<(Ticket, NodeId, Call<()>)>,
    asked: BTreeMap<u64, Ticket>,
    answers: BTreeMap<Ticket, Told>,
    contacts: BTreeMap<NodeId, Contact>,
}

impl<L: ReplicatedLog> Workload<L, Replica<Lines>> for Asker {
    fn begin(&mut self, world: &mut Outside<'_, L, Replica<Lines>>) {
        for node in world.nodes().to_vec() {
            let incarnation = world.incarnation(node).expect("a node of this cluster");
            let (address, client_address) = (node.to_string(), String::new());
            self.contacts.insert(node, Contact { incarnation, address, client_address });
        }
        world.wake(ASKER, BEAT);
    }

    fn woken(&mut self, world: &mut Outside<'_, L, Replica<Lines>>, _: ClientId) {
        for (ticket, node, call) in self.waiting.drain(..) {
            self.asked.insert(world.call(ASKER, node, call), ticket);
        }
        world.wake(ASKER, BEAT);
    }

    fn answered(
        &mut self,
        _: &mut Outside<'_, L, Replica<Lines>>,
        _: ClientId,
        call: u64,
        answer: Told,
    ) {
        let ticket = self.asked[&call];
        assert_eq!(self.answers.insert(ticket, answer), None, "a call is answered once");
    }
}

/// The cluster of a story.
pub(crate) struct Stage<L: Wired> {
    pub(crate) sim: Sim<L, Replica<Lines>, L::Invariants, Asker>,
    count: u64,
}

impl<L: Wired<Rules = Sound>> Stage<L> {
    /// So many founders, and spares that may join them.
    pub(crate) fn new(founders: u64, spares: u64, knobs: &LogKnobs) -> Self {
        let count = founders + spares;
        let engines = (1..=count).map(|node| {
            let initial_voters = (node <= founders).then(|| (1..=founders).map(NodeId).collect());
            let part = Part { node: NodeId(node), initial_voters, incarnation: None };
            (NodeId(node), L::config(part, knobs, Sound))
        });
        let plan = Plan { mix: Mix::CALM, max_events: u64::MAX, ..Plan::default() };
        let app = Replicated::new(Lines::default());
        let sim = Sim::new(plan, engines, app, L::Invariants::default(), Asker::default());
        Self { sim: sim.with_wipes(L::after), count }
    }

    /// Three founders with the default knobs.
    pub(crate) fn of_three() -> Self {
        Self::new(3, 0, &LogKnobs::default())
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<L> {
        (1..=self.count).map(NodeId)
    }

    pub(crate) fn status(&self, node: NodeId) -> Status {
        self.sim.engine(node).expect("it is up").status()
    }

    /// Lets time pass; nothing may go wrong that must not.
    pub(crate) fn run_for(&mut self, time: Duration) {
        self.sim.run_for(time);
        self.check();
    }

    /// Runs until this is so.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = self.sim.now() + PATIENCE;
        while !done(self) {
            assert!(self.sim.now() < end, "it never came to this: {what}");
            self.run_for(BEAT);
        }
    }

    /// Nothing that must always hold was broken.
    #[track_caller]
    pub(crate) fn check(&self) {
        let verdict = self.sim.report().verdict;
        assert!(verdict.is_sound(), "{verdict}");
    }

    /// Who leads, among these, and knows it of itself.
    fn leader_among(&self, nodes: &[NodeId]) -> Option<NodeId> {
        let all = nodes.iter().filter_map(|node| Some(self.sim.engine(*node)?.status()));
        let leaders = all.filter(|status| status.role == Role::Leader);
        leaders.max_by_key(|status| status.epoch).map(|status| status.node)
    }

    /// Waits until one of these leads and has committed something in its epoch.
    #[track_caller]
    pub(crate) fn leader_of(&mut self, nodes: &[NodeId]) -> NodeId {
        self.until("one leads and the others follow", |stage| {
            stage.leader_among(nodes).is_some_and(|leader| {
                nodes.iter().filter_map(|node| stage.sim.engine(*node)).all(|engine| {
                    let status = engine.status();
                    status.leader == Some(leader) || status.members.member(status.node).is_none()
                })
            })
        });
        self.leader_among(nodes).expect("it was waited for")
    }

    /// Waits until a node leads and all others that are up follow it.
    #[track_caller]
    pub(crate) fn leader(&mut self) -> NodeId {
        let all: Vec<_> = self.nodes().collect();
        self.leader_of(&all)
    }

    /// How a node is known.
    pub(crate) fn contact(&self, node: NodeId) -> Contact {
        self.sim.workload().contacts[&node].clone()
    }

    /// Asks a node; the answer may never come.
    pub(crate) fn ask(&mut self, node: NodeId, call: Call<()>) -> Ticket {
        let asker = self.sim.workload_mut();
        let ticket = asker.next;
        asker.next += 1;
        asker.waiting.push((ticket, node, call));
        ticket
    }

    pub(crate) fn write_at(&mut self, node: NodeId, line: impl Into<String>) -> Ticket {
        self.ask(node, Call::Write(Bytes::from(line.into())))
    }

    /// What came back so far.
    pub(crate) fn answer(&self, ticket: Ticket) -> Option<&Told> {
        self.sim.workload().answers.get(&ticket)
    }

    /// Waits for what comes back.
    #[track_caller]
    pub(crate) fn answered(&mut self, ticket: Ticket) -> Told {
        self.until("an answer", |stage| stage.answer(ticket).is_some());
        self.answer(ticket).expect("it was waited for").clone()
    }

    /// Writes a line where it must succeed.
    #[track_caller]
    pub(crate) fn write(&mut self, node: NodeId, line: impl Into<String>) {
        let ticket = self.write_at(node, line);
        let told = self.answered(ticket);
        assert!(matches!(told, Answer::Written(Outcome::Done(_))), "{told:?}");
    }

    /// What a linearizable read finds at a node, where it must succeed in the end.
    #[track_caller]
    pub(crate) fn read(&mut self, node: NodeId) -> Vec<String> {
        let end = self.sim.now() + PATIENCE;
        loop {
            let ticket = self.ask(node, Call::Read(()));
            match self.answered(ticket) {
                Answer::Read(Outcome::Done(lines)) => {
                    let lines = lines.iter().map(|line| String::from_utf8_lossy(line));
                    return lines.map(Cow::into_owned).collect();
                }
                told => assert!(self.sim.now() < end, "{told:?}"),
            }
            self.run_for(10 * BEAT);
        }
    }

    /// Waits until every member has applied what its leader has committed.
    #[track_caller]
    pub(crate) fn settle(&mut self) -> NodeId {
        let leader = self.leader();
        self.until("all have applied everything", |stage| {
            let status = stage.status(leader);
            status.members.iter().all(|member| {
                let applied = stage.sim.app(member.node).map(Replica::applied);
                applied == Some(status.commit) && status.commit == status.last
            })
        });
        leader
    }
}
