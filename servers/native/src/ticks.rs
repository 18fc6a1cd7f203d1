//! The clock of the store: while this node leads, it tells the log how much time has passed.
//!
//! Only sessions grow old, so without one no time is told, and an idle group may fall quiet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use synod_codec::encode;
use synod_consensus::Role;
use synod_kv::message::Command;
use synod_runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::feed::Feed;
use crate::outbox::ReplyTo;
use crate::watched::Watched;

/// How often time is told. Sessions live for tens of seconds.
const EVERY: Duration = Duration::from_secs(1);

/// Proposes a tick every second while the node leads and a session is open, for ever.
///
/// One tick is under way at a time: after a time without a quorum, in which no client could be heard
/// either, the store's clock moves on by one bounded tick and sessions live on.
pub(crate) async fn run(handle: Handle<Watched, ReplyTo>, feed: Arc<Feed>) {
    let leadership = handle.leader_changes();
    let under_way = Arc::new(AtomicBool::new(false));
    let mut beat = interval(EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Instant::now();
    let mut reign = None;
    loop {
        let now = beat.tick().await;
        let leads = *leadership.borrow();
        let current = (leads.role == Role::Leader).then_some(leads.epoch);
        if current.is_none() || current != reign || feed.sessions() == 0 {
            (reign, told) = (current, now);
            continue;
        }
        if under_way.swap(true, Ordering::AcqRel) {
            continue;
        }
        let elapsed_ms = now.duration_since(told).as_millis() as u64;
        told = now;
        let mut command = Vec::new();
        encode(&Command::Tick { elapsed_ms }, &mut command);
        handle.propose(command.into(), ReplyTo::clock(under_way.clone()));
    }
}
