//! A state machine above a log: nothing acknowledged is lost, and a log that breaks its word is
//! found out.

mod solo;

use std::time::Duration;

use bytes::Bytes;
use solo::{Bug, Solo};
use synod_consensus::{Index, Outcome, RestoreError, StateMachine};
use synod_engine::{NodeId, Violation};
use synod_sim::replicated::{Answer, Call, Replica, Replicated};
use synod_sim::{ClientId, Mix, Outside, Plan, Report, Sim, Swarm, Unchecked, Verdict, Workload};

/// Counts commands; in a snapshot, one piece per ten.
#[derive(Clone, Default)]
struct Count(u64);

impl StateMachine for Count {
    type Response = u64;
    type Query = ();
    type Answer = u64;
    type Frozen = u64;

    fn apply(&mut self, index: Index, _: &[u8]) -> u64 {
        self.0 += 1;
        assert_eq!(index.0, self.0, "every entry is a command");
        self.0
    }

    fn read(&self, (): &()) -> u64 {
        self.0
    }

    fn freeze(&self) -> u64 {
        self.0
    }

    fn chunks(count: &u64) -> impl Iterator<Item = Bytes> {
        let (tens, rest) = (count / 10, count % 10);
        (0..tens).map(|_| 10).chain([rest]).map(|part| Bytes::from(vec![part as u8]))
    }

    fn restore(&self, chunks: impl Iterator<Item = Bytes>) -> Result<Self, RestoreError> {
        Ok(Self(chunks.map(|piece| u64::from(piece[0])).sum()))
    }
}

/// One client, one call at a time: what it was told never gets less.
#[derive(Default)]
struct Client {
    call: u64,
    /// When it gives up waiting, and asks again.
    patience: Duration,
    told: u64,
    done: u64,
    problem: Option<String>,
}

type Told = Answer<u64, u64>;

impl Client {
    fn ask(&mut self, outside: &mut Outside<'_, Solo, Replica<Count>>) {
        let read = outside.dice().chance(300_000);
        let call = if read { Call::Read(()) } else { Call::Write(Bytes::from_static(b"one")) };
        self.call = outside.call(ClientId(0), NodeId(1), call);
        let patience = Duration::from_millis(200);
        self.patience = outside.now() + patience;
        outside.wake(ClientId(0), patience);
    }
}

impl Workload<Solo, Replica<Count>> for Client {
    fn begin(&mut self, outside: &mut Outside<'_, Solo, Replica<Count>>) {
        self.ask(outside);
    }

    fn woken(&mut self, outside: &mut Outside<'_, Solo, Replica<Count>>, _: ClientId) {
        if outside.now() >= self.patience {
            self.ask(outside);
        }
    }

    fn answered(
        &mut self,
        outside: &mut Outside<'_, Solo, Replica<Count>>,
        _: ClientId,
        call: u64,
        answer: Told,
    ) {
        let (Told::Written(outcome) | Told::Read(outcome)) = answer else {
            panic!("nobody asked for another thing")
        };
        if let (Outcome::Done(count), true) = (outcome, call == self.call) {
            if count < self.told {
                let detail = format!("{count} after {}", self.told);
                self.problem.get_or_insert(detail);
            }
            self.told = count;
            self.done += 1;
            self.ask(outside);
        }
    }

    fn finish(&mut self) -> Verdict {
        let broken =
            |detail| Verdict::Violated(Violation { invariant: "counts never fall", detail });
        self.problem.take().map_or(Verdict::Sound, broken)
    }
}

type Cluster = Sim<Solo, Replica<Count>, Unchecked, Client>;

fn run(seed: u64, mix: Mix, bug: Bug) -> (Report, Cluster) {
    let lag = Duration::from_millis(if seed.is_multiple_of(2) { 0 } else { 5 });
    let app = Replicated { lag, cancel_ppm: 100_000, ..Replicated::new(Count::default()) };
    let plan = Plan { seed, mix, max_events: 5_000, ..Plan::default() };
    let nodes = [(NodeId(1), bug)];
    let mut sim = Cluster::new(plan, nodes, app, Unchecked, Client::default());
    (sim.run(), sim)
}

#[test]
fn what_was_acknowledged_outlives_every_crash() {
    for mix in [Mix::CALM, Mix::DEFAULT, Mix::LOSSY, Mix::CRASHY, Mix::SLOW_DISKS] {
        let summary = Swarm::new(0..40).run(|seed| run(seed, mix.clone(), Bug::None).0);
        assert!(summary.failures.is_empty(), "{}: {summary}", mix.name);
        assert!(summary.missed(&["snapshot taken"]).is_empty(), "{}", mix.name);
    }
    let summary = Swarm::new(0..40).run(|seed| run(seed, Mix::CRASHY, Bug::None).0);
    let points = ["snapshot installed", "crash between write and sync", "crash of the leader"];
    assert_eq!(summary.missed(&points), Vec::<&str>::new());
    assert!(run(1, Mix::CALM, Bug::None).1.workload().done > 500, "calls are answered");
}

#[test]
fn a_log_that_breaks_its_word_is_found_out() {
    for (bug, invariant) in [
        (Bug::Gap, "committed entries come without a gap"),
        (Bug::Twice, "every request ends once"),
        (Bug::EarlyRead, "a read is ready after its index is applied"),
    ] {
        let verdict = run(0, Mix::CALM, bug).0.verdict;
        let found =
            matches!(&verdict, Verdict::Violated(violation) if violation.invariant == invariant);
        assert!(found, "{bug:?}: {verdict}");
    }
}

#[test]
fn acknowledging_before_the_disk_and_a_disk_that_lies_are_found_out() {
    let found = |mix: &Mix, bug| {
        (0..100).filter(|seed| !run(*seed, mix.clone(), bug).0.verdict.is_sound()).count()
    };
    assert!(found(&Mix::CRASHY, Bug::NotHeld) > 10);
    assert!(found(&Mix::LYING_DISK, Bug::None) > 10);
}

#[test]
fn only_the_blob_that_the_newest_checkpoint_names_is_kept() {
    let (report, sim) = run(0, Mix::CALM, Bug::None);
    assert!(report.sometimes.count("snapshot taken") > 10);
    assert!(sim.blobs(NodeId(1)) <= 2, "the newest, and one that is being adopted");
    let last = sim.engine(NodeId(1)).unwrap().snapshot.unwrap();
    assert!(sim.app(NodeId(1)).unwrap().applied() >= last.index);
}
