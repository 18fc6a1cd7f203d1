//! Whose directory this is: the lock that keeps a second process out, and the file that says which
//! node of which cluster wrote it.
//!
//! `DIR/lock` is locked for as long as the node lives and holds its pid. `DIR/identity.toml` is written
//! with the directory, when its log is begun, and when a peer is met for the first time.
//!
//! Next: [`crate::acquaintances`], which writes down the peers.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use synod_engine::{ClusterId, Incarnation, NodeId};

use crate::directory;

/// The version of the directory's layout that is written; the only one read.
pub const FORMAT: u32 = 1;

const FILE: &str = "identity.toml";

/// Who wrote a directory, and whom it knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// The life of this directory.
    pub incarnation: Incarnation,
    /// The name of the engine that wrote it, if that has one.
    pub engine: Option<String>,
    peers: BTreeMap<NodeId, Incarnation>,
    /// Whether there has been a log: if it is gone, it was lost.
    pub(crate) log_begun: bool,
    is_repaired: bool,
}

/// A directory that belongs to this process until the lock is dropped.
#[derive(Debug)]
pub struct Lock {
    dir: PathBuf,
    _file: File,
}

/// Why a directory cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Another process runs on it.
    #[error(
        "{dir} is in use by a running process (pid {pid}); stop it, or choose another directory"
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The process, as it wrote itself down; `?` if it has not yet.
        pid: String,
    },
    /// It holds the data of another cluster.
    #[error("{dir} belongs to cluster {found:016x}, not {expected:016x}; nothing was changed")]
    Cluster {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        found: u64,
        /// Who asked.
        expected: u64,
    },
    /// It holds the data of another node.
    #[error("{dir} belongs to node {found}, not {expected}; nothing was changed")]
    Node {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Who asked.
        expected: NodeId,
    },
    /// It holds the data of another engine, whose records mean something else.
    #[error("{dir} was written by {}, and {} cannot read it; nothing was changed; start the node with the \
             engine that the directory has, or with an empty directory", called(.found), called(.expected))]
    Engine {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        found: Option<String>,
        /// Who asked.
        expected: Option<String>,
    },
    /// It was written by a version with another layout.
    #[error(
        "{dir} has format {found} and this version reads format {FORMAT}; nothing was changed; run \
         the version that wrote it"
    )]
    Version {
        /// The directory.
        dir: PathBuf,
        /// The format it has.
        found: u32,
    },
    /// The identity cannot be read, or is missing beside existing data.
    #[error(
        "{file} is damaged: {why}; nothing was changed; restore it, or start over in an empty directory"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// There was a log, and it is gone: this node has lost what it promised.
    #[error(
        "{dir} is empty or gone, though this node had a log; nothing was changed; put it back, or run \
         `synod repair` so that the node joins anew"
    )]
    LogGone {
        /// Where the log was.
        dir: PathBuf,
    },
    /// The directory cannot be written.
    #[error("{dir} cannot be written: {error}; nothing was changed")]
    NotWritable {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Something else failed.
    #[error("{path}: {error}; nothing was changed")]
    Io {
        /// What was being read or written.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl Lock {
    /// Locks `dir`, making it if it is missing.
    ///
    /// # Errors
    /// [`IdentityError`]; nothing in the directory was changed.
    pub fn take(dir: &Path) -> Result<Self, IdentityError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::StorageFull
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists => {
                IdentityError::NotWritable { dir: dir.to_owned(), error }
            }
            _ => IdentityError::Io { path: dir.to_owned(), error },
        };
        directory::make_durably(dir).map_err(failed)?;
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join("lock"));
        let mut file = open.map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(failed)?;
                let pid = Some(pid.trim()).filter(|pid| !pid.is_empty()).unwrap_or("?").to_owned();
                return Err(IdentityError::Locked { dir: dir.to_owned(), pid });
            }
            Err(error) => return Err(failed(error.into())),
        }
        // Written in place: a node that was killed on a full disk must be able to start.
        file.rewind()
            .and_then(|()| writeln!(file, "{:<10}", std::process::id()))
            .map_err(failed)?;
        Ok(Self { dir: dir.to_owned(), _file: file })
    }

    /// Locks `dir`, which must be there.
    ///
    /// # Errors
    /// [`IdentityError`]; nothing in the directory was changed.
    pub fn take_existing(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(FILE);
        match std::fs::metadata(&path) {
            Ok(_) => Self::take(dir),
            Err(error) => Err(IdentityError::Io { path, error }),
        }
    }

    /// Which directory this is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The identity of the locked directory; a new one, with a random incarnation, if it is empty: a
    /// [newcomer](Incarnation::is_newcomer) if the node `joins` what others founded.
    ///
    /// # Errors
    /// [`IdentityError`]; nothing in the directory was changed.
    pub fn identity(
        &self,
        cluster: ClusterId,
        node: NodeId,
        engine: Option<&str>,
        joins: bool,
    ) -> Result<Identity, IdentityError> {
        let Some(identity) = self.read()? else {
            return self.create(cluster, node, engine, joins);
        };
        if identity.cluster != cluster {
            let (found, expected) = (identity.cluster.0, cluster.0);
            return Err(IdentityError::Cluster { dir: self.dir.clone(), found, expected });
        }
        if identity.node != node {
            let found = identity.node;
            return Err(IdentityError::Node { dir: self.dir.clone(), found, expected: node });
        }
        if identity.engine.as_deref() != engine {
            let (found, expected) = (identity.engine, engine.map(str::to_owned));
            return Err(IdentityError::Engine { dir: self.dir.clone(), found, expected });
        }
        let met = !identity.is_repaired && !identity.peers.is_empty();
        if (identity.log_begun || met) && !self.has_log() {
            return Err(IdentityError::LogGone { dir: self.dir.join("log") });
        }
        Ok(identity)
    }

    /// The identity of the locked directory, whosever it is; `None` if it has none.
    ///
    /// # Errors
    /// [`IdentityError`]; nothing in the directory was changed.
    pub fn read(&self) -> Result<Option<Identity>, IdentityError> {
        let path = self.file();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(IdentityError::Io { path, error }),
        };
        let damaged = |why: String| IdentityError::Damaged { file: path.clone(), why };
        let version: Version = toml::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if version.format != FORMAT {
            return Err(IdentityError::Version { dir: self.dir.clone(), found: version.format });
        }
        let written: Written = toml::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        written.read().ok_or_else(|| damaged("an id is not a number".into())).map(Some)
    }

    /// Takes durable note that this node has a log: it does not start without it again.
    ///
    /// # Errors
    /// [`IdentityError`]; nothing in the directory was changed.
    pub(crate) fn log_begun(&self, identity: &mut Identity) -> Result<(), IdentityError> {
        if identity.log_begun {
            return Ok(());
        }
        identity.log_begun = true;
        identity.write(&self.dir).map_err(|error| IdentityError::Io { path: self.file(), error })
    }

    fn has_log(&self) -> bool {
        let files = std::fs::read_dir(self.dir.join("log")).into_iter().flatten().flatten();
        files.into_iter().any(|file| file.path().extension().is_some_and(|end| end == "wal"))
    }

    fn create(
        &self,
        cluster: ClusterId,
        node: NodeId,
        engine: Option<&str>,
        joins: bool,
    ) -> Result<Identity, IdentityError> {
        let data = ["log", "blobs"].into_iter().find(|name| self.dir.join(name).exists());
        if let Some(name) = data {
            let why = format!("it is missing, though {name}/ is there");
            return Err(IdentityError::Damaged { file: self.file(), why });
        }
        let io = |error| IdentityError::Io { path: self.dir.clone(), error };
        let random = directory::random_u64().map_err(io)?;
        let incarnation =
            if joins { Incarnation::newcomer(random) } else { Incarnation::founder(random) };
        let peers = BTreeMap::new();
        let (log_begun, is_repaired) = (false, false);
        let engine = engine.map(str::to_owned);
        let identity =
            Identity { cluster, node, incarnation, engine, peers, log_begun, is_repaired };
        identity.write(&self.dir).map_err(io)?;
        Ok(identity)
    }

    fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }
}

impl Identity {
    /// Whether the directory was repaired: what it had promised is lost, so that this node is a member
    /// of nothing until it is admitted under its new incarnation. It must not found a group.
    #[must_use]
    pub fn is_repaired(&self) -> bool {
        self.is_repaired
    }

    /// The same node of the same cluster, which knows its peers and has lost everything else.
    pub(crate) fn reborn(&self, incarnation: Incarnation) -> Self {
        Self { incarnation, log_begun: false, is_repaired: true, ..self.clone() }
    }

    /// The same node, of another cluster, knowing nobody.
    pub(crate) fn refounded(&self, cluster: ClusterId) -> Self {
        Self { cluster, peers: BTreeMap::new(), ..self.clone() }
    }

    /// Makes it durable in `dir`.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let text = toml::to_string(&Written::of(self)).map_err(io::Error::other)?;
        directory::write_durably(&dir.join(FILE), text.as_bytes())
    }

    /// The incarnation by which `peer` is known.
    pub(crate) fn peer(&self, peer: NodeId) -> Option<Incarnation> {
        self.peers.get(&peer).copied()
    }

    /// The same, knowing `peer` by this incarnation.
    pub(crate) fn with_peer(&self, peer: NodeId, incarnation: Incarnation) -> Self {
        let mut next = self.clone();
        next.peers.insert(peer, incarnation);
        next
    }
}

/// An engine by its name.
fn called(engine: &Option<String>) -> &str {
    engine.as_deref().unwrap_or("the engine that has no name")
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// The file. Random ids are hexadecimal text, since TOML's integers end at 2^63.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    cluster: String,
    node: String,
    incarnation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    #[serde(default)]
    log_begun: bool,
    #[serde(default)]
    repaired: bool,
    #[serde(default)]
    peers: BTreeMap<String, String>,
}

impl Written {
    fn of(identity: &Identity) -> Self {
        let hex = |id: u64| format!("{id:016x}");
        let peers = identity.peers.iter();
        Self {
            format: FORMAT,
            cluster: hex(identity.cluster.0),
            node: identity.node.0.to_string(),
            incarnation: hex(identity.incarnation.0),
            engine: identity.engine.clone(),
            log_begun: identity.log_begun,
            repaired: identity.is_repaired,
            peers: peers
                .map(|(node, incarnation)| (node.0.to_string(), hex(incarnation.0)))
                .collect(),
        }
    }

    fn read(&self) -> Option<Identity> {
        let id = |text: &String| u64::from_str_radix(text, 16).ok();
        let node = |text: &String| text.parse().ok().map(NodeId);
        let peers = self.peers.iter();
        let peers = peers.map(|(peer, life)| Some((node(peer)?, Incarnation(id(life)?))));
        Some(Identity {
            cluster: ClusterId(id(&self.cluster)?),
            node: node(&self.node)?,
            incarnation: Incarnation(id(&self.incarnation)?),
            engine: self.engine.clone(),
            peers: peers.collect::<Option<_>>()?,
            log_begun: self.log_begun,
            is_repaired: self.repaired,
        })
    }
}
