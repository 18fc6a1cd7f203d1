//! `synod bench failover`: kills the leader of a running local cluster, again and again, and says how
//! long it takes until a write is acknowledged that was asked for after the kill.
//!
//! The cluster must start its nodes again (`synod up --restart`); nothing that was acknowledged is lost.

use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use synod_clerk::{Clerk, NodeReport, Options, status_of};
use synod_consensus::Role;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::cli::ClusterArgs;
use crate::commands::block_on;
use crate::exit::{Exit, Failure, Result};
use crate::output::{say, tell};
use crate::place::Target;

/// How long a round waits for all nodes to be ready, and for a write after the kill.
const PATIENCE: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(20);

/// What to do.
#[derive(Args, Clone, Debug)]
pub(crate) struct FailoverArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    /// How often to kill the leader
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Clients that write all the time, one after the other
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: u32,
    /// How long all is well before a kill, in milliseconds
    #[arg(long, default_value_t = 1_000)]
    calm_ms: u64,
}

pub(crate) fn run(args: &FailoverArgs) -> Result<Exit> {
    let json = args.cluster.json;
    block_on(measure(args)).map_err(|failure| failure.in_json(json))
}

async fn measure(args: &FailoverArgs) -> Result<Exit> {
    let target = args.cluster.target()?;
    if !target.addresses.iter().all(|address| is_local(address)) {
        return Err(Failure::usage("only a cluster of this machine can be killed from here"));
    }
    let (acknowledged, watched) = watch::channel(None);
    for client in 0..args.clients {
        let clerk = Clerk::connect(target.addresses.clone(), target.options.clone()).await?;
        tokio::spawn(write(clerk, client, acknowledged.clone()));
    }
    let mut times = Vec::new();
    for round in 1..=args.rounds {
        let leader = ready(&target).await?;
        sleep(Duration::from_millis(args.calm_ms)).await;
        let time = kill(&leader, watched.clone()).await?;
        if !args.cluster.json {
            say!("round {round}: node {} killed, {} ms", leader.log.node.0, time.as_millis());
        }
        times.push(time.as_secs_f64() * 1_000.0);
    }
    // So that the next command finds the cluster whole.
    ready(&target).await?;
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)];
    let (min, p50, p90, max) = (at(0.0), at(0.5), at(0.9), at(1.0));
    if args.cluster.json {
        let told = json!({
            "rounds": args.rounds, "clients": args.clients,
            "min_ms": min, "p50_ms": p50, "p90_ms": p90, "max_ms": max, "all_ms": times,
        });
        tell(&told);
    } else {
        say!(
            "\nfrom kill -9 of the leader to the first acknowledged write, {} rounds: least {min:.0} \
             ms, p50 {p50:.0} ms, p90 {p90:.0} ms, most {max:.0} ms",
            args.rounds
        );
    }
    Ok(Exit::Done)
}

/// Writes all the time; tells when the last write was asked for that was acknowledged.
async fn write(clerk: Clerk, client: u32, acknowledged: watch::Sender<Option<Instant>>) {
    loop {
        let asked = Instant::now();
        match clerk.put(format!("failover-{client}"), "x").await {
            Ok(_) => drop(acknowledged.send_replace(Some(asked))),
            // Its time was up; whoever measures has less patience or says so.
            Err(_) => sleep(ASK_EVERY).await,
        }
    }
}

/// Kills `leader`; how long until a write is acknowledged that was asked for afterwards.
async fn kill(
    leader: &NodeReport,
    mut acknowledged: watch::Receiver<Option<Instant>>,
) -> Result<Duration> {
    let pid = i32::try_from(leader.pid).ok().and_then(Pid::from_raw);
    let killed = Instant::now();
    pid.ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| kill_process(pid, Signal::KILL))
        .map_err(|error| Failure::usage(format!("the leader cannot be killed: {error}")))?;
    let is_later = |asked: &Option<Instant>| asked.is_some_and(|asked| asked > killed);
    match timeout(PATIENCE, acknowledged.wait_for(is_later)).await {
        Ok(_) => Ok(killed.elapsed()),
        Err(_) => Err(Failure::new(Exit::NotDone, "no write was done after the leader was killed")),
    }
}

/// Waits until all nodes are ready; tells who leads.
async fn ready(target: &Target) -> Result<NodeReport> {
    let options = Options { open_timeout_ms: 500, ..target.options.clone() };
    let all = async {
        loop {
            let (mut leader, mut is_ready) = (None, true);
            for address in &target.addresses {
                match status_of(address, &options).await {
                    Ok(report) => {
                        is_ready &= report.is_ready;
                        leader = leader.or((report.log.role == Role::Leader).then_some(report));
                    }
                    Err(_) => is_ready = false,
                }
            }
            match leader {
                Some(leader) if is_ready => return leader,
                Some(_) | None => sleep(ASK_EVERY).await,
            }
        }
    };
    timeout(PATIENCE, all).await.map_err(|_| {
        let what = "not all nodes are ready; the cluster must start killed nodes again: `synod up \
                    --restart`";
        Failure::new(Exit::NotDone, what)
    })
}

fn is_local(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_local() {
        assert!(["127.0.0.1:7101", "[::1]:7101", "localhost:1"].into_iter().all(is_local));
        assert!(
            !["10.0.0.1:7101", "example.org:1", "localhost.example:1"].into_iter().any(is_local)
        );
    }
}
