//! What clients, faults and judges have in common: the servers, their processes if they are ours, the
//! record of what happens, and whether it is time to mend.

use std::collections::BTreeMap;
use std::time::Duration;

use synod_clerk::{NodeReport, Options, status_of};
use synod_consensus::Role;
use synod_engine::Random;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::atlas::{Atlas, Taken};
use super::cluster::Cluster;
use super::timeline::Timeline;

/// Between two questions.
pub(super) const ASK_EVERY: Duration = Duration::from_millis(50);

/// How long a server may take to say how it is.
const ANSWER_MS: u64 = 500;

/// A cluster under torture.
#[derive(Debug)]
pub(super) struct Field {
    /// Its processes, if they are ours.
    pub(super) cluster: Option<Cluster>,
    /// Its servers, if they are not.
    pub(super) attached: Vec<String>,
    /// How its servers are called.
    pub(super) options: Options,
    pub(super) atlas: Atlas,
    pub(super) timeline: Timeline,
    /// True while nothing is to be broken, and what is broken to be mended.
    calm: watch::Sender<bool>,
}

impl Field {
    /// The field of processes that are ours.
    pub(super) fn of(cluster: Cluster, members: Vec<u64>, timeline: Timeline) -> Self {
        let (options, atlas) = (cluster.options(), Atlas::new(members));
        let (cluster, attached, calm) = (Some(cluster), Vec::new(), watch::channel(true).0);
        Self { cluster, attached, options, atlas, timeline, calm }
    }

    /// The field of servers that run elsewhere.
    pub(super) fn at(attached: Vec<String>, timeline: Timeline) -> Self {
        let (options, atlas, calm) = (Options::default(), Atlas::new([]), watch::channel(true).0);
        Self { cluster: None, attached, options, atlas, timeline, calm }
    }

    /// The processes. Faults that need some are only let loose where there are.
    pub(super) fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().expect("faults that break processes are for our own")
    }

    /// Where the servers are reached.
    pub(super) fn addresses(&self) -> Vec<String> {
        match &self.cluster {
            Some(cluster) => {
                let members = self.atlas.members();
                members.into_iter().map(|node| cluster.client(node).to_owned()).collect()
            }
            None => self.attached.clone(),
        }
    }

    /// Faults may begin, or must end.
    pub(super) fn set_calm(&self, is_calm: bool) {
        self.calm.send_replace(is_calm);
    }

    pub(super) fn is_calm(&self) -> bool {
        *self.calm.borrow()
    }

    /// Waits so long, or until everything is to be mended.
    pub(super) async fn hold(&self, time: Duration) {
        let mut calm = self.calm.subscribe();
        tokio::select! {
            () = sleep(time) => {}
            _ = calm.wait_for(|is_calm| *is_calm) => {}
        }
    }

    /// How the servers say they are, by their addresses.
    pub(super) async fn reports(&self) -> BTreeMap<String, NodeReport> {
        let options =
            Options { open_timeout_ms: ANSWER_MS, timeout_ms: ANSWER_MS, ..self.options.clone() };
        let mut asked = JoinSet::new();
        for address in self.addresses() {
            let options = options.clone();
            asked.spawn(async move {
                let report = status_of(&address, &options).await.ok();
                report.map(|report| (address, report))
            });
        }
        asked.join_all().await.into_iter().flatten().collect()
    }

    /// Who leads, in the newest epoch in which one says so.
    pub(super) async fn leader(&self) -> Option<NodeReport> {
        let reports = self.reports().await.into_values();
        let leaders = reports.filter(|report| report.log.role == Role::Leader);
        leaders.max_by_key(|report| report.log.epoch)
    }

    /// Takes the leader one time in three, else any node that is free.
    pub(super) async fn victim(&self, random: &mut Random) -> Option<Taken> {
        if random.below(3) == 0
            && let Some(leader) = self.leader().await
            && let Some(taken) = self.atlas.take(leader.log.node.0)
        {
            return Some(taken);
        }
        self.atlas.take_any(random)
    }

    /// Waits until a node is ready.
    pub(super) async fn ready(&self, node: u64) {
        let address = self.cluster().client(node).to_owned();
        loop {
            match status_of(&address, &self.options).await {
                Ok(report) if report.is_ready => return,
                Ok(_) | Err(_) => sleep(ASK_EVERY).await,
            }
        }
    }

    /// Waits until one node leads, all are ready, and all have applied what is committed now. What is not
    /// so yet is written to `missing`.
    pub(super) async fn well(&self, missing: &mut String) {
        let count = self.addresses().len();
        let mut wanted = None;
        loop {
            let reports = self.reports().await;
            let leader = reports.values().filter(|report| report.log.role == Role::Leader);
            let leader = leader.max_by_key(|report| report.log.epoch);
            let behind = |report: &&NodeReport| {
                !report.is_ready || wanted.is_none_or(|wanted| report.log.applied < wanted)
            };
            *missing = match (leader, reports.values().find(behind)) {
                _ if reports.len() < count => {
                    format!("{} of {count} nodes answer", reports.len())
                }
                (None, _) => "no node leads".into(),
                (Some(leader), _) if wanted.is_none() => {
                    wanted = Some(leader.log.commit);
                    continue;
                }
                (Some(_), Some(report)) => format!(
                    "node {} has applied {} of {}, and says that it is {}ready",
                    report.log.node.0,
                    report.log.applied.0,
                    wanted.map_or(0, |wanted| wanted.0),
                    if report.is_ready { "" } else { "not " }
                ),
                (Some(_), None) => return,
            };
            sleep(ASK_EVERY).await;
        }
    }
}
