//! Which cluster a command is about: named by the user, or that of the running `synod up`.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, getuid, test_kill_process};
use synod_clerk::Options;
use synod_engine::ClusterId;

use crate::cli::ClusterArgs;
use crate::config::Cluster;
use crate::exit::{Exit, Failure, Result};

/// Where `synod up` puts its data unless told otherwise.
const USUAL: &str = "synod-data/cluster.toml";

/// A cluster that a client can call.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) addresses: Vec<String>,
    /// Known if a file described it.
    pub(crate) cluster: Option<Cluster>,
    pub(crate) options: Options,
}

impl ClusterArgs {
    /// Finds the cluster.
    pub(crate) fn target(&self) -> Result<Target> {
        self.find().map_err(|failure| failure.in_json(self.json))
    }

    fn find(&self) -> Result<Target> {
        let options = Options { timeout_ms: self.timeout_ms, ..Options::default() };
        let file = match &self.cluster {
            Some(name) if Path::new(name).exists() => PathBuf::from(name),
            Some(addresses) if addresses.contains(':') => {
                let addresses = addresses.split(',').map(|address| address.trim().to_owned());
                return Ok(Target { addresses: addresses.collect(), cluster: None, options });
            }
            Some(name) => {
                let what = format!("{name} is neither a file nor addresses host:port,host:port");
                return Err(Failure::usage(what));
            }
            None => running().or_else(usual).ok_or_else(|| {
                let what = "no cluster is running here; `synod up` starts one, and --cluster names \
                            another";
                Failure::new(Exit::Unreachable, what)
            })?,
        };
        let cluster = Cluster::read(&file)?;
        let addresses = cluster.nodes.iter().map(|node| node.client.clone()).collect();
        let options = Options { cluster: Some(ClusterId(cluster.cluster)), ..options };
        Ok(Target { addresses, cluster: Some(cluster), options })
    }
}

/// The sign that a running `synod up` leaves for the commands of the same user; taken down when
/// dropped.
#[derive(Debug)]
pub(crate) struct Sign(Option<PathBuf>);

impl Sign {
    /// Puts up the sign. Without a place for it, commands must be told of the cluster.
    pub(crate) fn put_up(cluster: &Path) -> Self {
        let path = sign();
        if running().is_some() {
            // Whoever came first keeps it; this cluster is named by its file.
            return Self(None);
        }
        let text = format!("{}\n{}\n", std::process::id(), cluster.display());
        let mut private = std::fs::DirBuilder::new();
        let made =
            path.parent().map_or(Ok(()), |dir| private.recursive(true).mode(0o700).create(dir));
        match made.and_then(|()| std::fs::write(&path, text)) {
            Ok(()) => Self(Some(path)),
            Err(_) => Self(None),
        }
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        // Another `synod up` may have put up its own, had it found this one stale.
        if let Some(path) = &self.0
            && read_sign(path).is_some_and(|(pid, _)| pid == std::process::id() as i32)
        {
            std::fs::remove_file(path).ok();
        }
    }
}

/// The cluster file of the `synod up` that runs.
fn running() -> Option<PathBuf> {
    let (pid, file) = read_sign(&sign())?;
    let is_alive = Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid).is_ok());
    (is_alive && file.exists()).then_some(file)
}

fn usual() -> Option<PathBuf> {
    let file = PathBuf::from(USUAL);
    file.exists().then_some(file)
}

/// A file in the user's runtime directory; where there is none, in one that we make.
fn sign() -> PathBuf {
    let dir = match std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir).join("synod"),
        None => std::env::temp_dir().join(format!("synod-{}", getuid().as_raw())),
    };
    dir.join("up")
}

/// The process that put up the sign, and the cluster file. A sign of another user is not believed.
fn read_sign(path: &Path) -> Option<(i32, PathBuf)> {
    if std::fs::metadata(path).ok()?.uid() != getuid().as_raw() {
        return None;
    }
    let text = std::fs::read_to_string(path).ok()?;
    let (pid, file) = text.trim_end().split_once('\n')?;
    Some((pid.parse().ok()?, PathBuf::from(file)))
}
