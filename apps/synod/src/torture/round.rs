//! A round: clients at work, faults let loose, everything mended, and what was seen judged.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use synod_clerk::{Answer, Query, look};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::faults::{Kind, Loose};
use super::field::Field;
use super::load::{Habits, Load, Seen, after};
use super::verdict::{Verdict, judge};
use super::watchers::Watchers;
use crate::exit::{Failure, Result};

/// How often it is looked whether a node ended that should not have.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long a replica may take to show what it holds.
const SHOW: Duration = Duration::from_secs(10);

/// What makes a round.
pub(super) struct Round<'a> {
    pub(super) number: u64,
    pub(super) habits: Habits,
    pub(super) kinds: &'a [Kind],
    /// How long faults are loose.
    pub(super) time: Duration,
    /// Within which time all must be well once they have ended.
    pub(super) bound: Duration,
    /// Where the history is kept if it is not well.
    pub(super) kept: &'a Path,
}

/// What came of a round.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) number: u64,
    pub(crate) from_ms: u64,
    /// When everything began to be mended.
    pub(crate) calm_ms: u64,
    /// How long it took from then until all was well.
    pub(crate) recovery_ms: u64,
    /// Operations judged.
    pub(crate) operations: u64,
    /// How many of them are of unknown fate.
    pub(crate) unknown: u64,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

impl Round<'_> {
    /// Runs it; early to its end once it was asked to `stop`.
    pub(super) async fn run(
        &self,
        field: &Arc<Field>,
        mut stop: watch::Receiver<u32>,
    ) -> Result<Outcome> {
        let from_ms = field.timeline.now().as_millis() as u64;
        let (seed, addresses) = (self.habits.seed, field.addresses());
        let prefix = format!("torture-{:x}-{}/", moment(), self.number);
        let watchers = Watchers::start(&addresses, &field.options, &prefix).await?;
        let servers = (&addresses[..], field.options.clone());
        let mut load = Load::start(servers, &self.habits, &prefix, &field.timeline).await?;
        let mut loose = Loose::of(field, self.kinds, seed);
        let found = tokio::select! {
            () = sleep(self.time) => None,
            _ = stop.wait_for(|times| *times > 0) => None,
            found = loose.found() => Some(found),
            found = casualty(field) => Some(found),
        };
        let calm = Instant::now();
        let calm_ms = field.timeline.now().as_millis() as u64;
        field.set_calm(true);
        let found = match found {
            Some(found) => Some(found),
            None => self.recover(field, &mut loose, &load).await.err(),
        };
        let recovery_ms = calm.elapsed().as_millis() as u64;
        load.stop().await;
        let found = match found {
            Some(found) => Some(found),
            None => self.agree(field, &load).await.err(),
        };
        let (found, heard) = match found {
            Some(found) => (Some(found), Vec::new()),
            None => match watchers.end(load.seen(), self.bound).await {
                Ok(heard) => (None, heard),
                Err(found) => (Some(found), Vec::new()),
            },
        };
        let seen = Seen { heard, ..load.finish().await };
        let operations = seen.history.len() as u64;
        let unknown =
            seen.history.iter().filter(|operation| operation.returned.is_none()).count() as u64;
        let kept = self.kept.to_owned();
        let judged = tokio::task::spawn_blocking(move || judge(&seen, &kept)).await;
        let judged = judged.map_err(Failure::usage)?;
        // A violation says more than that the cluster stood still afterwards.
        let verdict = match (judged, found) {
            (violation @ Verdict::Violation(_), _) => violation,
            (_, Some(found)) => found,
            (judged, None) => judged,
        };
        let number = self.number;
        Ok(Outcome { number, from_ms, calm_ms, recovery_ms, operations, unknown, verdict })
    }

    /// Waits until all that was broken is mended and the cluster is well, within the bound.
    async fn recover(
        &self,
        field: &Field,
        loose: &mut Loose,
        load: &Load,
    ) -> std::result::Result<(), Verdict> {
        let mut missing = String::from("faults are still being mended");
        let mending = async {
            loose.ended().await?;
            missing = "a write is awaited".into();
            load.next_write().await;
            field.well(&mut missing).await;
            Ok(())
        };
        let ended = tokio::select! {
            ended = timeout(self.bound, mending) => ended,
            found = casualty(field) => Ok(Err(found)),
        };
        ended.unwrap_or_else(|_| {
            let what = format!("{:?} after everything was mended: {missing}", self.bound);
            Err(Verdict::Stalled(what))
        })
    }

    /// Reads everything once more, and looks whether all nodes hold the same.
    async fn agree(&self, field: &Field, load: &Load) -> std::result::Result<(), Verdict> {
        let read = timeout(self.bound, load.read_all()).await;
        let unread = |why: String| Verdict::Stalled(format!("nothing can be read any more: {why}"));
        read.map_err(|error| unread(error.to_string()))?
            .map_err(|error| unread(error.to_string()))?;
        let mut first = None;
        for address in field.addresses() {
            let held = hold(field, load, &address).await?;
            match &first {
                None => first = Some((address, held)),
                Some((other, same)) if *same != held => {
                    let what = difference(same, &held);
                    let what = format!("{other} and {address} hold different things: {what}");
                    return Err(Verdict::Violation(what));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// What a node holds of the keys of this round: name, revision, value.
async fn hold(
    field: &Field,
    load: &Load,
    address: &str,
) -> std::result::Result<Vec<String>, Verdict> {
    let prefix = load.prefix().to_owned();
    let end = Some(after(&prefix));
    let query = Query::Range { start: prefix.into(), end, limit: u64::MAX };
    let asking = async {
        loop {
            match look(address, &query, load.seen(), &field.options).await {
                Ok(Some(Answer::Range { entries, .. })) => return entries,
                // It cannot answer yet, or has not come so far.
                Ok(_) | Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    };
    let entries = timeout(SHOW, asking).await.map_err(|_| {
        let what = format!("{address} does not come to revision {} in {SHOW:?}", load.seen());
        Verdict::Stalled(what)
    })?;
    let line = |(key, entry): &(bytes::Bytes, synod_clerk::Entry)| {
        format!("{key:?} = {:?} at revision {}", entry.value, entry.mod_revision)
    };
    Ok(entries.iter().map(line).collect())
}

/// What one holds and the other does not, the first three of each.
fn difference(these: &[String], those: &[String]) -> String {
    let mut words = String::new();
    let only = |a: &[String], b: &[String]| {
        a.iter().filter(|line| !b.contains(line)).take(3).cloned().collect::<Vec<_>>().join(", ")
    };
    write!(words, "only the first {}; only the second {}", only(these, those), only(those, these))
        .expect("text takes text");
    words
}

/// Waits for a node to end that should not.
async fn casualty(field: &Field) -> Verdict {
    loop {
        if let Some(what) = field.cluster.as_ref().and_then(super::cluster::Cluster::casualty) {
            return Verdict::Died(what);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// A number that no other round has, in this torture or an earlier one of the same cluster.
fn moment() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_only_one_holds() {
        let lines =
            |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let said = difference(&lines(&["a", "b"]), &lines(&["b", "c", "d", "e", "f"]));
        assert_eq!(said, "only the first a; only the second c, d, e");
    }
}
