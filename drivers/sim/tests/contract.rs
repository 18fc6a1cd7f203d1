//! The driver keeps the contract: durability before promises, order in lanes, sessions that end.

mod toy;

use std::time::Duration;

use bytes::Bytes;
use synod_engine::{Blob, LinkState, NodeId, TaskId, Token};
use synod_sim::{App, Caller, Desk, Mix, Plan, Sim, Transport, Unchecked, Verdict};
use toy::{Ask, Promises, Toy};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const C: NodeId = NodeId(3);
const SECOND: Duration = Duration::from_secs(1);

/// Three nodes that do nothing unless asked, in a calm world.
fn calm() -> Sim<Toy, (), Unchecked, ()> {
    let plan = Plan { mix: Mix::CALM, trace: true, ..Plan::default() };
    let mut sim = Sim::new(plan, toy::idle(3), (), Unchecked, ());
    sim.run_for(SECOND);
    sim
}

fn plan(seed: u64, mix: Mix) -> Plan {
    Plan { seed, mix, ..Plan::default() }
}

fn run(plan: Plan) -> synod_sim::Report {
    let promises =
        Promises { ordered: plan.transport == Transport::Sessions, ..Promises::default() };
    Sim::<Toy, (), _, _>::new(plan, toy::configs(3), (), promises, ()).run()
}

#[test]
fn a_disk_that_never_syncs_leaks_nothing_held() {
    let mut sim = calm();
    sim.never_sync(A);
    for number in 1..=9 {
        sim.request(A, Token(number), Ask::Keep(number));
    }
    sim.run_for(60 * SECOND);
    assert_eq!(sim.engine(A).unwrap().kept.len(), 9);
    assert!(sim.engine(A).unwrap().durable.is_empty(), "it told itself");
    assert!(sim.engine(B).unwrap().promised.is_empty(), "it promised others");
    sim.calm();
    sim.run_for(SECOND);
    assert_eq!(sim.engine(A).unwrap().durable, (1..=9).collect::<Vec<_>>());
    assert_eq!(sim.engine(B).unwrap().promised.len(), 9);
}

#[test]
fn a_disk_that_stalls_holds_promises_back_and_nothing_else() {
    let mut configs = toy::configs(3);
    configs.iter_mut().for_each(|(_, config)| config.keep_every = 0);
    let plan = Plan { mix: Mix::CALM, ..Plan::default() };
    let mut sim = Sim::<Toy, (), _, _>::new(plan, configs, (), Unchecked, ());
    sim.run_for(SECOND);
    sim.stall_disk(A, 5 * SECOND);
    sim.request(A, Token(1), Ask::Keep(1));
    let pings = sim.engine(B).unwrap().pinged;
    sim.run_for(Duration::from_millis(4_900));
    assert!(sim.engine(B).unwrap().promised.is_empty());
    assert!(sim.engine(B).unwrap().pinged > pings + 400, "pings go out now");
    sim.run_for(SECOND);
    assert_eq!(sim.engine(B).unwrap().promised.len(), 1);
}

#[test]
fn a_crash_takes_what_was_not_synced_and_nothing_more() {
    let mut sim = calm();
    sim.request(A, Token(1), Ask::Keep(1));
    sim.run_for(SECOND);
    sim.never_sync(A);
    for number in 2..=5 {
        sim.request(A, Token(number), Ask::Keep(number));
    }
    sim.crash(A);
    assert!(sim.engine(A).is_none());
    sim.restart(A);
    let kept = &sim.engine(A).unwrap().kept;
    assert!(!kept.is_empty() && kept.len() <= 5);
    assert_eq!(*kept, (1..=kept.len() as u64).collect::<Vec<_>>(), "a prefix survives");
}

#[test]
fn a_session_that_loses_a_message_ends_for_both_and_a_new_one_begins() {
    let mut sim = calm();
    let link = |sim: &Sim<Toy, (), _, ()>, at, to| sim.engine(at).unwrap().links[&to];
    assert_eq!(link(&sim, A, B), (LinkState::Opened, 1));
    sim.isolate(&[A]);
    sim.request(A, Token(1), Ask::Keep(1));
    sim.run_for(SECOND);
    assert_eq!(link(&sim, A, B), (LinkState::Closed, 2));
    assert_eq!(link(&sim, B, A), (LinkState::Closed, 2));
    assert_eq!(link(&sim, B, C), (LinkState::Opened, 1));
    sim.heal();
    sim.run_for(SECOND);
    assert_eq!(link(&sim, A, B), (LinkState::Opened, 3));
    assert_eq!(link(&sim, B, A), (LinkState::Opened, 3));
    assert!(sim.engine(B).unwrap().promised.is_empty(), "what was lost stays lost");
}

#[test]
fn held_sends_die_with_the_session_they_were_meant_for() {
    let mut sim = calm();
    sim.stall_disk(A, 3 * SECOND);
    sim.request(A, Token(1), Ask::Keep(1));
    sim.crash(B);
    sim.restart(B);
    sim.run_for(2 * SECOND);
    assert_eq!(sim.engine(B).unwrap().links[&A].0, LinkState::Opened);
    sim.run_for(5 * SECOND);
    assert!(sim.engine(B).unwrap().promised.is_empty(), "sent in the old session");
    assert_eq!(sim.engine(C).unwrap().promised.len(), 1);
}

#[test]
fn lanes_are_in_order_and_promises_durable_under_every_fault() {
    for mix in Mix::NAMED.iter().filter(|mix| mix.name != "lying-disk") {
        for seed in 0..30 {
            let report = run(plan(seed, mix.clone()));
            assert!(report.verdict.is_sound(), "{}: {report}", mix.name);
            let datagrams = Transport::Datagrams;
            let report = run(Plan { transport: datagrams, ..plan(seed, mix.clone()) });
            assert!(report.verdict.is_sound(), "{} as datagrams: {report}", mix.name);
        }
    }
}

#[test]
fn a_disk_that_lies_is_found_out() {
    let found = (0..20).filter(|seed| !run(plan(*seed, Mix::LYING_DISK)).verdict.is_sound());
    assert!(found.count() > 10);
}

/// Writes a blob when its node starts, and keeps what arrives.
struct Porter {
    blob: Blob,
    written: bool,
}

const CARGO: &[u8] = b"cargo";

impl App<Toy> for Porter {
    type Config = ();
    type Call = ();
    type Answer = ();

    fn start((): &(), desk: &mut Desk<'_, Toy, Self>) -> Self {
        let blob = desk.write_blob([Bytes::from_static(CARGO)]);
        Self { blob, written: false }
    }

    fn written(&mut self, desk: &mut Desk<'_, Toy, Self>, blob: Blob) {
        assert_eq!(blob, self.blob);
        assert!(desk.blob(blob).is_some());
        self.written = true;
    }

    fn event(&mut self, desk: &mut Desk<'_, Toy, Self>, event: toy::Event) {
        if let toy::Event::Carried(blob) = event {
            let pieces = desk.blob(blob).expect("an attachment is there before its message");
            assert_eq!(pieces[0], CARGO);
        }
    }

    fn task(&mut self, _: &mut Desk<'_, Toy, Self>, _: TaskId, (): ()) {}
    fn call(&mut self, _: &mut Desk<'_, Toy, Self>, _: Caller, (): ()) {}
}

fn porters() -> Sim<Toy, Porter, Unchecked, ()> {
    let plan = Plan { mix: Mix::CALM, ..Plan::default() };
    Sim::new(plan, toy::idle(3), (), Unchecked, ())
}

#[test]
fn an_attachment_is_durable_at_the_receiver_before_its_message() {
    let mut sim = porters();
    sim.run_for(SECOND);
    assert!(sim.app(A).unwrap().written);
    let blob = sim.app(A).unwrap().blob;
    sim.request(A, Token(1), Ask::Carry(B, blob));
    sim.run_for(SECOND);
    assert_eq!(sim.engine(B).unwrap().carried, [blob]);
}

#[test]
fn a_message_whose_attachment_is_gone_is_lost_with_its_session() {
    let mut sim = porters();
    sim.run_for(SECOND);
    let gone = Blob { id: 1, size_bytes: 5, checksum: 0 };
    sim.request(A, Token(1), Ask::Carry(B, gone));
    sim.run_for(SECOND);
    assert!(sim.engine(B).unwrap().carried.is_empty());
    assert_eq!(sim.engine(B).unwrap().links[&A].1, 3, "closed, and opened again");
}

#[test]
fn a_blob_is_written_when_the_disk_works_and_lost_in_a_crash_before() {
    let mut sim = porters();
    sim.never_sync(A);
    sim.run_for(10 * SECOND);
    assert!(!sim.app(A).unwrap().written);
    assert!(sim.app(B).unwrap().written);
    let first = sim.app(A).unwrap().blob;
    sim.crash(A);
    sim.restart(A);
    sim.calm();
    sim.run_for(SECOND);
    let second = sim.app(A).unwrap();
    assert!(second.written && second.blob.id != first.id);
    sim.request(A, Token(1), Ask::Carry(B, first));
    sim.run_for(SECOND);
    assert!(sim.engine(B).unwrap().carried.is_empty(), "the first was never durable");
}

#[test]
fn a_blob_that_no_record_names_goes_when_its_node_restarts() {
    let mut sim = porters();
    sim.run_for(SECOND);
    let orphan = sim.app(A).unwrap().blob;
    sim.crash(A);
    sim.restart(A);
    assert_eq!(sim.blobs(A), 0);
    sim.run_for(SECOND);
    assert_eq!(sim.blobs(A), 1);
    assert_ne!(sim.app(A).unwrap().blob, orphan);
}

#[test]
fn a_paused_node_takes_in_late_what_came_in_order() {
    let mut sim = calm();
    sim.pause(B, 3 * SECOND);
    for number in 1..=9 {
        sim.request(A, Token(number), Ask::Keep(number));
    }
    sim.run_for(2 * SECOND);
    assert!(sim.engine(B).unwrap().promised.is_empty());
    assert_eq!(sim.engine(C).unwrap().promised.len(), 9);
    sim.run_for(2 * SECOND);
    assert_eq!(sim.engine(B).unwrap().promised.len(), 9);
    assert_eq!(sim.engine(B).unwrap().links[&A], (LinkState::Opened, 1));
}

#[test]
fn in_one_direction_silence_is_one_sided() {
    let mut configs = toy::configs(2);
    configs.iter_mut().for_each(|(_, config)| config.keep_every = 0);
    let plan = Plan { mix: Mix::CALM, transport: Transport::Datagrams, ..Plan::default() };
    let mut sim = Sim::<Toy, (), _, _>::new(plan, configs, (), Unchecked, ());
    sim.run_for(SECOND);
    sim.silence(&[A]);
    sim.run_for(SECOND);
    let heard = |sim: &Sim<Toy, (), _, ()>, at| sim.engine(at).unwrap().pinged;
    let before = (heard(&sim, A), heard(&sim, B));
    sim.run_for(SECOND);
    assert_eq!(heard(&sim, B), before.1);
    assert!(heard(&sim, A) > before.0 + 40);
}

#[test]
fn a_crash_leaves_every_prefix_of_what_was_not_synced() {
    let mut left = [0; 5];
    for seed in 0..200 {
        let plan = Plan { mix: Mix::CALM, seed, ..Plan::default() };
        let mut sim = Sim::<Toy, (), _, _>::new(plan, toy::idle(1), (), Unchecked, ());
        sim.run_for(SECOND);
        sim.stall_disk(A, SECOND);
        (1..=4).for_each(|number| sim.request(A, Token(number), Ask::Keep(number)));
        sim.crash(A);
        sim.restart(A);
        left[sim.engine(A).unwrap().kept.len()] += 1;
    }
    assert!(left.iter().all(|times| *times > 5), "{left:?}");
}

#[test]
fn a_batch_is_some_inputs_and_a_flush() {
    let mut sim = calm();
    sim.pause(B, SECOND);
    (1..=50).for_each(|number| sim.request(A, Token(number), Ask::Keep(number)));
    sim.run_for(3 * SECOND);
    for node in [A, B, C] {
        let engine = sim.engine(node).unwrap();
        assert!(!engine.dirty, "{node} was left without a flush");
    }
}

#[test]
fn a_panic_of_the_engine_is_a_verdict_and_leaves_the_trace() {
    let plan = Plan { mix: Mix::CALM, trace: true, ..Plan::default() };
    let mut sim = Sim::<Toy, (), _, _>::new(plan, toy::configs(2), (), Unchecked, ());
    sim.request_after(SECOND, A, Token(1), Ask::Panic);
    let report = sim.run();
    assert_eq!(report.verdict, Verdict::Panicked("asked to".to_owned()));
    assert!(sim.trace().unwrap().contains("request #1 Panic"));
}
