//! Equal seeds give equal runs, and a run can be replayed from what it drew.

mod toy;

use synod_sim::{Chance, Decisions, Dice, Mix, Plan, Report, Sim, Transport};
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
