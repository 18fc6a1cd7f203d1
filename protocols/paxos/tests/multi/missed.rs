//! Each rule that is taken out is missed: by the simulator, or where that takes too long by a story.

use synod_engine::Without;
use synod_paxos::multi::RULES;
use synod_sim::{Mix, Report, Transport};

use crate::simulation::{churn, run};

/// How to run.
#[derive(Clone, Copy)]
enum Where {
    Lossy,
    Crashy,
    Drifting,
    LossyChurn,
    CrashyChurn,
    /// By a story: see `leases.rs` and `membership.rs`.
    Told,
}

use Where::{Crashy, CrashyChurn, Drifting, Lossy, LossyChurn, Told};

/// Each rule, in their order, where it is missed, and in which seed.
const MISSED: [(&str, Where, u64); 25] = [
    ("ballot_is_unique_across_restarts", CrashyChurn, 7),
    ("promise_is_durable", Crashy, 0),
    ("accept_is_durable", Crashy, 0),
    ("promises_are_kept", Lossy, 0),
    ("majority_promises", Lossy, 0),
    ("own_ballot_only", Drifting, 3),
    ("highest_accepted_is_adopted", Crashy, 0),
    ("gaps_are_noops", Lossy, 26),
    ("majority_accepts", Crashy, 0),
    ("chosen_in_own_ballot_only", Lossy, 0),
    ("change_follows_chosen", Told, 0),
    ("window_closes_for_change", LossyChurn, 1),
    ("new_majority_holds_prefix", Told, 0),
    ("values_behind_change_are_asked_for_again", Told, 0),
    ("one_change_at_a_time", CrashyChurn, 0),
    ("both_majorities", CrashyChurn, 27),
    ("read_is_confirmed", Lossy, 0),
    ("read_after_adopted_is_chosen", Drifting, 1),
    ("read_answer_is_fresh", Lossy, 0),
    ("lease_is_kept", Told, 0),
    ("lease_outlives_restart", Told, 0),
    ("lease_counts_from_send", Told, 0),
    ("lease_allows_for_drift", Told, 0),
    ("handover_ends_lease", Told, 0),
    ("forwarded_once", Lossy, 0),
];

fn trial(place: Where, seed: u64, rules: Without) -> Option<Report> {
    let (sessions, datagrams) = (Transport::Sessions, Transport::Datagrams);
    match place {
        Lossy => Some(run(seed, Mix::LOSSY, datagrams, rules)),
        Crashy => Some(run(seed, Mix::CRASHY, sessions, rules)),
        Drifting => Some(run(seed, Mix::DRIFTING, sessions, rules)),
        LossyChurn => Some(churn(seed, Mix::LOSSY, datagrams, rules)),
        CrashyChurn => Some(churn(seed, Mix::CRASHY, sessions, rules)),
        Told => None,
    }
}

/// What the simulator draws may change; then the seeds before and after are tried as well.
#[test]
fn each_rule_taken_out_is_missed() {
    assert_eq!(MISSED.map(|(rule, ..)| rule), *RULES, "all rules, in their order");
    for (rule, place, known) in MISSED {
        let rules = Without::named(RULES, &[rule]).expect("a rule");
        let mut seeds = [known].into_iter().chain(0..200);
        let missed =
            seeds.find(|seed| trial(place, *seed, rules).is_none_or(|it| !it.verdict.is_sound()));
        assert!(missed.is_some(), "{rule} is not missed");
    }
}
