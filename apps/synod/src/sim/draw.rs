//! What a seed draws before anything happens: the size of the cluster, its knobs, and what its clients are
//! like.
//!
//! Every knob that changes what the engine does is off in some runs and on in others, since what is always
//! on hides what happens without it. Timeouts are drawn too: where elections take about as long as a late
//! message, answers come to questions that nobody asks any more.

use std::time::Duration;

use synod_engine::{NodeId, Random};
use synod_raft::{Config, Lease};
use synod_sim::{Mix, Often, Span};

use super::clients::Habits;

/// One run in so many writes values so large that the store forgets what happened first.
const BULKY_EVERY: u64 = 1_000;
/// Which: one of the mix `default` over sessions, where much is written.
const BULKY_SEED: u64 = 120;

/// What was drawn.
pub(super) struct Drawn<P> {
    /// The configuration of a founder; the node is the first.
    pub(super) config: Config<P>,
    /// The founders, and those that may join them.
    pub(super) founders: Vec<NodeId>,
    pub(super) spares: u64,
    pub(super) habits: Habits,
    /// How far applying lags behind, at most.
    pub(super) lag: Duration,
    /// Callers that give up, in millionths.
    pub(super) cancel_ppm: u32,
}

/// What `seed` stands for under these faults.
pub(super) fn draw<P>(seed: u64, mix: &Mix, rules: P) -> Drawn<P> {
    let mut shape = Random::new(seed ^ 0x5eed);
    let bulky = seed % BULKY_EVERY == BULKY_SEED;
    let rivals = shape.chance(250_000) && !bulky;
    // Changes that meet in the air have majorities without a common node only where the count is even.
    let founders = if rivals && shape.chance(500_000) { 4 } else { shape.between(2, 5) };
    let churn = shape.chance(800_000).then(|| Duration::from_millis(shape.between(20, 1_000)));
    let spares = if churn.is_some() || rivals { shape.between(1, 2) } else { 0 };
    let founders: Vec<_> = (1..=founders).map(NodeId).collect();
    let mut config = Config::with_rules(NodeId(1), founders.clone(), rules);
    knobs(&mut shape, mix, &mut config);
    if rivals {
        timeouts(&mut shape, mix, &mut config, 300);
    }
    let mut habits = Habits {
        sessions: shape.between(1, 4) as u32,
        lanes: shape.between(1, 3) as u32,
        keys: shape.between(1, 6),
        think: Duration::from_millis(shape.between(1, 100)),
        twice_ppm: 50_000,
        reads_ppm: [350_000, 350_000, 700_000, 900_000][shape.below(4) as usize],
        anywhere_ppm: shape.below(1_000_000) as u32,
        writes_anywhere_ppm: 0,
        churn: churn.filter(|_| !rivals),
        rivals: rivals.then(|| Duration::from_millis(shape.between(20, 120))),
        watchers: shape.below(4) as usize,
        value_bytes: 0,
    };
    if config.forward_proposals {
        habits.writes_anywhere_ppm = shape.below(1_000_000) as u32;
    }
    if config.hibernate_after_heartbeats.is_some() {
        habits.think = Duration::from_millis(shape.between(500, 4_000));
    }
    if rivals {
        // They say enough themselves: a run that hears less of others lasts longer.
        (habits.sessions, habits.lanes, habits.watchers) = (1, habits.lanes.min(2), 0);
        habits.think = Duration::from_millis(shape.between(100, 1_000));
    }
    if bulky {
        config.snapshot_every = 1_000;
        (habits.value_bytes, habits.watchers, habits.keys) = (1_000_000, 1, 2);
        (habits.reads_ppm, habits.think, habits.churn) = (100_000, Duration::from_millis(10), None);
        (habits.sessions, habits.lanes) = (3, 3);
    }
    Drawn {
        config,
        founders,
        spares,
        habits,
        lag: Duration::from_millis(if shape.chance(250_000) { shape.below(20) } else { 0 }),
        cancel_ppm: if shape.chance(250_000) { 50_000 } else { 0 },
    }
}

/// The faults that rivals need: partitions that follow the leaders, one after the other, so that those who
/// come back have what nobody else has.
pub(super) fn stormy(mix: &Mix) -> Mix {
    let partition = Often {
        runs_ppm: 1_000_000,
        gap: Span::millis(2_000, 4_000),
        length: Span::millis(500, 4_000),
    };
    Mix { partition, shapes_ppm: 800_000, ..mix.clone() }
}

fn knobs<P>(shape: &mut Random, mix: &Mix, config: &mut Config<P>) {
    config.snapshot_every = shape.between(5, 200);
    config.keep_log_bytes = 100 * shape.below(20) as usize;
    config.max_cached_log_bytes = 200 * shape.below(20) as usize;
    config.max_append_bytes = 64 << shape.below(12);
    config.max_in_flight_appends = shape.between(1, 16) as usize;
    config.max_uncommitted_bytes = config.max_command_bytes;
    config.forward_proposals = shape.chance(400_000);
    config.hibernate_after_heartbeats = shape.chance(150_000).then(|| shape.between(1, 5) as u32);
    config.priority_takeover_ms = shape.chance(700_000).then(|| shape.between(200, 5_000));
    if shape.chance(500_000) {
        timeouts(shape, mix, config, 1_000);
    }
    let drifts = mix.drift_ppm >= 10_000;
    if shape.chance(if drifts { 800_000 } else { 400_000 }) {
        let max_drift_percent = mix.drift_ppm.div_ceil(10_000).max(1) as u8;
        config.lease = Some(Lease { max_drift_percent });
    }
}

/// Timeouts in which a vote can still be written and answered, but not always at the first attempt.
fn timeouts<P>(shape: &mut Random, mix: &Mix, config: &mut Config<P>, most: u64) {
    let is_slow = mix.sync.high > Duration::from_millis(50);
    // A vote waits for two syncs, each behind another: with less, two slow disks may elect nobody for ever.
    let least = if is_slow { 800 } else { 150 };
    let min = shape.between(least, most.max(least));
    config.election_timeout_min_ms = min;
    let spread = if is_slow || shape.chance(500_000) { min.max(200) } else { 200 };
    config.election_timeout_max_ms = min + shape.between(100, spread);
    config.heartbeat_ms = min / shape.between(2, 8);
}

#[cfg(test)]
mod tests {
    use synod_engine::Sound;

    use super::*;

    #[test]
    fn what_is_drawn_fits_together_and_no_lease_trusts_clocks_beyond_their_bound() {
        let (mut leases, mut bulky) = (0, 0);
        for seed in 0..2_000 {
            for mix in Mix::NAMED {
                let Drawn { config, habits, .. } = draw(seed, &mix, Sound);
                assert_eq!(config.check(), Ok(()), "seed {seed}");
                if let Some(lease) = config.lease {
                    assert!(u32::from(lease.max_drift_percent) * 10_000 >= mix.drift_ppm);
                    leases += 1;
                }
                bulky += u64::from(habits.value_bytes > 0);
            }
        }
        assert!(leases > 0 && bulky > 0);
    }
}
