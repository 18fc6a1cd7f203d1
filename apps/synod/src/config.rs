//! The files that describe a cluster and its nodes.
//!
//! `cluster.toml` says who the nodes are and where to find them; clients read it. A node's own file
//! repeats that and adds which of them it is, where its data is, and the knobs. Both refuse keys that
//! they do not know.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use synod_consensus::Contact;
use synod_engine::{ClusterId, Incarnation, NodeId, Sound};
use synod_kv::limits::MAX_COMMAND_BYTES;
use synod_log::Part;

use crate::engines::knobs::LogKnobs;
use crate::engines::{EngineName, Wired, with_engine};
use crate::exit::{Exit, Failure, Result};

mod limits;

pub(crate) use limits::LimitKnobs;

/// A cluster: what clients need.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    /// Its id, in hexadecimal digits.
    #[serde(with = "hexadecimal")]
    pub(crate) cluster: u64,
    /// The replicated log that its nodes run.
    #[serde(default, skip_serializing_if = "EngineName::is_default")]
    pub(crate) engine: EngineName,
    #[serde(rename = "node")]
    pub(crate) nodes: Vec<Member>,
}

/// One node of a cluster, and where it can be reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    pub(crate) id: u64,
    /// `host:port` where clients reach it.
    pub(crate) client: String,
    /// `host:port` where the other nodes reach it.
    pub(crate) peer: String,
    /// `host:port` of metrics and health; none if it serves none.
    pub(crate) http: Option<String>,
}

/// One node's own file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    /// Which of the nodes below it is.
    pub(crate) id: u64,
    /// Where its data is; relative to this file.
    pub(crate) dir: PathBuf,
    #[serde(with = "hexadecimal")]
    pub(crate) cluster: u64,
    /// The replicated log that it runs: the same on all nodes of its cluster, for ever.
    #[serde(default, skip_serializing_if = "EngineName::is_default")]
    pub(crate) engine: EngineName,
    /// Whether it joins a cluster that runs, as `synod members add` says, and founds none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) join: bool,
    /// Where it listens, if not where others reach it (behind a translated address).
    #[serde(default, skip_serializing_if = "Listen::is_empty")]
    pub(crate) listen: Listen,
    /// Its first name was that of the only engine there was.
    #[serde(default, alias = "raft", skip_serializing_if = "LogKnobs::is_default")]
    pub(crate) log: LogKnobs,
    #[serde(default, skip_serializing_if = "LimitKnobs::is_default")]
    pub(crate) limits: LimitKnobs,
    #[serde(rename = "node")]
    pub(crate) nodes: Vec<Member>,
}

/// Where a node listens, if not where others reach it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    pub(crate) client: Option<String>,
    pub(crate) peer: Option<String>,
    pub(crate) http: Option<String>,
}

impl Cluster {
    /// Reads a `cluster.toml`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let cluster: Self = parse(path, &load(path)?)?;
        check_nodes(path, &cluster.nodes)?;
        Ok(cluster)
    }

    /// The file's text.
    pub(crate) fn to_toml(&self) -> String {
        let head =
            "# A synod cluster: its id, and where clients, peers and metrics of each node are.\n";
        format!("{head}{}", toml::to_string(self).expect("a cluster is a table"))
    }
}

impl Node {
    /// Reads and checks a node's file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut node: Self = parse(path, &load(path)?)?;
        check_nodes(path, &node.nodes)?;
        node.listen.check().map_err(|what| faulty(path, &format!("[listen] {what}")))?;
        node.dir = path.parent().unwrap_or(Path::new(".")).join(&node.dir);
        if !node.nodes.iter().any(|member| member.id == node.id) {
            let what = format!("id is {}, but no [[node]] has that id", node.id);
            return Err(faulty(path, &what));
        }
        node.check_log().map_err(|error| faulty(path, &format!("[log] {error}")))?;
        node.limits.check().map_err(|what| faulty(path, &format!("[limits] {what}")))?;
        Ok(node)
    }

    /// The file's text.
    pub(crate) fn to_toml(&self) -> String {
        let head = "# One synod node. Every knob has a default: see `docs/reference/config.md`.\n";
        format!("{head}{}", toml::to_string(self).expect("a node is a table"))
    }

    pub(crate) fn id(&self) -> NodeId {
        NodeId(self.id)
    }

    pub(crate) fn cluster(&self) -> ClusterId {
        ClusterId(self.cluster)
    }

    /// How it takes part in the group, as which life of its directory.
    pub(crate) fn part(&self, incarnation: Option<Incarnation>) -> Part {
        let voters = || self.nodes.iter().map(|member| NodeId(member.id)).collect();
        Part { node: self.id(), initial_voters: (!self.join).then(voters), incarnation }
    }

    /// The knobs of its log.
    pub(crate) fn knobs(&self) -> LogKnobs {
        LogKnobs { max_command_bytes: Some(MAX_COMMAND_BYTES), ..self.log.clone() }
    }

    /// Names the knob of the log that makes no sense.
    fn check_log(&self) -> std::result::Result<(), String> {
        let set = toml::Table::try_from(&self.log).expect("knobs are a table");
        with_engine!(self.engine, Log => {
            match Log::LACKS.iter().find(|knob| set.contains_key(**knob)) {
                Some(knob) => Err(format!("{} has no {knob}", self.engine)),
                None => Log::check(&Log::config(self.part(None), &self.knobs(), Sound))
                    .map_err(|fault| fault.to_string()),
            }
        })
    }

    /// Where it listens for clients, peers and, if at all, metrics.
    pub(crate) fn listen(&self) -> (&str, &str, Option<&str>) {
        let me = self.me();
        let client = self.listen.client.as_ref().unwrap_or(&me.client);
        let peer = self.listen.peer.as_ref().unwrap_or(&me.peer);
        let http = self.listen.http.as_ref().or(me.http.as_ref());
        (client, peer, http.map(String::as_str))
    }

    /// Where the other nodes are.
    pub(crate) fn peers(&self) -> Result<BTreeMap<NodeId, SocketAddr>> {
        let others = self.nodes.iter().filter(|member| member.id != self.id);
        others.map(|member| Ok((NodeId(member.id), resolve(&member.peer)?))).collect()
    }

    /// How it is found and known.
    pub(crate) fn contact(&self, incarnation: Incarnation) -> Contact {
        let me = self.me();
        Contact { incarnation, address: me.peer.clone(), client_address: me.client.clone() }
    }

    fn me(&self) -> &Member {
        let me = self.nodes.iter().find(|member| member.id == self.id);
        me.expect("checked when the file was read")
    }

    /// Where clients find each node.
    pub(crate) fn clients(&self) -> BTreeMap<NodeId, String> {
        self.nodes.iter().map(|member| (NodeId(member.id), member.client.clone())).collect()
    }
}

impl Listen {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Names the key that makes no sense.
    fn check(&self) -> std::result::Result<(), String> {
        let keys = [("client", &self.client), ("peer", &self.peer), ("http", &self.http)];
        for (key, address) in keys {
            if let Some(address) = address.as_ref().filter(|address| !is_host_and_port(address)) {
                return Err(format!("{key} = {address:?} is not host:port"));
            }
        }
        Ok(())
    }
}

/// The first address that `host:port` stands for.
pub(crate) fn resolve(address: &str) -> Result<SocketAddr> {
    let failed = |why: String| {
        let what = format!("{address} is no usable address: {why}; nothing was changed");
        Failure::new(Exit::Address, what)
    };
    let mut found = address.to_socket_addrs().map_err(|error| failed(error.to_string()))?;
    found.next().ok_or_else(|| failed("the name has none".into()))
}

fn load(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("cannot read {}: {error}; nothing was changed", path.display()))
    })
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| faulty(path, error.to_string().trim_end()))
}

fn is_host_and_port(address: &str) -> bool {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && is_port(port))
}

fn check_nodes(path: &Path, nodes: &[Member]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for node in nodes {
        for address in [&node.client, &node.peer].into_iter().chain(&node.http) {
            if !is_host_and_port(address) {
                let what = format!("node {}: {address:?} is not host:port", node.id);
                return Err(faulty(path, &what));
            }
            if let Some(other) = seen.insert(address, node.id) {
                let what = format!("{address} is used twice, by nodes {other} and {}", node.id);
                return Err(faulty(path, &what));
            }
        }
        if node.id == 0 || nodes.iter().filter(|other| other.id == node.id).count() > 1 {
            let what = format!("node {}: ids are above 0, and each is used once", node.id);
            return Err(faulty(path, &what));
        }
    }
    if nodes.is_empty() { Err(faulty(path, "it has no [[node]]")) } else { Ok(()) }
}

fn faulty(path: &Path, what: &str) -> Failure {
    let mut words = String::new();
    write!(words, "{}: {what}; nothing was changed", path.display()).expect("text takes text");
    Failure::usage(words)
}

/// Ids as text, since TOML's integers end at 2^63.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(super) fn serialize<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{id:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        u64::from_str_radix(&text, 16)
            .map_err(|_| D::Error::custom("an id has up to 16 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        let member = |id: u64| Member {
            id,
            client: format!("127.0.0.1:{}", 7100 + id),
            peer: format!("127.0.0.1:{}", 7200 + id),
            http: None,
        };
        Node {
            id: 2,
            dir: "node2".into(),
            cluster: u64::MAX,
            join: false,
            listen: Listen::default(),
            engine: EngineName::default(),
            log: LogKnobs::default(),
            limits: LimitKnobs::default(),
            nodes: vec![member(1), member(2)],
        }
    }

    fn read(text: &str) -> std::result::Result<Node, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        Node::read(&path).map_err(|failure| {
            assert_eq!(failure.exit, Exit::Usage);
            failure.what
        })
    }

    #[test]
    fn what_is_written_can_be_read() {
        let node = node();
        let again = read(&node.to_toml()).unwrap();
        assert!(again.dir.ends_with("node2"));
        assert_eq!(Node { dir: node.dir.clone(), ..again }, node);
    }

    #[test]
    fn every_fault_is_named() {
        let good = node().to_toml();
        for (from, to, word) in [
            ("id = 2", "id = 2\ncolour = 3", "unknown field `colour`"),
            ("id = 2", "id = 7", "no [[node]] has that id"),
            ("7202", "7201", "used twice"),
            ("127.0.0.1:7202", "localhost", "is not host:port"),
            ("ffffffffffffffff", "xyz", "hexadecimal"),
            (
                "[[node]]",
                "[log]\nheartbeat_ms = 0\n\n[[node]]",
                "[log] heartbeat_ms must be above 0",
            ),
            ("[[node]]", "[raft]\nheartbeat_ms = 0\n\n[[node]]", "heartbeat_ms must be above 0"),
            ("id = 2", "id = 2\nengine = \"viewstamped\"", "unknown variant `viewstamped`"),
            ("[[node]]", "[limits]\nmax_connections = 0\n\n[[node]]", "max_connections"),
            (
                "[[node]]",
                "[limits]\nlog_segment_bytes = 20000000\n\n[[node]]",
                "[limits] log_segment_bytes is 20000000; it must be a multiple of 4096",
            ),
            ("[[node]]", "[limits]\nlog_segment_bytes = 2147483648\n\n[[node]]", "to 1 GiB"),
            (
                "[[node]]",
                "[listen]\npeer = \"anywhere\"\n\n[[node]]",
                "[listen] peer = \"anywhere\" is not host:port",
            ),
        ] {
            assert!(good.contains(from));
            let what = read(&good.replacen(from, to, 1)).unwrap_err();
            assert!(what.contains(word), "{word:?} is not in {what:?}");
            assert!(what.contains("nothing was changed"));
        }
    }
}
