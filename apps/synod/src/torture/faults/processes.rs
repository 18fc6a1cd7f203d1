//! Processes that die, sleep, and stop in order.

use std::time::Duration;

use rustix::process::Signal;
use synod_engine::Random;
use tokio::time::timeout;

use super::members::serves;
use super::{Kind, span};
use crate::torture::atlas::Taken;
use crate::torture::field::Field;
use crate::torture::verdict::Verdict;

/// How long a node may take to stop in order, and to be ready afterwards.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a node; what comes of it if that cannot be done.
pub(super) fn start(field: &Field, node: u64) -> Result<(), Verdict> {
    field.cluster().start(node).map_err(|failure| Verdict::Died(failure.what))
}

/// kill -9 of one node, the leader or all, which are started again after a while.
pub(super) async fn kill(field: &Field, random: &mut Random) -> Result<(), Verdict> {
    let taken = match random.below(8) {
        0 => field.atlas.take_all(),
        _ => field.victim(random).await.into_iter().collect(),
    };
    if taken.is_empty() {
        return Ok(());
    }
    let _under_way = field.timeline.fault(Kind::Kill, names(&taken));
    for taken in &taken {
        field.cluster().let_end(taken.node);
        field.cluster().signal(taken.node, Signal::KILL);
    }
    for taken in &taken {
        field.cluster().ended(taken.node).await;
    }
    field.hold(span(random, 20, 4_000)).await;
    taken.iter().try_for_each(|taken| start(field, taken.node))
}

/// Suspends a node for a while: it keeps its connections, and says nothing.
pub(super) async fn stop(field: &Field, random: &mut Random) {
    let Some(taken) = field.victim(random).await else { return };
    let _under_way = field.timeline.fault(Kind::Stop, names([&taken]));
    field.cluster().signal(taken.node, Signal::STOP);
    field.hold(span(random, 50, 8_000)).await;
    field.cluster().signal(taken.node, Signal::CONT);
}

/// Stops and starts all nodes in order, each when the one before is ready again.
pub(super) async fn restart(field: &Field, random: &mut Random) -> Result<(), Verdict> {
    let _under_way = field.timeline.fault(Kind::Restart, "all, one after the other".into());
    let mut nodes = field.atlas.members();
    for place in (1..nodes.len()).rev() {
        nodes.swap(place, random.below(place as u64 + 1) as usize);
    }
    for node in nodes {
        let Some(taken) = field.atlas.take(node) else { continue };
        // What has not begun cannot end in order.
        tokio::select! {
            () = serves(field, node) => {}
            () = field.hold(PATIENCE) => break,
        }
        match timeout(PATIENCE, field.cluster().end(taken.node, Signal::TERM)).await {
            Ok(Some(status)) if status.success() => {}
            Ok(Some(status)) => {
                return Err(Verdict::Died(field.cluster().obituary(node, status)));
            }
            Ok(None) => unreachable!("a node in our hands runs"),
            Err(_) => {
                let what = format!("node {node} did not stop within {PATIENCE:?} of SIGTERM");
                return Err(Verdict::Stalled(what));
            }
        }
        start(field, node)?;
        tokio::select! {
            () = field.ready(node) => {}
            () = field.hold(PATIENCE) => {}
        }
        if field.is_calm() {
            break;
        }
    }
    Ok(())
}

/// Which nodes, in words.
pub(super) fn names<'a>(taken: impl IntoIterator<Item = &'a Taken>) -> String {
    let names: Vec<String> = taken.into_iter().map(|taken| taken.node.to_string()).collect();
    format!("node {}", names.join(", "))
}
