//! Equal seeds give equal runs, and a run can be replayed from what it drew.

mod toy;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use synod_sim::{
    Chance, ClientId, Decisions, Dice, Mix, Outside, Plan, Report, Sim, Step, Transport, Workload,
    parting,
};
use toy::{Promises, Toy};

fn run(plan: Plan) -> (Report, String, Option<Decisions>) {
    let mut sim = Sim::<Toy, (), _, _>::new(plan, toy::configs(4), (), Promises::default(), ());
    let report = sim.run();
    (report, sim.trace().unwrap_or_default().to_owned(), sim.decisions("toy nodes=4"))
}

fn plan(seed: u64, mix: Mix) -> Plan {
    Plan { seed, mix, max_events: 2_000, trace: true, ..Plan::default() }
}

#[test]
fn the_same_seed_gives_the_same_trace_to_the_byte() {
    for mix in Mix::NAMED {
        let (report, trace, _) = run(plan(7, mix.clone()));
        let (again, same, _) = run(plan(7, mix.clone()));
        assert_eq!(report, again);
        assert!(trace == same, "{}: traces differ", mix.name);
        let (other, _, _) = run(plan(8, mix));
        assert_ne!(report.trace_hash, other.trace_hash);
    }
}

#[test]
fn a_trace_that_is_written_changes_nothing() {
    let (written, trace, _) = run(plan(3, Mix::DEFAULT));
    let (silent, nothing, _) = run(Plan { trace: false, ..plan(3, Mix::DEFAULT) });
    assert_eq!(written, silent);
    assert!(trace.lines().count() > 2_000 && nothing.is_empty());
}

#[test]
fn a_run_is_replayed_from_its_decisions_alone() {
    for (seed, mix) in (0..).zip(Mix::NAMED) {
        for transport in [Transport::Sessions, Transport::Datagrams] {
            let plan = Plan { transport, ..plan(seed, mix.clone()) };
            let (drawn, trace, none) = run(plan.clone());
            assert!(none.is_none());
            let (recorded, _, log) = run(Plan { chance: Chance::Recorded, ..plan.clone() });
            assert_eq!(drawn, recorded);
            let log: Decisions = log.unwrap().to_string().parse().unwrap();
            let chance = Chance::Replayed(log);
            let (replayed, same, _) = run(Plan { chance, seed: 999, ..plan });
            assert_eq!(drawn, replayed);
            assert!(trace == same, "{}: traces differ", mix.name);
        }
    }
}

#[test]
fn a_log_that_is_cut_off_goes_on_calmly() {
    let plan = plan(5, Mix::CRASHY);
    let (loud, _, log) = run(Plan { chance: Chance::Recorded, ..plan.clone() });
    let mut log = log.unwrap();
    log.streams.iter_mut().skip(1).for_each(|draws| draws.truncate(20));
    let (calmer, _, _) = run(Plan { chance: Chance::Replayed(log), ..plan });
    assert!(calmer.verdict.is_sound());
    assert!(calmer.counts.lost < loud.counts.lost);
}

#[test]
fn dice_replay_what_they_recorded() {
    let roll = |dice: &mut Dice| {
        let rolls: Vec<u64> = (1..50).map(|bound| dice.below(bound)).collect();
        (rolls, dice.chance(500_000), dice.between(7, 9), dice.bits(), dice.chance(0))
    };
    let mut recording = Dice::recording(11);
    let rolled = roll(&mut recording);
    assert_eq!(roll(&mut Dice::new(11)), rolled);
    assert_eq!(roll(&mut Dice::replaying(recording.recorded().unwrap().to_vec())), rolled);
}

/// A client that looks at something outside of the run, once.
struct Peeping<'a>(&'a AtomicU64);

impl Workload<Toy, ()> for Peeping<'_> {
    fn begin(&mut self, outside: &mut Outside<'_, Toy, ()>) {
        outside.wake(ClientId(7), Duration::from_secs(3));
    }

    fn woken(&mut self, outside: &mut Outside<'_, Toy, ()>, client: ClientId) {
        let seen = self.0.fetch_add(1, Ordering::Relaxed);
        outside.wake(client, Duration::from_secs(1 + seen));
    }

    fn answered(&mut self, _: &mut Outside<'_, Toy, ()>, _: ClientId, _: u64, (): ()) {}
}

#[test]
fn a_run_that_looks_outside_is_told_from_itself_where_it_parts() {
    let shared = AtomicU64::new(0);
    let steps = |seen: &AtomicU64| -> Vec<Step> {
        let plan = Plan { keep_steps: true, max_events: 20_000, ..plan(1, Mix::DEFAULT) };
        let mut sim = Sim::new(plan, toy::configs(4), (), Promises::default(), Peeping(seen));
        sim.run();
        sim.steps()
    };
    let (one, two) = (steps(&shared), steps(&shared));
    let same = one.iter().zip(&two).take_while(|(one, two)| one == two).count();
    assert!(one[same].at > Duration::from_secs(3) && one.len() > 1_000);
    let told = parting(&one, &two).unwrap();
    assert!(told.starts_with(&format!("step {} is", same + 1)), "{told}");
    assert_eq!(parting(&steps(&AtomicU64::new(0)), &steps(&AtomicU64::new(0))), None);
    assert_eq!(parting(&one, &one[..9]).unwrap(), format!("step 10 is {} or the end", one[9]));
}
