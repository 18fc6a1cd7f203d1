//! The directory of a local cluster: `cluster.toml`, and for each node its file, its log and its data.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::config::{Cluster, Member, Node};
use crate::engines::EngineName;
use crate::exit::{Exit, Failure, Result};

/// Describes the cluster to clients.
pub(crate) const CLUSTER_FILE: &str = "cluster.toml";
/// Locked while a `synod up` runs the cluster, whose pid it holds.
const HOLD_FILE: &str = "up.lock";
/// Nodes of a new cluster unless told otherwise.
const NODES: u64 = 3;
/// Peers listen on ports so much higher than clients, and HTTP twice as much.
const PORT_STEP: u16 = 100;

/// The cluster of `dir`; a new one if the directory is empty or missing.
pub(super) fn prepare(
    dir: &Path,
    (nodes, engine): (Option<u64>, Option<EngineName>),
    port: u16,
) -> Result<Cluster> {
    let file = dir.join(CLUSTER_FILE);
    if file.exists() {
        let cluster = Cluster::read(&file)?;
        let has = cluster.nodes.len() as u64;
        if let Some(wanted) = nodes
            && wanted != has
        {
            let what = format!(
                "{} holds a cluster of {has} nodes, not {wanted}; nothing was changed; leave out \
                 --nodes, or choose another directory with --dir",
                dir.display()
            );
            return Err(Failure::usage(what));
        }
        if let Some(wanted) = engine
            && wanted != cluster.engine
        {
            let what = format!(
                "{} holds a cluster on {}, not on {wanted}; nothing was changed; leave out --engine, or \
                 choose another directory with --dir",
                dir.display(),
                cluster.engine
            );
            return Err(Failure::usage(what));
        }
        return Ok(cluster);
    }
    let cannot = |error: std::io::Error| {
        let what = format!("{} cannot be used: {error}; nothing was changed", dir.display());
        Failure::new(Exit::Data, what)
    };
    if dir.exists() && std::fs::read_dir(dir).map_err(cannot)?.next().is_some() {
        let what = format!(
            "{} holds something else than a cluster; nothing was changed; choose another directory \
             with --dir",
            dir.display()
        );
        return Err(Failure::new(Exit::Data, what));
    }
    let cluster = new_cluster(nodes.unwrap_or(NODES), engine.unwrap_or_default(), port)?;
    are_free(&cluster)?;
    std::fs::create_dir_all(dir).map_err(cannot)?;
    for member in &cluster.nodes {
        let node = Node {
            id: member.id,
            dir: format!("node{}", member.id).into(),
            cluster: cluster.cluster,
            join: false,
            listen: Default::default(),
            engine: cluster.engine,
            log: Default::default(),
            limits: Default::default(),
            nodes: cluster.nodes.clone(),
        };
        std::fs::write(node_file(dir, member.id), node.to_toml()).map_err(cannot)?;
    }
    // Last: a directory with this file is complete.
    std::fs::write(&file, cluster.to_toml()).map_err(cannot)?;
    Ok(cluster)
}

/// A node's configuration.
pub(crate) fn node_file(dir: &Path, node: u64) -> PathBuf {
    dir.join(format!("node{node}.toml"))
}

/// What a node says while it runs.
pub(crate) fn log_file(dir: &Path, node: u64) -> PathBuf {
    dir.join(format!("node{node}.log"))
}

/// The last line of a file, if it has any.
pub(crate) fn last_line(file: &Path) -> Option<String> {
    const TAIL_BYTES: u64 = 4 << 10;
    let mut file = File::open(file).ok()?;
    let len = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL_BYTES))).ok()?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    tail.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
}

fn new_cluster(nodes: u64, engine: EngineName, port: u16) -> Result<Cluster> {
    let mut id = [0; 8];
    getrandom(&mut id)?;
    let mut free = FreePorts::default();
    let members = (1..=nodes).map(|id| {
        let mut address = |step: u16| -> Result<String> {
            let port = match port {
                0 => free.next()?,
                port => port
                    .checked_add(step * PORT_STEP + (id - 1) as u16)
                    .ok_or_else(|| Failure::usage("--port is too high for so many nodes"))?,
            };
            Ok(format!("127.0.0.1:{port}"))
        };
        Ok(Member { id, client: address(0)?, peer: address(1)?, http: Some(address(2)?) })
    });
    let nodes = members.collect::<Result<_>>()?;
    Ok(Cluster { cluster: u64::from_le_bytes(id), engine, nodes })
}

/// Tries all addresses of a new cluster before anything is made of them.
fn are_free(cluster: &Cluster) -> Result<()> {
    let addresses = cluster.nodes.iter().flat_map(|node| {
        [&node.client, &node.peer].into_iter().chain(&node.http).map(|address| (node.id, address))
    });
    for (node, address) in addresses {
        TcpListener::bind(address).map_err(|error| {
            let what = format!(
                "node {node} cannot have {address}: {error}; nothing was changed; choose other ports with \
                 --port (0 takes free ones)"
            );
            Failure::new(Exit::Address, what)
        })?;
    }
    Ok(())
}

/// Keeps others from running the cluster in this directory for as long as it is held.
#[derive(Debug)]
pub(crate) struct Hold(#[expect(dead_code, reason = "held, not read")] File);

/// Takes the directory for this process.
pub(crate) fn hold(dir: &Path) -> Result<Hold> {
    let cannot = |error: std::io::Error| {
        let what = format!("{} cannot be used: {error}; nothing was changed", dir.display());
        Failure::new(Exit::Data, what)
    };
    let path = dir.join(HOLD_FILE);
    let file = File::options().create(true).read(true).write(true).truncate(false).open(&path);
    let mut file = file.map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(cannot(error)),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(cannot)?;
            let what = format!(
                "the cluster in {} is in use: `synod up` runs it already, pid {}; nothing was changed; stop \
                 that one first, or choose another directory with --dir",
                dir.display(),
                holder.trim()
            );
            return Err(Failure::new(Exit::Data, what));
        }
    }
    file.set_len(0).map_err(cannot)?;
    writeln!(file, "{}", std::process::id()).map_err(cannot)?;
    Ok(Hold(file))
}

fn getrandom(bytes: &mut [u8]) -> Result<()> {
    use rustix::rand::{GetRandomFlags, getrandom};
    match getrandom(&mut *bytes, GetRandomFlags::empty()) {
        Ok(count) if count == bytes.len() => Ok(()),
        _ => Err(Failure::new(Exit::Fatal, "the system gives no random bytes")),
    }
}

/// Ports that were free when asked for; held until all are found, so that each is another.
#[derive(Default)]
struct FreePorts(Vec<TcpListener>);

impl FreePorts {
    fn next(&mut self) -> Result<u16> {
        let cannot = |error| Failure::new(Exit::Address, format!("no port is free: {error}"));
        let listener = TcpListener::bind("127.0.0.1:0").map_err(cannot)?;
        let port = listener.local_addr().map_err(cannot)?.port();
        self.0.push(listener);
        Ok(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_made_once_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("new");
        let made = prepare(&dir, (Some(2), None), 9_000).unwrap();
        assert_eq!(made.nodes[1].peer, "127.0.0.1:9101");
        assert_eq!(Node::read(&node_file(&dir, 2)).unwrap().nodes, made.nodes);
        assert_eq!(prepare(&dir, (None, Some(EngineName::Raft)), 1).unwrap(), made);
        assert_eq!(prepare(&dir, (Some(3), None), 1).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_port_in_use_is_named_and_nothing_is_made() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("new");
        let failure = prepare(&dir, (Some(1), None), port).unwrap_err();
        assert_eq!(failure.exit, Exit::Address);
        assert!(failure.what.contains(&format!("127.0.0.1:{port}")), "{}", failure.what);
        assert!(!dir.exists());
    }

    #[test]
    fn a_directory_is_held_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let first = hold(dir.path()).unwrap();
        let failure = hold(dir.path()).unwrap_err();
        let pid = format!("pid {};", std::process::id());
        assert!(failure.exit == Exit::Data && failure.what.contains(&pid), "{}", failure.what);
        drop(first);
        hold(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_with_something_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "precious").unwrap();
        assert_eq!(prepare(dir.path(), (None, None), 0).unwrap_err().exit, Exit::Data);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn free_ports_are_all_different() {
        let cluster = new_cluster(9, EngineName::default(), 0).unwrap();
        let addresses = cluster.nodes.iter().flat_map(|node| [&node.client, &node.peer]);
        assert_eq!(addresses.collect::<std::collections::BTreeSet<_>>().len(), 18);
    }
}
