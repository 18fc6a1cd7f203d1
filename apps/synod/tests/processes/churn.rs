//! Members come and go, and leadership moves, while the network is cut again and again and clients
//! write: everything at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use synod::engines::EngineName;
use synod_engine::Random;

use crate::cluster::{Cluster, until};
use crate::members::{members, up, voters};
use crate::partitions::{ends_well, load};
use synod::network::{Fate, Network};

/// Cuts that come and go. Each leaves a majority that can talk to each other.
struct Weather {
    network: Arc<Network>,
    /// The nodes that may be cut off.
    nodes: Arc<Mutex<Vec<usize>>>,
    random: Random,
    /// How many there were.
    cuts: Arc<AtomicUsize>,
}

impl Weather {
    async fn rage(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let nodes = self.nodes.lock().unwrap().clone();
            let fates = [Fate::Hangs, Fate::Vanishes, Fate::Breaks];
            let fate = fates[self.random.below(3) as usize];
            let node = nodes[self.random.below(nodes.len() as u64) as usize];
            let others = nodes.iter().filter(|other| **other != node);
            match self.random.below(4) {
                0 => self.network.cut(others.map(|other| (node, *other)), fate),
                1 => self.network.cut(others.map(|other| (*other, node)), fate),
                2 => self.network.cut(others.take(1).map(|other| (node, *other)), fate),
                _ => self.network.isolate(node, &nodes, fate),
            }
            self.cuts.fetch_add(1, Ordering::Relaxed);
            self.pause(200, 1_500).await;
            self.network.heal();
            self.pause(100, 600).await;
        }
    }

    async fn pause(&mut self, min_ms: u64, max_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.random.between(min_ms, max_ms))).await;
    }
}

async fn next_cut(cuts: &AtomicUsize) {
    let before = cuts.load(Ordering::Relaxed);
    until("the network is cut again", async || {
        (cuts.load(Ordering::Relaxed) > before).then_some(())
    })
    .await;
}

/// So often a node is added, made a voter and the leader, and an older one removed for it. The first
/// two founders stay: a client must know somebody.
async fn churn(engine: EngineName, rounds: usize, seed: u64) {
    let mut cluster = Cluster::start_in_network(engine, 3, "").await;
    let load = load(&cluster).await;
    let mut third = 3;
    let nodes = Arc::new(Mutex::new(vec![1, 2, third]));
    let stop = Arc::new(AtomicBool::new(false));
    let network = cluster.network().clone();
    let cuts = Arc::new(AtomicUsize::new(0));
    let random = Random::new(seed);
    let weather = Weather { network, nodes: nodes.clone(), random, cuts: cuts.clone() };
    let weather = tokio::spawn(weather.rage(stop.clone()));
    for _ in 0..rounds {
        load.next_write().await;
        let new = cluster.join();
        up(&cluster, new).await;
        let address = cluster.clients[new - 1].clone();
        next_cut(&cuts).await;
        members(&cluster, &["add", "--learner", &address]).await;
        nodes.lock().unwrap().push(new);
        next_cut(&cuts).await;
        members(&cluster, &["promote", &new.to_string()]).await;
        // It may be cut off just now: then another leads, or nobody moved.
        cluster.synod_aside(&["members", "lead", &new.to_string()]).await;
        load.next_write().await;
        next_cut(&cuts).await;
        members(&cluster, &["remove", &third.to_string()]).await;
        nodes.lock().unwrap().retain(|node| *node != third);
        cluster.kill(third);
        third = new;
    }
    stop.store(true, Ordering::Relaxed);
    weather.await.unwrap();
    let cuts = cuts.load(Ordering::Relaxed);
    let acknowledged = load.acknowledged();
    println!("seed {seed}: {rounds} rounds, {cuts} cuts, {acknowledged} writes acknowledged");
    ends_well(&mut cluster, load).await;
    assert_eq!(voters(&cluster).await, [1, 2, third as u64]);
}

pub(crate) async fn members_and_leaders_change_under_load_while_partitions_come_and_go(
    engine: EngineName,
) {
    churn(engine, 3, 1).await;
}

/// `cargo test -p synod --test processes -- --ignored --nocapture a_long_churn`, with
/// `SYNOD_SEED=…` for another one and `SYNOD_ENGINE=…` for another engine; the seed decides the cuts, not what the machine makes of them.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_long_churn() {
    let seed = std::env::var("SYNOD_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let engine = std::env::var("SYNOD_ENGINE").ok();
    let engine = engine.map(|engine| EngineName::named(&engine).expect("an engine"));
    churn(engine.unwrap_or_default(), 40, seed.unwrap_or(1)).await;
}
