//! How messages, records, events and nodes read: people see them in traces and in `synod paxos`. And what
//! an explorer sees of a node.

use std::collections::BTreeSet;

use synod_engine::{Engine as _, Message as _, NodeId, Token};
use synod_paxos::basic::{Event, Message, Paxos, Record, Refusal};

use crate::hand::{accept, accepted, ballot, prepare, promise, proposal};
use crate::paper::{node, three};

#[test]
fn messages_read_as_what_they_say_and_what_rests_on_memory_counts() {
    let refused = Message::Refused { ballot: ballot(1, 1), promised: ballot(2, 3) };
    for (message, words, counts) in [
        (Message::Request { value: "v".into() }, "Request \"v\"", false),
        (prepare(1, 2), "Prepare 1.n2", true),
        (promise(1, 2, None), "Promise 1.n2", true),
        (promise(3, 2, Some(proposal("v", 1, 1))), "Promise 3.n2, accepted \"v\" in 1.n1", true),
        (accept("v", 1, 2), "Accept \"v\" in 1.n2", true),
        (accepted("v", 1, 2), "Accepted \"v\" in 1.n2", true),
        (refused, "Refused 1.n1, promised 2.n3", false),
        (Message::Ask, "Ask", false),
        (Message::Chosen { value: "v".into() }, "Chosen \"v\"", false),
    ] {
        assert_eq!((message.to_string(), message.counts()), (words.to_owned(), counts));
    }
}

#[test]
fn records_and_events_read_as_what_they_say() {
    for (record, words) in [
        (Record::Propose(ballot(1, 2)), "Propose 1.n2"),
        (Record::Promise(ballot(1, 2)), "Promise 1.n2"),
        (Record::Accept(proposal("v", 1, 2)), "Accept \"v\" in 1.n2"),
        (Record::Acknowledge(proposal("v", 1, 2)), "Acknowledge \"v\" in 1.n2"),
        (Record::Commit("v".into()), "Commit \"v\""),
    ] {
        assert_eq!(record.to_string(), words);
    }
    let chosen = Event::Chosen { value: "v".into(), own: vec![Token(1), Token(2)] };
    assert_eq!(chosen.to_string(), "chosen \"v\" (own: 2)");
    let refused = |refusal| Event::Refused { token: Token(7), refusal }.to_string();
    assert_eq!(refused(Refusal::Busy), "refused #7: too many requests are open; try again");
    let too_large = Refusal::TooLarge { max_bytes: 9 };
    assert_eq!(refused(too_large), "refused #7: larger than 9 bytes");
}

#[test]
fn a_node_reads_as_what_it_knows_and_does() {
    let mut node = node(1);
    assert_eq!(node.view().to_string(), "open");
    node.asked(1, "v");
    node.hears(1, Message::Request { value: "v".into() });
    node.hears(1, prepare(1, 1));
    let words = "open, preparing 1.n1, promised 1.n1, 1 waiting";
    assert_eq!(node.view().to_string(), words);
    for from in [1, 2] {
        node.hears(from, promise(1, 1, None));
    }
    node.hears(1, accept("v", 1, 1));
    let words = "open, proposing \"v\" in 1.n1, promised 1.n1, accepted \"v\" in 1.n1, 1 waiting";
    assert_eq!(node.view().to_string(), words);
    for from in [2, 3] {
        let promised = ballot(2, 2);
        node.hears(from, Message::Refused { ballot: ballot(1, 1), promised });
    }
    let words = "open, giving way, promised 1.n1, accepted \"v\" in 1.n1, 1 waiting";
    assert_eq!(node.view().to_string(), words);
    node.hears(2, Message::Chosen { value: "w".into() });
    let words = "chosen \"w\", promised 1.n1, accepted \"v\" in 1.n1";
    assert_eq!(node.view().to_string(), words);
    let stranger = Paxos::new(synod_paxos::basic::Config { node: NodeId(9), ..three(1) });
    assert_eq!(stranger.view().to_string(), "open");
}

#[test]
fn whatever_decides_what_a_node_does_next_is_in_its_fingerprint() {
    let history = || {
        let mut node = node(1);
        let mut prints = vec![node.fingerprint()];
        node.asked(1, "v");
        prints.push(node.fingerprint());
        for message in [
            Message::Request { value: "v".into() },
            prepare(1, 1),
            promise(1, 1, None),
            accepted("v", 1, 1),
            Message::Chosen { value: "v".into() },
        ] {
            node.hears(2, message);
            prints.push(node.fingerprint());
        }
        prints
    };
    let prints = history();
    assert_eq!(prints, history());
    assert_eq!(prints.iter().collect::<BTreeSet<_>>().len(), prints.len());
}
