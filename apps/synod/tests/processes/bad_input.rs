//! What a node refuses to start on or to listen to: each with its exit code, in words, and without
//! having changed anything.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use bytes::BytesMut;
use synod_kv::wire::{FromServer, Goodbye, Hello, OLDEST_PROTOCOL, PROTOCOL};

use crate::cluster::{Cluster, Ran, run, synod};

fn start(cluster: &Cluster, node: usize) -> Ran {
    run(synod(Path::new(".")).args(["node", "--config"]).arg(cluster.config(node)))
}

fn edit(cluster: &Cluster, file: &str, from: &str, to: &str) {
    let path = cluster.path(file);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {text}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn assert_refused(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    for word in words {
        assert!(ran.err.contains(word), "{word:?} is not in {:?}", ran.err);
    }
}

#[test]
fn an_address_in_use_is_named_and_nothing_is_made() {
    let cluster = Cluster::make(1, "");
    let _taken = TcpListener::bind(&cluster.clients[0]).unwrap();
    let ran = start(&cluster, 1);
    assert_refused(&ran, 7, &[&cluster.clients[0], "in use", "nothing was changed"]);
    assert!(!cluster.path("node1").exists());
}

#[tokio::test]
async fn a_directory_in_use_is_left_to_its_process() {
    let cluster = Cluster::start(1).await;
    let text = std::fs::read_to_string(cluster.config(1)).unwrap();
    let other_ports = Cluster::make(1, "");
    let mut twin = std::fs::read_to_string(other_ports.config(1)).unwrap();
    let dir = cluster.path("node1");
    twin = twin.replace("\"node1\"", &format!("{dir:?}"));
    std::fs::write(other_ports.config(1), &twin).unwrap();
    assert_refused(&start(&other_ports, 1), 6, &["in use by a running process", "pid"]);
    assert_ne!(text, twin);
    assert_eq!(cluster.synod(&["kv", "put", "k", "v"]).code, Some(0));
}

#[tokio::test]
async fn a_directory_of_another_cluster_node_or_version_is_refused() {
    let mut cluster = Cluster::start(1).await;
    cluster.kill_all();
    edit(&cluster, "node1.toml", "00000000000000c1", "00000000000000c2");
    assert_refused(&start(&cluster, 1), 6, &["belongs to cluster", "nothing was changed"]);
    edit(&cluster, "node1.toml", "00000000000000c2", "00000000000000c1");
    edit(&cluster, "node1.toml", "\nid = 1", "\nid = 2");
    edit(&cluster, "node1.toml", "id = 1", "id = 2");
    assert_refused(&start(&cluster, 1), 6, &["belongs to node", "nothing was changed"]);
    edit(&cluster, "node1.toml", "id = 2", "id = 1");
    edit(&cluster, "node1.toml", "\nid = 2", "\nid = 1");
    edit(&cluster, "node1/identity.toml", "format = 1", "format = 99");
    assert_refused(&start(&cluster, 1), 6, &["format 99", "nothing was changed"]);
    edit(&cluster, "node1/identity.toml", "format = 99", "format = 1");
    cluster.run(1);
    cluster.ready().await;
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let cluster = Cluster::make(1, "");
    std::fs::write(cluster.path("node1"), "a file").unwrap();
    assert_refused(&start(&cluster, 1), 6, &["node1"]);
    assert_eq!(std::fs::read(cluster.path("node1")).unwrap(), b"a file");
}

#[test]
fn a_faulty_file_is_refused_by_name() {
    let cluster = Cluster::make(1, "colour = 3");
    assert_refused(&start(&cluster, 1), 2, &["node1.toml", "colour", "nothing was changed"]);
    let cluster = Cluster::make(1, "[raft]\nheartbeat_ms = 0");
    assert_refused(&start(&cluster, 1), 2, &["heartbeat_ms must be above 0"]);
    std::fs::remove_file(cluster.config(1)).unwrap();
    assert_refused(&start(&cluster, 1), 2, &["cannot read", "nothing was changed"]);
}

#[tokio::test]
async fn keys_and_values_beyond_the_bounds_are_not_done() {
    let cluster = Cluster::start(1).await;
    let long = "k".repeat(4 << 10 | 1);
    let ran = cluster.synod(&["kv", "put", &long, "v"]);
    assert_refused(&ran, 3, &["1 to 4096 bytes", "nothing was changed"]);
    let clerk = cluster.clerk(std::time::Duration::from_secs(10)).await;
    let refused = clerk.put("k", vec![0; (1 << 20) + 1]).await.unwrap_err();
    assert!(refused.to_string().contains("at most 1048576 bytes"), "{refused}");
    let refused = clerk.put("k", vec![0; 64 << 20]).await.unwrap_err();
    assert!(refused.to_string().contains("nothing was changed"), "{refused}");
    assert_eq!(clerk.get("k").await, Ok(None));
}

/// What the server says to `bytes` before it closes the connection.
fn last_words(address: &str, bytes: &[u8]) -> Vec<FromServer> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    let mut said = BytesMut::from(&said[..]);
    std::iter::from_fn(|| FromServer::read(&mut said).unwrap()).collect()
}

#[tokio::test]
async fn what_is_no_message_is_answered_with_a_goodbye() {
    let cluster = Cluster::start(1).await;
    let address = &cluster.clients[0];
    let hello = |protocol, cluster| {
        let mut bytes = Vec::new();
        Hello { protocol, cluster }.write(&mut bytes);
        bytes
    };
    let parts = |said: &[FromServer]| match said.last() {
        Some(FromServer::Goodbye(goodbye)) => goodbye.clone(),
        other => panic!("no goodbye but {other:?}"),
    };
    let http = last_words(address, b"GET / HTTP/1.1\r\n\r\n");
    assert!(matches!(parts(&http), Goodbye::Malformed(_)));
    let oversized = [hello(PROTOCOL, None), u32::MAX.to_le_bytes().to_vec()].concat();
    let said = last_words(address, &oversized);
    assert!(matches!(said[0], FromServer::Welcome(_)));
    assert!(matches!(parts(&said), Goodbye::Malformed(_)));
    let mut flipped = hello(PROTOCOL, None);
    *flipped.last_mut().unwrap() ^= 1;
    assert!(matches!(parts(&last_words(address, &flipped)), Goodbye::Malformed(_)));
    let stranger = Some(synod_engine::ClusterId(7));
    let said = last_words(address, &hello(PROTOCOL, stranger));
    assert!(matches!(parts(&said), Goodbye::OtherCluster { .. }));
    let said = last_words(address, &hello(PROTOCOL + 1, None));
    assert_eq!(parts(&said), Goodbye::Protocol { speaks: PROTOCOL });
    let said = last_words(address, &hello(OLDEST_PROTOCOL - 1, None));
    assert_eq!(parts(&said), Goodbye::Protocol { speaks: PROTOCOL });
    assert_eq!(cluster.synod(&["kv", "put", "k", "v"]).code, Some(0), "and serves on");
}

#[tokio::test]
async fn disks_below_their_reserve_refuse_writes_and_go_on_voting() {
    for nodes in [1, 3] {
        let mut cluster = Cluster::start(nodes).await;
        assert_eq!(cluster.synod(&["kv", "put", "k", "v"]).code, Some(0));
        cluster.kill_all();
        let all_of_it = format!("[limits]\ndisk_reserve_bytes = {}\n[[node]]", i64::MAX);
        for node in 1..=nodes {
            edit(&cluster, &format!("node{node}.toml"), "[[node]]", &all_of_it);
        }
        cluster.run_all();
        cluster.led().await;
        let put = cluster.synod(&["kv", "put", "k", "w"]);
        assert_refused(&put, 3, &["the disk of n", "is full", "reserve", "nothing was changed"]);
        if nodes == 1 {
            assert_eq!(cluster.synod(&["kv", "get", "k"]).out, "v\n");
        }
    }
}
