//! What goes wrong: kinds of faults, each let loose by itself, so that they overlap.
//!
//! A seed decides when each kind strikes, whom, how and for how long; what the machine makes of it differs
//! from run to run. Every fault mends what it broke, early if it is time to, before it ends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use synod_engine::Random;
use tokio::task::JoinSet;

use super::field::Field;
use super::verdict::Verdict;

mod disks;
mod links;
mod members;
mod processes;

/// A kind of fault.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// kill -9, of one node, the leader or all, and started again
    Kill,
    /// Suspended (SIGSTOP), and woken up
    Stop,
    /// Links cut: halves, one node, one way, a bridge, a ring, a chain
    Partition,
    /// Links that delay and throttle
    Slow,
    /// kill -9, and the torn end of a write that was never synced in its log
    Torn,
    /// kill -9, and a bit flipped in what was synced; repaired and taken in again
    Damage,
    /// All nodes stopped in order and started again, one after the other
    Restart,
    /// A node taken in, another let go, and leadership moved
    Churn,
    /// Leadership moved
    Lead,
    /// A disk that is full, or stands still; needs leave to mount file systems, and is off by default
    Disk,
}

impl Kind {
    /// Those that strike unless others are named.
    pub(crate) fn usual() -> Vec<Self> {
        Self::value_variants().iter().copied().filter(|kind| *kind != Self::Disk).collect()
    }

    /// How long it rests before it strikes again, on average.
    fn gap(self) -> Duration {
        Duration::from_millis(match self {
            Self::Kill => 5_000,
            Self::Stop => 6_000,
            Self::Partition => 4_000,
            Self::Slow => 8_000,
            Self::Torn => 9_000,
            Self::Damage => 20_000,
            Self::Restart => 25_000,
            Self::Churn => 15_000,
            Self::Lead => 10_000,
            Self::Disk => 10_000,
        })
    }

    /// Whether it needs processes of our own.
    pub(super) fn needs_processes(self) -> bool {
        self != Self::Lead
    }

    /// What it is, as the help says.
    pub(super) fn words(self) -> String {
        let named = self.to_possible_value().expect("no kind is hidden");
        named.get_help().map(ToString::to_string).unwrap_or_default()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no kind is hidden").get_name())
    }
}

/// Faults under way.
pub(super) struct Loose(JoinSet<Result<(), Verdict>>);

impl Loose {
    /// Lets these kinds loose until it is calm.
    pub(super) fn of(field: &Arc<Field>, kinds: &[Kind], seed: u64) -> Self {
        field.set_calm(false);
        let mut set = JoinSet::new();
        for kind in kinds {
            let random = Random::new(seed ^ (*kind as u64 + 1) << 32);
            set.spawn(rage(field.clone(), *kind, random));
        }
        Self(set)
    }

    /// Waits until one of them finds what must not be, if any does.
    pub(super) async fn found(&mut self) -> Verdict {
        while let Some(ended) = self.0.join_next().await {
            if let Err(found) = ended.expect("a fault does not panic") {
                return found;
            }
        }
        std::future::pending().await
    }

    /// Waits until all of them have mended what they broke.
    pub(super) async fn ended(&mut self) -> Result<(), Verdict> {
        while let Some(ended) = self.0.join_next().await {
            ended.expect("a fault does not panic")?;
        }
        Ok(())
    }
}

/// Strikes again and again until it is calm.
async fn rage(field: Arc<Field>, kind: Kind, mut random: Random) -> Result<(), Verdict> {
    loop {
        let gap = random.duration(kind.gap() / 4, kind.gap() * 7 / 4);
        field.hold(gap).await;
        if field.is_calm() {
            return Ok(());
        }
        match kind {
            Kind::Kill => processes::kill(&field, &mut random).await?,
            Kind::Stop => processes::stop(&field, &mut random).await,
            Kind::Restart => processes::restart(&field, &mut random).await?,
            Kind::Partition => links::partition(&field, &mut random).await,
            Kind::Slow => links::slow(&field, &mut random).await,
            Kind::Torn => disks::torn(&field, &mut random).await?,
            Kind::Damage => disks::damage(&field, &mut random).await?,
            Kind::Churn => members::churn(&field, &mut random).await?,
            Kind::Lead => members::lead(&field, &mut random).await,
            Kind::Disk => disks::suffer(&field, &mut random).await?,
        }
    }
}

/// A number of milliseconds, short ones as likely as long ones.
fn span(random: &mut Random, least_ms: u64, most_ms: u64) -> Duration {
    let doublings = (most_ms / least_ms).ilog2();
    let least_ms = least_ms << random.below(u64::from(doublings) + 1);
    Duration::from_millis(random.between(least_ms, (2 * least_ms).min(most_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_within_their_bounds_and_mostly_short() {
        let mut random = Random::new(1);
        let spans: Vec<_> = (0..1_000).map(|_| span(&mut random, 50, 8_000).as_millis()).collect();
        assert!(spans.iter().all(|ms| (50..=8_000).contains(ms)));
        assert!(spans.iter().filter(|ms| **ms < 800).count() > 400);
        assert!(spans.iter().filter(|ms| **ms > 3_000).count() > 100);
    }
}
