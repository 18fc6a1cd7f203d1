//! Proposals end exactly once, and what is taken is bounded. That they do so on every schedule is
//! shown by [`crate::properties`].

use synod_consensus::{Event, Index, Refusal, Request};
use synod_engine::{Input, Token};

use crate::driver::{Disk, Node, RaftNode as _, config, heartbeat, matches};

/// What is not yet durable on the leader counts against the bound, though others have committed it.
#[test]
fn proposals_are_refused_when_too_much_waits_for_the_leaders_disk() {
    let mut config = config(1, 3);
    config.bounds.max_command_bytes = 100;
    config.bounds.max_uncommitted_bytes = 300;
    let mut node = Node::recover(config, []);
    node.win(&[2, 3]);
    node.hear(2, matches(1, 1));
    node.hear(3, matches(1, 1));
    node.disk = Disk::Manual;
    node.events.clear();
    for token in 0..6 {
        node.propose(token, "0123456789".repeat(10));
        node.hear(2, matches(1, token + 2));
        node.hear(3, matches(1, token + 2));
    }
    let refused = |node: &Node| {
        let is_busy =
            |event: &&Event| matches!(event, Event::Refused { refusal: Refusal::Busy, .. });
        node.events.iter().filter(is_busy).count()
    };
    assert_eq!(refused(&node), 3);
    node.sync();
    node.propose(9, "x");
    assert_eq!(refused(&node), 3);
}

#[test]
fn a_leader_without_followers_takes_no_more_than_the_bound() {
    let mut config = config(1, 3);
    config.bounds.max_command_bytes = 92;
    config.bounds.max_uncommitted_bytes = 300;
    let mut node = Node::recover(config, []);
    node.win(&[2]);
    node.events.clear();
    for token in 0..5 {
        node.propose(token, vec![0; 92]);
    }
    assert_eq!(node.view().last.index, Index(4), "the no-op and three of a hundred bytes each");
    node.hear(2, matches(1, 2));
    node.propose(9, vec![0; 92]);
    assert_eq!(node.view().last.index, Index(5));
    let refused = |event: &&Event| matches!(event, Event::Refused { .. });
    assert_eq!(node.events.iter().filter(refused).count(), 2);
}

#[test]
fn empty_commands_count_too_before_they_are_sent() {
    let mut config = config(1, 3);
    config.bounds.max_command_bytes = 80;
    config.bounds.max_uncommitted_bytes = 80;
    let mut node = Node::recover(config, []);
    node.win(&[2]);
    node.events.clear();
    for token in 0..100 {
        node.input(Input::Request { token: Token(token), request: propose("") });
    }
    assert_eq!(node.events.len(), 100 - 10);
}

#[test]
fn a_proposal_ends_as_committed_refused_or_unknown() {
    let end = |node: &Node, wanted: u64| {
        let of = |event: &Event| match event {
            Event::Committed { own, .. } => {
                own.iter().any(|(_, token)| token.0 == wanted).then_some("committed")
            }
            Event::Refused { token, .. } => (token.0 == wanted).then_some("refused"),
            Event::Unknown { token } => (token.0 == wanted).then_some("unknown"),
            _ => None,
        };
        node.events.iter().filter_map(of).collect::<Vec<_>>()
    };
    let mut config = config(1, 3);
    config.bounds.max_command_bytes = 10;
    let mut node = Node::recover(config, []);
    node.propose(1, "too early");
    node.win(&[2]);
    node.propose(2, "x");
    node.hear(2, matches(1, 2));
    node.propose(3, "much too long");
    node.input(Input::Request { token: Token(4), request: propose("cancelled") });
    node.input(Input::Cancel(Token(4)));
    node.propose(5, "in doubt");
    node.input(Input::Cancel(Token(5)));
    node.input(Input::Request { token: Token(6), request: propose("never sent") });
    node.hear(3, heartbeat(2, 0));
    node.propose(7, "too late");
    let ends: Vec<_> = (1..=7).map(|token| end(&node, token)).collect();
    let expected = ["refused", "committed", "refused", "refused", "unknown", "refused", "refused"];
    assert_eq!(ends, expected.map(|how| vec![how]));
}

fn propose(command: &'static str) -> Request {
    Request::Propose(command.into())
}
