//! What a node may be started from, what of it is told to a leader, and when a snapshot is written.

use std::hash::{DefaultHasher, Hasher as _};

use synod_consensus::{Epoch, Index, Request, Task};
use synod_engine::{Engine as _, Input, Instant, Token};
use synod_zab::{Epochs, Message, Record, Zab};

use crate::driver::{Node, Whole as _, config, established};
use crate::words::{Past, batches, lived, new_epoch, snapshot, took_part};

/// Whether a node can be rebuilt from what this past left, and then these records.
fn replays(past: &Past<'_>, records: impl IntoIterator<Item = Record>) -> bool {
    let mut engine = Zab::new(config(1, 3));
    lived(3, past).into_iter().chain(records).all(|record| engine.replay(record).is_ok())
}

fn epochs(accepted: u64, current: u64) -> Record {
    let (accepted, current) = (Epoch(accepted), Epoch(current));
    Record::Epochs(Epochs { accepted, leader: None, current, began: Index(2) })
}

fn entries(first: u64, epoch: u64) -> Record {
    Record::Entries(batches(first, &[epoch]).remove(0))
}

#[test]
fn records_that_contradict_each_other_stop_the_node() {
    let past = took_part(&[1, 1, 2]);
    let compacted = Past { snapshot: Some(snapshot(5, 1)), ..took_part(&[2, 2]) };
    let truncated = |last| Record::Truncated(Index(last));
    let stories = [
        (&past, epochs(2, 2), true, "the same epochs again"),
        (&past, epochs(3, 2), true, "another epoch accepted"),
        (&past, epochs(1, 1), false, "both are taken back"),
        (&past, epochs(3, 1), false, "the epoch that it took part in is taken back"),
        (&past, epochs(2, 3), false, "it takes part in what it has not accepted"),
        (&past, truncated(3), true, "nothing is cut"),
        (&past, truncated(0), true, "all is cut"),
        (&past, truncated(4), false, "cut behind its end"),
        (&compacted, truncated(5), true, "down to the snapshot"),
        (&compacted, truncated(4), false, "what the snapshot holds is cut"),
        (&past, entries(4, 2), true, "the next entry"),
        (&past, entries(3, 2), true, "another in place of the last"),
        (&past, entries(5, 2), false, "a gap"),
        (&past, entries(4, 1), false, "an epoch that falls"),
    ];
    for (past, record, fits, story) in stories {
        assert_eq!(replays(past, [record]), fits, "{story}");
    }
}

/// The epochs of its history, newest first; a leader would take more than 256 for nonsense.
#[test]
fn a_history_of_many_epochs_is_told_as_far_as_a_message_may_tell() {
    let history: Vec<u64> = (1..=300).collect();
    let mut node = Node::lived(1, 3, &took_part(&history));
    node.called_by_and_asked(2, 301);
    let said = node.said_to(2);
    let runs = said.iter().find_map(|message| match message {
        Message::AckEpoch { summary, .. } => Some(&summary.runs),
        _ => None,
    });
    let runs = runs.expect("it accepts the epoch");
    assert_eq!((runs.len(), runs[0].index, runs[255].index), (256, Index(300), Index(45)));
}

trait Asked {
    /// An established leader of this epoch calls it, and has it accept that.
    fn called_by_and_asked(&mut self, leader: u64, epoch: u64);
}

impl Asked for Node {
    fn called_by_and_asked(&mut self, leader: u64, epoch: u64) {
        let (commit, established) = (Index(0), true);
        self.hear(leader, Message::Ping { epoch: Epoch(epoch), established, commit, round: 0 });
        self.hear(leader, new_epoch(epoch));
    }
}

fn fingerprint(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    node.engine.fingerprint(Instant::START, &mut hasher);
    hasher.finish()
}

/// They stand for the same in an election, and are not the same.
#[test]
fn nodes_that_keep_more_or_less_of_a_history_have_other_fingerprints() {
    let whole = Node::lived(1, 3, &took_part(&[1, 1]));
    let again = Node::lived(1, 3, &took_part(&[1, 1]));
    let part = Node::lived(1, 3, &Past { snapshot: Some(snapshot(1, 1)), ..took_part(&[1]) });
    assert_eq!(fingerprint(&whole), fingerprint(&again));
    assert_ne!(fingerprint(&whole), fingerprint(&part));
}

/// The disk is short of room: what is asked for is written although it is not due, if there is anything new;
/// if there is not, what is kept for late followers is given up all the same.
#[test]
fn a_snapshot_that_is_asked_for_is_written_if_it_holds_more_than_the_last() {
    let mut node = established();
    let compact = |node: &mut Node| {
        node.input(Input::Request { token: Token(9), request: Request::Compact });
        node.input(Input::Flush);
        node.tasks.iter().any(|(_, task)| matches!(task, Task::Snapshot))
    };
    let records = node.records.len();
    assert!(!compact(&mut node), "nothing was applied");
    assert_eq!(node.records.len(), records);
    node.propose(1, "a");
    node.hear(2, Message::Ack { epoch: Epoch(1), index: Index(1) });
    node.applied(1);
    assert!(compact(&mut node), "an entry");
    node.compact(1);
    let records = node.records.len();
    assert!(!compact(&mut node), "nothing since");
    let newest = &node.records[records..];
    assert!(matches!(newest, [Record::Checkpoint(it)] if it.keeps == 0), "{newest:?}");
}
