//! Two proposers that keep overtaking each other (§2.4).
//!
//! Four acceptors, two near each proposer and two far. Each proposer's ballot reaches its far acceptors
//! after the other's accept would have, and before it comes: two of four refuse, and no three are left.
//! With fixed delays nothing ends this but waiting for a random time.
//!
//! ```text
//!          1 ms             10 ms
//!   n1 ────────── n3, n4 ────────── n2
//!   n1 ────────── n5, n6 ────────── n2
//!          10 ms            1 ms
//! ```

use std::time::Duration;

use synod_engine::NodeId;
use synod_paxos::basic::{Config, Message};

use crate::net::Net;

const NEAR: Duration = Duration::from_millis(1);
const FAR: Duration = Duration::from_millis(10);

fn delay(one: NodeId, other: NodeId) -> Duration {
    let (proposer, acceptor) = (one.min(other).0, one.max(other).0);
    let is_near = match proposer {
        1 => acceptor <= 4,
        _ => acceptor >= 5,
    };
    if is_near { NEAR } else { FAR }
}

fn duel(config: &Config, seed: u64) -> Net {
    let mut net = Net::new(1..=6, config, delay, seed);
    net.ask(Duration::ZERO, 1, "red");
    net.ask(2 * FAR, 2, "blue");
    net
}

fn config() -> Config {
    let proposers = [1, 2].map(NodeId);
    let mut config = Config::new(NodeId(1), proposers);
    config.acceptors = (3..=6).map(NodeId).collect();
    config
}

fn is_prepare(message: &Message) -> bool {
    matches!(message, Message::Prepare { .. })
}

#[test]
fn without_a_random_delay_two_proposers_duel_for_ever() {
    let hasty = Config { backoff_ms: 0, backoff_max_ms: 0, ..config() };
    assert!(hasty.check().is_err(), "nobody is to run this");
    let mut net = duel(&hasty, 1);
    for minute in 1..=10 {
        let before = net.count(is_prepare);
        net.run_for(Duration::from_secs(60));
        assert!(net.outcomes.is_empty(), "chosen in minute {minute}");
        let ballots = (net.count(is_prepare) - before) / 4;
        assert!(ballots > 2_000, "{ballots} ballots in minute {minute}");
    }
}

#[test]
fn with_a_random_delay_one_of_them_gets_through() {
    for seed in 0..1_000 {
        let mut net = duel(&config(), seed);
        net.run_for(Duration::from_secs(2));
        assert_eq!(net.outcomes.len(), 2, "seed {seed}");
    }
}
