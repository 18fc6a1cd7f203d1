//! The torture of clusters of real processes: what `synod torture` does.
//!
//! It goes in rounds. In each, [clients](load) call all servers while [faults] of all kinds strike, each kind by
//! itself, so that they overlap; an [atlas] keeps them within what the protocol survives. Then everything is
//! mended. The cluster must be [well](field::Field::well) within a bound, all nodes must hold the same, and one
//! order must explain all that the clients saw, and [watchers] must have been told of it ([`round`], [`verdict`]). What was seen is forgotten after that,
//! so that hours take no more memory than minutes; what remains is a [`report`], from which a torture that
//! was ended goes on.
//!
//! The nodes are [children of this process](cluster), and reach each other through [`crate::network`]. A
//! cluster that runs elsewhere can be attached to: then clients and judges work as ever, and the only fault
//! is that leadership moves.

mod atlas;
mod cluster;
mod disk;
mod faults;
mod field;
mod load;
mod ports;
mod report;
mod round;
pub(crate) mod span;
mod timeline;
mod verdict;
mod watchers;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::engines::EngineName;
use crate::exit::{Exit, Failure, Result};

pub(crate) use faults::Kind;
pub(crate) use report::{Report, file, page};
pub(crate) use round::Outcome;
pub(crate) use timeline::Timeline;

use cluster::Cluster;
use field::Field;
use load::Habits;
use round::Round;

/// How long a cluster may take to be well before the first round.
const FIRST: Duration = Duration::from_secs(60);

/// What is to be tortured, how, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) dir: PathBuf,
    /// Whether to go on with what was ended there.
    pub(crate) resume: bool,
    pub(crate) engine: EngineName,
    pub(crate) nodes: u64,
    /// Servers that run elsewhere, in place of nodes of our own.
    pub(crate) attached: Vec<String>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) seed: u64,
    /// In all, resumed or not.
    pub(crate) time: Duration,
    pub(crate) round: Duration,
    /// Within which time all must be well again after a round.
    pub(crate) bound: Duration,
    pub(crate) clients: u64,
    pub(crate) rate: u64,
    pub(crate) keys: u64,
}

/// A torture under way.
pub(crate) struct Torture {
    plan: Plan,
    report: Report,
    field: Arc<Field>,
}

impl Torture {
    /// Makes the cluster, or finds what was ended; starts the nodes, and waits until they are well.
    pub(crate) async fn begin(plan: Plan) -> Result<Self> {
        let is_own = plan.attached.is_empty();
        let (mut report, cluster, no_disks) = match (plan.resume, is_own) {
            (true, _) => {
                let report = Report::read(&plan.dir).map_err(Failure::usage)?;
                let cluster = is_own.then(|| Cluster::open(&plan.dir)).transpose()?;
                (report, cluster, None)
            }
            (false, true) => {
                let wants_disks = plan.kinds.contains(&Kind::Disk);
                let (cluster, no_disks) =
                    Cluster::make(&plan.dir, plan.engine, plan.nodes, wants_disks)?;
                let mut report = Report::new(Some(plan.engine), plan.nodes, plan.seed);
                report.members = (1..=plan.nodes).collect();
                (report, Some(cluster), no_disks)
            }
            (false, false) => {
                std::fs::create_dir_all(&plan.dir).map_err(|error| {
                    Failure::new(Exit::Data, format!("{}: {error}", plan.dir.display()))
                })?;
                (Report::new(None, plan.attached.len() as u64, plan.seed), None, None)
            }
        };
        report.choose(&plan.kinds, |kind| match &cluster {
            None if kind.needs_processes() => Some("the processes are not ours".into()),
            Some(cluster) if kind == Kind::Disk && !cluster.has_disks() => Some(
                no_disks.clone().unwrap_or_else(|| "the nodes have no disks of their own".into()),
            ),
            None | Some(_) => None,
        });
        let timeline = Timeline::resume(report.record.clone(), report.elapsed());
        let field = match cluster {
            Some(cluster) => Field::of(cluster, report.members.clone(), timeline),
            None => Field::at(plan.attached.clone(), timeline),
        };
        let torture = Self { plan, report, field: Arc::new(field) };
        torture.start().await?;
        Ok(torture)
    }

    /// What happens, as it happens.
    pub(crate) fn timeline(&self) -> &Timeline {
        &self.field.timeline
    }

    /// What came of it so far.
    pub(crate) fn report(&self) -> &Report {
        &self.report
    }

    /// Whether there is time for another round, and sense in it.
    pub(crate) fn goes_on(&self) -> bool {
        self.report.elapsed() < self.plan.time && self.report.verdict().goes_on()
    }

    /// Runs the next round, shorter once it was asked to `stop`, or if little time is left, and writes the report.
    pub(crate) async fn round(&mut self, stop: watch::Receiver<u32>) -> Result<&Outcome> {
        let number = self.report.rounds.len() as u64 + 1;
        let kept = self.plan.dir.join(format!("kept/round-{number}.jsonl"));
        let Plan { clients, rate, keys, .. } = self.plan;
        let seed = self.report.seed.wrapping_mul(1 << 20).wrapping_add(number);
        let left = self.plan.time.saturating_sub(self.report.elapsed());
        let round = Round {
            number,
            habits: Habits { clients, rate, keys, seed },
            kinds: &self.report.kinds,
            time: self.plan.round.min(left),
            bound: self.plan.bound,
            kept: &kept,
        };
        let outcome = round.run(&self.field, stop).await?;
        self.report.rounds.push(outcome);
        self.report.record = self.field.timeline.record();
        self.report.elapsed_ms = self.field.timeline.now().as_millis() as u64;
        self.report.members = self.field.atlas.members();
        self.report.write(&self.plan.dir).map_err(|error| {
            let what =
                format!("the report cannot be written to {}: {error}", self.plan.dir.display());
            Failure::new(Exit::Untold, what)
        })?;
        Ok(&self.report.rounds[number as usize - 1])
    }

    /// Stops the nodes, if they are ours.
    pub(crate) async fn end(self) -> Report {
        if let Some(cluster) = &self.field.cluster {
            cluster.stop().await;
        }
        self.report
    }

    /// Starts the nodes and waits until they are well. A torture that was ended by force may have forgotten
    /// who belongs to the group by then: the group knows.
    async fn start(&self) -> Result<()> {
        let mut missing = String::new();
        let well = async {
            let Some(cluster) = &self.field.cluster else {
                self.field.well(&mut missing).await;
                return Ok(());
            };
            for node in &self.report.members {
                cluster.start(*node)?;
            }
            let members = loop {
                if let Some(leader) = self.field.leader().await {
                    break leader.log.members;
                }
                tokio::time::sleep(field::ASK_EVERY).await;
            };
            let members: Vec<u64> = members.iter().map(|member| member.node.0).collect();
            for node in members.iter().filter(|node| !self.report.members.contains(node)) {
                cluster.start(*node)?;
                self.field.atlas.admit(*node);
            }
            for node in self.report.members.iter().filter(|node| !members.contains(node)) {
                self.field.atlas.dismiss(*node);
                cluster.end(*node, rustix::process::Signal::KILL).await;
            }
            self.field.well(&mut missing).await;
            Ok(())
        };
        timeout(FIRST, well).await.unwrap_or_else(|_| {
            let what =
                format!("the cluster is not well after {FIRST:?}: {missing}; nothing was broken");
            Err(Failure::new(Exit::NotDone, what))
        })
    }
}
