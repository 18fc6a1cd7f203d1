//! What every replicated log promises, told once and run on each engine: stories with one thing going
//! wrong at a time ([`stories`]), and batches of random runs with everything going wrong ([`batches`]).
//!
//! An engine that is added gets a line at the end of this file.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on has failed")]

mod batches;
mod stage;
mod stories;

/// A module of tests for an engine, each of a function of that name which takes the engine.
macro_rules! conform {
    ($engine:ident, $Log:ty) => {
        mod $engine {
            conform!(@ $Log: stories:
                a_write_is_read_at_every_member,
                nothing_acknowledged_is_lost_with_the_leader,
                all_crash_and_everything_is_there,
                a_leader_that_is_cut_off_answers_nothing_and_the_others_go_on,
                a_slow_disk_costs_no_leadership,
                what_no_majority_has_on_disk_is_not_acknowledged,
                who_comes_late_gets_a_snapshot,
                a_member_that_was_down_catches_up_from_the_log,
                members_come_and_go,
                leadership_is_handed_over,
                what_cannot_be_is_refused,
                a_leader_alone_refuses_what_it_cannot_keep,
                a_log_is_shortened_when_the_disk_is_short,
            );

            #[test]
            fn random_runs_are_sound_and_reach_the_interesting_points() {
                crate::batches::are_sound_and_reach_the_points(stringify!($engine));
            }

            #[test]
            fn the_same_seed_gives_the_same_trace() {
                crate::batches::repeat_to_the_byte(stringify!($engine));
            }

            #[test]
            fn a_log_of_decisions_replays_its_run() {
                crate::batches::replay_from_decisions(stringify!($engine));
            }

            #[test]
            fn a_snapshot_without_the_sessions_is_found() {
                crate::batches::find_lost_sessions(stringify!($engine));
            }

            #[test]
            fn a_disk_that_lies_is_found() {
                crate::batches::find_a_lying_disk(stringify!($engine));
            }
        }
    };
    (@ $Log:ty: stories: $($story:ident),+ $(,)?) => {
        $(
            #[test]
            fn $story() {
                crate::stories::$story::<$Log>();
            }
        )+
    };
}

conform!(raft, synod_raft::Raft);
conform!(paxos, synod_paxos::multi::MultiPaxos);
conform!(zab, synod_zab::Zab);
