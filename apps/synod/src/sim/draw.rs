//! What a seed draws before anything happens: the size of the cluster, its knobs, and what its clients are
//! like.
//!
//! Every knob that changes what the engine does is off in some runs and on in others, since what is always
//! on hides what happens without it. Timeouts are drawn too: where elections take about as long as a late
//! message, answers come to questions that nobody asks any more.

use std::time::Duration;

use synod_engine::{NodeId, Random};
use synod_sim::{Mix, Often, Span};

use super::clients::Habits;
use crate::engines::knobs::LogKnobs;

/// One run in so many writes values so large that the store forgets what happened first.
const BULKY_EVERY: u64 = 996;
/// Which: one of the mix `default` over sessions, where much is written.
const BULKY_SEED: u64 = 120;

/// The longest command, and all that may be uncommitted at a time, in bytes.
const MAX_COMMAND_BYTES: usize = 2 << 20;

/// What was drawn.
pub(super) struct Drawn {
    /// How each node is configured.
    pub(super) knobs: LogKnobs,
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
pub(super) fn draw(seed: u64, mix: &Mix) -> Drawn {
    let mut shape = Random::new(seed ^ 0x5eed);
    let bulky = seed % BULKY_EVERY == BULKY_SEED;
    let rivals = shape.chance(250_000) && !bulky;
    // Changes that meet in the air have majorities without a common node only where the count is even.
    let founders = if rivals && shape.chance(500_000) { 4 } else { shape.between(2, 5) };
    let churn = shape.chance(800_000).then(|| Duration::from_millis(shape.between(20, 1_000)));
    let spares = if churn.is_some() || rivals { shape.between(1, 2) } else { 0 };
    let founders: Vec<_> = (1..=founders).map(NodeId).collect();
    let mut knobs = draw_knobs(&mut shape, mix);
    if rivals {
        draw_timeouts(&mut shape, mix, &mut knobs, 300);
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
    if knobs.forward_proposals == Some(true) {
        habits.writes_anywhere_ppm = shape.below(1_000_000) as u32;
    }
    if knobs.hibernate_after_heartbeats.is_some() {
        habits.think = Duration::from_millis(shape.between(500, 4_000));
    }
    if rivals {
        // They say enough themselves: a run that hears less of others lasts longer.
        (habits.sessions, habits.lanes, habits.watchers) = (1, habits.lanes.min(2), 0);
        habits.think = Duration::from_millis(shape.between(100, 1_000));
    }
    if bulky {
        knobs.snapshot_every = Some(1_000);
        (habits.value_bytes, habits.watchers, habits.keys) = (1_000_000, 1, 2);
        (habits.reads_ppm, habits.think, habits.churn) = (100_000, Duration::from_millis(10), None);
        (habits.sessions, habits.lanes) = (3, 3);
    }
    Drawn {
        knobs,
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

fn draw_knobs(shape: &mut Random, mix: &Mix) -> LogKnobs {
    let mut knobs = LogKnobs {
        max_command_bytes: Some(MAX_COMMAND_BYTES),
        max_uncommitted_bytes: Some(MAX_COMMAND_BYTES),
        snapshot_every: Some(shape.between(5, 200)),
        keep_log_bytes: Some(100 * shape.below(20) as usize),
        max_cached_log_bytes: Some(200 * shape.below(20) as usize),
        max_append_bytes: Some(64 << shape.below(12)),
        max_in_flight_appends: Some(shape.between(1, 16) as usize),
        forward_proposals: Some(shape.chance(400_000)),
        hibernate_after_heartbeats: shape.chance(150_000).then(|| shape.between(1, 5) as u32),
        priority_takeover_ms: Some(if shape.chance(700_000) {
            shape.between(200, 5_000)
        } else {
            0
        }),
        ..LogKnobs::default()
    };
    if shape.chance(500_000) {
        draw_timeouts(shape, mix, &mut knobs, 1_000);
    }
    let drifts = mix.drift_ppm >= 10_000;
    let jumps = mix.step.runs_ppm > 0 && mix.beyond_ppm == 0;
    if shape.chance(if drifts { 800_000 } else { 400_000 }) && !jumps {
        let max_drift_percent = mix.drift_ppm.div_ceil(10_000).max(1) as u8;
        knobs.lease_max_drift_percent = Some(max_drift_percent);
    }
    knobs
}

/// Timeouts in which a vote can still be written and answered, but not always at the first attempt.
fn draw_timeouts(shape: &mut Random, mix: &Mix, knobs: &mut LogKnobs, most: u64) {
    let is_slow = mix.sync.high > Duration::from_millis(50);
    // A vote waits for two syncs, each behind another: with less, two slow disks may elect nobody for ever.
    let least = if is_slow { 800 } else { 150 };
    let min = shape.between(least, most.max(least));
    knobs.election_timeout_min_ms = Some(min);
    let spread = if is_slow || shape.chance(500_000) { min.max(200) } else { 200 };
    knobs.election_timeout_max_ms = Some(min + shape.between(100, spread));
    knobs.heartbeat_ms = Some(min / shape.between(2, 8));
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use synod_log::Part;

    use crate::engines::{EngineName, Wired, with_engine};

    #[test]
    fn what_is_drawn_fits_together_and_no_lease_trusts_clocks_beyond_their_bound() {
        let (mut leases, mut bulky) = (0, 0);
        for seed in 0..2_000 {
            for mix in Mix::NAMED {
                let Drawn { knobs, founders, habits, .. } = draw(seed, &mix);
                for engine in EngineName::value_variants() {
                    let part = Part::founder(NodeId(1), founders.iter().copied());
                    let checked = with_engine!(engine, Log => {
                        Log::check(&Log::config(part, &knobs, synod_engine::Sound))
                    });
                    assert_eq!(checked, Ok(()), "seed {seed}, {engine}");
                }
                if let Some(percent) = knobs.lease_max_drift_percent {
                    assert!(u32::from(percent) * 10_000 >= mix.drift_ppm);
                    assert_ne!(mix.name, Mix::STEPPING.name);
                    leases += 1;
                }
                bulky += u64::from(habits.value_bytes > 0);
            }
        }
        assert!(leases > 0 && bulky > 0);
    }
}
