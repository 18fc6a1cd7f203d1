//! What a node serves and to whom: clients that take too much are bounded, without harm to others.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use synod_kv::message::Query;
use synod_kv::wire::{Hello, PROTOCOL, write_query};

use crate::cluster::{Cluster, until};

/// A counter of the first node.
fn counter(cluster: &Cluster, name: &str) -> Option<u64> {
    counter_of(cluster, 1, name)
}

/// A counter of a node.
pub(crate) fn counter_of(cluster: &Cluster, node: usize, name: &str) -> Option<u64> {
    let page = get(&cluster.https[node - 1], "/metrics");
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// A page of a node, with its head.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: synod\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

#[tokio::test]
async fn a_client_that_never_reads_its_answers_is_disconnected() {
    let limits = "[limits]\nstall_timeout_ms = 500\nmax_output_bytes = 4194304";
    let cluster = Cluster::start_with(1, limits).await;
    let clerk = cluster.clerk(Duration::from_secs(20)).await;
    clerk.put("large", vec![7; 1 << 20]).await.unwrap();
    let mut greedy = TcpStream::connect(&cluster.clients[0]).unwrap();
    greedy.set_nonblocking(true).unwrap();
    let mut requests = Vec::new();
    Hello { protocol: PROTOCOL, cluster: None }.write(&mut requests);
    for id in 0..10_000 {
        write_query(id, &Query::Get { key: "large".into() }, &mut requests);
    }
    let mut sent = 0;
    until("the greedy client is disconnected", async || {
        if sent < requests.len() {
            match greedy.write(&requests[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => sent = requests.len(),
            }
        }
        (counter(&cluster, "synod_client_stalled_total") == Some(1)).then_some(())
    })
    .await;
    assert!(clerk.get("large").await.unwrap().is_some(), "others are served");
}

#[tokio::test]
async fn connections_beyond_the_bound_are_told_so() {
    let cluster = Cluster::start_with(1, "[limits]\nmax_connections = 2").await;
    let first = cluster.clerk(Duration::from_secs(20)).await;
    let second = cluster.clerk(Duration::from_secs(20)).await;
    first.put("k", "v").await.unwrap();
    let refused = cluster.synod(&["kv", "get", "k"]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.err.contains("2 connections, which is its bound"), "{refused:?}");
    second.close().await;
    until("there is room again", async || {
        (cluster.synod(&["kv", "get", "k"]).code == Some(0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn metrics_health_and_status_are_served() {
    let cluster = Cluster::start(1).await;
    let clerk = cluster.clerk(Duration::from_secs(20)).await;
    clerk.put("k", "v").await.unwrap();
    let http = &cluster.https[0];
    assert!(get(http, "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(http, "/readyz").starts_with("HTTP/1.1 200"));
    assert!(get(http, "/status").contains("\"role\":\"leader\""));
    assert_eq!(counter(&cluster, "synod_client_connections"), Some(1));
    assert!(counter(&cluster, "synod_client_requests_total") >= Some(2));
    assert!(get(http, "/nowhere").starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn the_leader_tells_the_store_the_time_while_nobody_calls() {
    let cluster = Cluster::start(1).await;
    let clerk = cluster.clerk(Duration::from_secs(20)).await;
    clerk.put("k", "v, and a session stays open").await.unwrap();
    let commit = async || cluster.status(1).await.map(|report| report.log.commit);
    let begin = commit().await.unwrap();
    until("two ticks are committed", async || (commit().await?.0 >= begin.0 + 2).then_some(()))
        .await;
}

#[tokio::test]
async fn a_node_without_a_majority_is_healthy_but_not_ready() {
    let mut cluster = Cluster::make(3, "");
    cluster.run(1);
    until("it serves", async || cluster.status(1).await).await;
    assert!(get(&cluster.https[0], "/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(&cluster.https[0], "/readyz").starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn connections_that_idle_keep_nobody_from_the_health_check() {
    let cluster = Cluster::start_with(1, "[limits]\nmax_http_connections = 4").await;
    let http = &cluster.https[0];
    let idle: Vec<_> = (0..20).map(|_| TcpStream::connect(http).unwrap()).collect();
    let begin = std::time::Instant::now();
    for _ in 0..10 {
        assert!(get(http, "/healthz").starts_with("HTTP/1.1 200"));
    }
    assert!(begin.elapsed() < Duration::from_secs(10), "they went at once");
    drop(idle);
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let cluster = Cluster::start(1).await;
    let page = get(&cluster.https[0], "/metrics");
    assert!(page.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{page}");
    let mut stream = TcpStream::connect(&cluster.https[0]).unwrap();
    let accept = "accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: synod\r\n{accept}\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.contains("content-type: application/openmetrics-text; version=1.0.0"), "{page}");
    assert!(page.ends_with("# EOF\n"), "{page}");
}
