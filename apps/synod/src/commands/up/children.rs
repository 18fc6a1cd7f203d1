//! The processes of a local cluster: started, watched, stopped. They die with this one.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::layout;
use crate::cli::LogFormat;
use crate::exit::{Exit, Failure, Result};

/// How long nodes may take to stop before they are killed. Killing loses nothing either.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before a node is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// The nodes that run.
#[derive(Debug)]
pub(super) struct Children {
    dir: PathBuf,
    log_format: LogFormat,
    restart: bool,
    pids: BTreeMap<u64, u32>,
    started: usize,
    ends: mpsc::Receiver<Ended>,
    ending: mpsc::Sender<Ended>,
}

/// A node that ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) node: u64,
    pub(super) pid: u32,
    /// In words; with the last of its log if it ended by itself.
    pub(super) how: String,
    /// What its exit code says.
    pub(super) exit: Exit,
    /// Whether it is to be started again.
    restart: bool,
}

impl Children {
    pub(super) fn new(dir: &Path, log_format: LogFormat, restart: bool) -> Self {
        let (ending, ends) = mpsc::channel(16);
        let (dir, pids) = (dir.to_owned(), BTreeMap::new());
        Self { dir, log_format, restart, pids, started: 0, ends, ending }
    }

    /// Starts a node. Its log goes on at the end of its file.
    pub(super) fn start(&mut self, node: u64) -> Result<()> {
        self.spawn(node)?;
        self.started += 1;
        Ok(())
    }

    fn spawn(&mut self, node: u64) -> Result<()> {
        let log = layout::log_file(&self.dir, node);
        let cannot = |what: &str, error: std::io::Error| {
            Failure::new(Exit::Data, format!("cannot {what}: {error}; node {node} was not started"))
        };
        let log = OpenOptions::new().append(true).create(true).open(&log);
        let log = log.map_err(|error| cannot("write its log", error))?;
        let program = std::env::current_exe().map_err(|error| cannot("find myself", error))?;
        let format = match self.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let mut child = Command::new(program)
            .args(["--log-format", format, "node", "--config"])
            .arg(layout::node_file(&self.dir, node))
            .args(["--parent", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C is for this process; it passes on what it means.
            .process_group(0)
            .spawn()
            .map_err(|error| cannot("start a process", error))?;
        let pid = child.id().expect("it has not been waited for");
        self.pids.insert(node, pid);
        let (ending, log) = (self.ending.clone(), layout::log_file(&self.dir, node));
        let restart = self.restart;
        tokio::spawn(async move {
            let mut ended = Ended::of(node, pid, child.wait().await, &log);
            ended.restart = restart && ended.exit == Exit::Fatal;
            if ended.restart {
                sleep(RESTART_PAUSE).await;
            }
            // Nobody listens once the cluster is being stopped.
            ending.send(ended).await.ok();
        });
        Ok(())
    }

    /// The process of a node that runs.
    pub(super) fn pid(&self, node: u64) -> Option<u32> {
        self.pids.get(&node).copied()
    }

    /// The processes of all nodes that run.
    pub(super) fn pids(&self) -> BTreeMap<u64, u32> {
        self.pids.clone()
    }

    /// How many run.
    pub(super) fn len(&self) -> usize {
        self.pids.len()
    }

    /// How many the cluster has.
    pub(super) fn started(&self) -> usize {
        self.started
    }

    /// Whether none runs.
    pub(super) fn is_empty(&self) -> bool {
        self.pids.is_empty()
    }

    /// Waits for a node to end; starts it again if that was asked for and it was killed. Safe to
    /// cancel.
    pub(super) async fn ended(&mut self) -> Ended {
        let mut ended = self.ends.recv().await.expect("this value holds a sender");
        self.pids.remove(&ended.node);
        if ended.restart
            && let Err(failure) = self.spawn(ended.node)
        {
            ended.how = format!("{}; {}", ended.how, failure.what);
        }
        ended
    }

    /// Asks all to stop, and waits until they have, within bounds.
    pub(super) async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while !self.pids.is_empty() {
            match timeout_at(deadline, self.ends.recv()).await {
                Ok(Some(ended)) => {
                    self.pids.remove(&ended.node);
                }
                Ok(None) | Err(_) => break,
            }
        }
    }

    /// Kills those that are left.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        for pid in self.pids.values() {
            if let Some(pid) = Pid::from_raw(*pid as i32) {
                // It may have ended by itself meanwhile.
                kill_process(pid, signal).ok();
            }
        }
    }
}

impl Ended {
    fn of(node: u64, pid: u32, status: std::io::Result<ExitStatus>, log: &Path) -> Self {
        let (how, exit) = match status {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => {
                    let why = layout::last_line(log).unwrap_or_default();
                    let why = why.trim_start_matches("error: ");
                    (format!("exit code {code}: {why}"), exit_of(code))
                }
                (None, Some(signal)) => (format!("killed by signal {signal}"), Exit::Fatal),
                (None, None) => (status.to_string(), Exit::Fatal),
            },
            Err(error) => (error.to_string(), Exit::Fatal),
        };
        Self { node, pid, how, exit, restart: false }
    }
}

/// The exit code of a node, taken over.
fn exit_of(code: i32) -> Exit {
    [Exit::Done, Exit::Usage, Exit::Data, Exit::Address]
        .into_iter()
        .find(|exit| *exit as i32 == code)
        .unwrap_or(Exit::Fatal)
}
