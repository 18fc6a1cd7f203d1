//! Scripts that pass, and scripts that fail with an error that helps, on Raft.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use synod_consensus::{Batch, Epoch, Membership};
use synod_engine::{NodeId, Without};
use synod_raft::{Checkpoint, Config, HardState, Invariants, RULES, Raft, Record};
use synod_script::{Options, ScriptError, Subject, compare, rewrite};
use tempfile::TempDir;

/// Raft, with a rule taken out where a script says `one_vote=0`.
struct Broken;

impl Subject for Broken {
    type Log = Raft<Without>;
    type Invariants = Invariants;

    fn config(
        node: NodeId,
        nodes: &[NodeId],
        options: &Options,
    ) -> Result<Config<Without>, String> {
        let mut missing = Vec::new();
        for (name, value) in options {
            match (name.as_str(), value) {
                ("one_vote", 0) => missing.push("one_vote_per_term"),
                _ => return Err(format!("there is no option {name:?}")),
            }
        }
        let rules = Without::named(RULES, &missing).map_err(|error| error.to_string())?;
        Ok(Config::with_rules(node, nodes.iter().copied(), rules))
    }

    fn lived(nodes: &[NodeId], epoch: Epoch, entries: Vec<Batch>) -> Vec<Record> {
        let born = Record::Checkpoint(Checkpoint {
            hard: HardState { term: epoch, vote: None },
            members: Arc::new(Membership::founded_by(&nodes.iter().copied().collect())),
            snapshot: None,
            keeps: 0,
        });
        std::iter::once(born).chain(entries.into_iter().map(Record::Entries)).collect()
    }

    fn entries(raft: &Raft<Without>) -> Vec<Batch> {
        let log = raft.log();
        log.range(log.base().index.next(), log.last().index).collect()
    }
}

const GOOD: &str = "\
# A script that says what happens.

nodes 1
----
ok

propose n1 a
show
----
n1 writes entries 2@1
n1 committed 2@1: a (#1)
n1: leader t1 of n1 vote n1 log (0@0)..2@1 commit 2 applied 2 [1 1]
";

/// A file with this text; it is gone with the folder.
fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let path = folder.path().join("script.txt");
    fs::write(&path, text).expect("a file for tests");
    (folder, path)
}

fn error(text: &str) -> ScriptError {
    let (_folder, path) = file(text);
    let error = compare::<Broken>(&path).expect_err("a script that fails");
    assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some(text), "nothing was written");
    error
}

#[test]
fn a_script_that_says_what_happens_passes_and_is_not_rewritten() {
    let (_folder, path) = file(GOOD);
    compare::<Broken>(&path).unwrap();
    rewrite::<Broken>(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), GOOD);
}

#[test]
fn a_script_that_says_something_else_is_told_where_and_what() {
    let error = error(&GOOD.replace("committed 2@1", "committed 3@1"));
    let ScriptError::Differs { line, diff, .. } = &error else { panic!("{error}") };
    assert_eq!(*line, 11);
    assert!(diff.starts_with("- n1 committed 3@1: a (#1)\n"), "{diff}");
    assert!(diff.contains("\n+ n1 committed 2@1: a (#1)\n"), "{diff}");
    assert!(error.to_string().contains("SYNOD_REWRITE=1"));
}

#[test]
fn commands_alone_are_completed() {
    let commands: String = GOOD
        .split("\n\n")
        .map(|block| format!("{}\n\n\n", block.split("----").next().unwrap().trim()))
        .collect();
    let (_folder, path) = file(&commands);
    rewrite::<Broken>(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), GOOD);
}

#[test]
fn a_line_that_makes_no_sense_is_named_with_the_reason() {
    for (line, reason) in [
        ("wait 5", "wait takes a time, as in 500ms"),
        ("chain n1", "chain takes nodes in a row"),
        ("star n7", "there is no n7"),
        ("join n1", "there is n1 already"),
        ("change n1", "change takes a node and wishes, as in add n4"),
        ("change n1 add", "change takes a node and wishes, as in add n4"),
        ("cut n1->n7", "there is no such link"),
        ("resume n5", "there is no n5"),
        ("jump n1", "there is no command \"jump\""),
        ("quiet", "quiet what?"),
        ("nodes 2", "there are nodes already"),
        ("crash 1", "\"1\" is no node; nodes are n1, n2, …"),
        ("crash n9", "there is no n9"),
        ("restart n1", "n1 is up"),
        ("tick n1 lunch", "which timer? n1 has set ["),
        ("deliver n1", "n1: a link is n1->n2"),
        ("deliver n2->n1", "nothing like that is in flight"),
        ("drop n1->n2 #0", "#0 is before the first message"),
        ("snapshot n1", "n1 has not asked for a snapshot"),
        ("settle down", "\"down\" is no node"),
        ("heal n1", "n1 is too much"),
        ("expect n1", "expect takes nodes and facts"),
        ("expect n1 king", "there is no fact \"king\""),
        ("expect n1 commit=x", "\"x\" is not a number"),
        ("given n1 log=1", "given takes a node, epoch=2 and log=1,1,2"),
        ("propose n1", "propose takes a node and commands"),
    ] {
        let error = error(&format!("nodes 2\n\n{line}\n"));
        let ScriptError::Command { line: 3, what, .. } = &error else { panic!("{line}: {error}") };
        assert!(what.starts_with(reason), "{line}: {what}");
    }
    let error = error("nodes 3 colour=7\n");
    assert!(error.to_string().ends_with("script.txt:1: there is no option \"colour\""), "{error}");
}

#[test]
fn what_is_expected_must_hold_even_when_rewriting() {
    let text = GOOD.replace("show\n----", "expect n1 leader commit=3\n----");
    let (_folder, path) = file(&text);
    let error = rewrite::<Broken>(&path).expect_err("an expectation that fails");
    let ScriptError::Broken { line: 8, what, .. } = &error else { panic!("{error}") };
    assert!(what.starts_with("n1: expected commit=3, found commit=2"), "{what}");
    assert!(what.contains("n1 committed 2@1: a (#1)"), "what led to it: {what}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "nothing was written");
}

#[test]
fn a_broken_invariant_fails_the_script_at_its_line() {
    const SPLIT: &str = "\
quiet tick n1 election
quiet tick n2 election
quiet deliver n1->n3
quiet deliver n2->n3
quiet deliver n3->*
quiet deliver n1->n3
quiet deliver n2->n3
";
    let (_folder, path) = file(&format!("nodes 3\n\n{SPLIT}"));
    rewrite::<Broken>(&path).unwrap();
    let error = error(&format!("nodes 3 one_vote=0\n\n{SPLIT}"));
    let ScriptError::Broken { line: 9, what, .. } = &error else { panic!("{error}") };
    assert!(what.starts_with("One Vote Per Term is violated"), "{what}");
}

#[test]
fn a_crash_takes_what_a_held_disk_had_not_synced() {
    let script = "\
nodes 1

hold n1
propose n1 a
expect n1 last=2 commit=1

sync n1
expect n1 commit=2 applies=a

propose n1 b
crash n1
expect n1 down

restart n1
expect n1 last=2

release n1
expect n1 leader epoch=2 commit=3 applies=a
";
    let (_folder, path) = file(script);
    rewrite::<Broken>(&path).unwrap();
}

/// The last lines that these commands say, on three nodes of which n1 leads.
fn said(commands: &str) -> String {
    let text = format!("nodes 3\nquiet tick n1 election\nquiet settle\n\n{commands}\n");
    let (_folder, path) = file(&text);
    rewrite::<Broken>(&path).expect("commands that make sense");
    let text = fs::read_to_string(&path).expect("what was written");
    text.rsplit("----\n").next().expect("a last part").to_owned()
}

/// How often n1 speaks to this node, and how much of it is lost.
fn spoken(said: &str, to: &str) -> (usize, usize) {
    let lines = said.lines().filter(|line| line.starts_with(&format!("n1 -> {to} Heartbeat")));
    let lines: Vec<_> = lines.collect();
    (lines.len(), lines.iter().filter(|line| line.ends_with("(lost)")).count())
}

#[test]
fn what_is_sent_on_a_link_that_is_cut_is_lost_and_neither_end_knows() {
    let cut = said("cut n1->*\ntick n1 heartbeat");
    assert_eq!((spoken(&cut, "n2"), spoken(&cut, "n3")), ((1, 1), (1, 1)), "{cut}");
    let healed = said("cut n1->n3\nquiet heal\ntick n1 heartbeat");
    assert_eq!((spoken(&healed, "n2"), spoken(&healed, "n3")), ((1, 0), (1, 0)), "{healed}");
}

#[test]
fn in_a_chain_and_a_star_links_are_closed_between_those_who_do_not_hear_each_other() {
    let beats = "quiet settle\ntick n1 heartbeat";
    let chain = said(&format!("quiet chain n1 n2 n3\n{beats}"));
    assert_eq!((spoken(&chain, "n2"), spoken(&chain, "n3")), ((1, 0), (1, 1)), "{chain}");
    let star = said(&format!("quiet star n3\n{beats}"));
    assert_eq!((spoken(&star, "n2"), spoken(&star, "n3")), ((1, 1), (1, 0)), "{star}");
}

#[test]
fn a_message_that_is_duplicated_arrives_twice() {
    let twice = said("quiet tick n1 heartbeat\nquiet duplicate n1->n2\nsettle");
    let answers = |from: &str| twice.lines().filter(|line| line.starts_with(from)).count();
    assert_eq!((answers("n2 -> n1"), answers("n3 -> n1")), (2, 1), "{twice}");
}

#[test]
fn a_node_that_is_paused_takes_in_at_once_what_came_meanwhile() {
    let beat = "quiet tick n1 heartbeat\nquiet settle";
    let write = "quiet propose n1 a\nquiet settle\n\nexpect n2 last=1";
    let said = said(&format!("pause n2\n{beat}\n{write}\nresume n2"));
    assert!(said.contains("n2 -> n1 HeartbeatReply"), "{said}");
    assert!(said.contains("n2 -> n1 AppendReply t1 matches 2"), "{said}");
}

#[test]
fn while_time_passes_timers_fire_and_messages_arrive() {
    assert_eq!(said("quiet wait 60000ms\nexpect n1 leader epoch=1"), "ok\n");
    let elected = said("quiet crash n1\nquiet wait 5000ms\nexpect n2 n3 epoch=2");
    assert!(elected.contains(" leader in epoch 2"), "{elected}");
}
