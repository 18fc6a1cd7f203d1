//! The stories that are told on every engine, in real processes; and that a directory and a peer of another
//! engine are refused.

use rustix::process::Signal;
use synod::engines::EngineName;
use synod_consensus::Role;

use crate::cluster::{Cluster, until};

/// A module of tests for an engine, each of a function of that name which takes the engine.
macro_rules! tell {
    ($module:ident, $name:expr) => {
        mod $module {
            use synod::engines::EngineName;

            tell!(@ $name, crashes:
                killing_the_leader_loses_nothing_and_writes_go_on,
                a_cluster_that_was_killed_whole_comes_back_with_everything,
                a_node_that_is_asked_to_stop_ends_well_and_comes_back,
                a_suspended_leader_is_replaced_and_answers_nothing_stale,
                a_minority_answers_an_error_within_the_deadline,
            );
            tell!(@ $name, partitions:
                a_leader_that_is_cut_off_is_replaced_and_answers_nothing_stale,
                a_leader_that_is_not_heard_is_replaced,
                a_leader_that_hears_nobody_is_replaced,
                a_follower_that_is_cut_off_costs_neither_writes_nor_the_leader,
                a_chain_with_the_leader_at_its_end_keeps_its_leader,
                a_leader_that_is_suspended_while_it_is_cut_off_wakes_up_replaced,
            );
            tell!(@ $name, churn:
                members_and_leaders_change_under_load_while_partitions_come_and_go,
            );
            tell!(@ $name, members:
                a_founder_is_replaced_under_load_and_nothing_is_lost,
                all_founders_are_replaced_one_after_another_under_load_and_nothing_is_lost,
                a_wish_that_is_fulfilled_may_be_repeated_and_nonsense_is_refused,
                leadership_moves_under_load_and_nothing_is_lost,
            );
            tell!(@ $name, modes:
                with_forwarding_a_follower_takes_writes_for_its_leader,
            );
            tell!(@ $name, repair:
                a_node_with_a_damaged_log_comes_back_as_a_newcomer_that_nobody_counts,
                a_founder_whose_directory_was_removed_is_heard_by_nobody_until_it_is_repaired,
                a_damaged_or_missing_snapshot_is_told_and_repaired,
            );
            tell!(@ $name, torture:
                a_cluster_survives_torture_and_the_torture_goes_on_where_it_ended,
            );
            tell!(@ $name, watches:
                watchers_are_told_everything_once_while_nodes_are_killed,
            );
        }
    };
    (@ $name:expr, $file:ident: $($story:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $story() {
                crate::$file::$story($name).await;
            }
        )*
    };
}

tell!(raft, EngineName::Raft);
tell!(paxos, EngineName::Paxos);
tell!(zab, EngineName::Zab);

#[tokio::test]
async fn a_directory_and_a_peer_of_another_engine_are_refused() {
    let mut cluster = Cluster::make_on(EngineName::Paxos, 3, "");
    let rewrite = |cluster: &Cluster, from: &str, to: &str| {
        let file = cluster.config(3);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(from, to)).unwrap();
    };
    cluster.run_all();
    cluster.ready().await;
    cluster.kill(3);
    rewrite(&cluster, "\"paxos\"", "\"zab\"");
    cluster.run(3);
    assert_eq!(cluster.ended(3).await, Some(6));
    let file = cluster.path("node3.log");
    let log = || std::fs::read_to_string(&file).unwrap();
    assert!(log().contains("was written by paxos, and zab cannot read it"), "{}", log());

    // In an empty directory it starts, and nobody hears it.
    std::fs::remove_dir_all(cluster.path("node3")).unwrap();
    cluster.run(3);
    until("it is refused", async || log().contains("it runs another engine").then_some(())).await;
    let leads = cluster.status(3).await.is_some_and(|report| report.log.role == Role::Leader);
    assert!(!leads, "it is alone");
    cluster.signal(3, Signal::TERM);
    assert_eq!(cluster.ended(3).await, Some(0));
    let put = cluster.synod(&["kv", "put", "k", "v"]);
    assert_eq!(put.code, Some(0), "{put:?}");
}
