//! Tables 1 to 3 of the paper, with its 1000 sites, in the simulator.
//!
//! Rounds are aligned and messages take a twentieth of a round, so that a round is a cycle of the
//! paper. Figures are means over seeds, so the tolerances are those of means: the paper gives two
//! digits, and does not say of how many runs.

use std::time::Duration;

use bytes::Bytes;
use synod_engine::{Effect, Engine, Invariants, NodeId, Sometimes, Stepped, Token, Violation};
use synod_gossip::{Config, Direction, Event, Gossip, Judgement, Message, Request, Sanity, Stop};
use synod_sim::{Mix, Plan, Sim, Span, Transport, Verdict};

const SITES: u64 = 1000;
const CYCLE: Duration = Duration::from_millis(1000);

/// Every message arrives, after all sites have begun their cycle and long before they end it.
const CYCLES: Mix =
    Mix { name: "cycles", delay: Span::millis(50, 60), jitter: Span::NONE, ..Mix::CALM };

/// What became of one rumor.
#[derive(Clone, Copy, Debug, Default)]
struct Epidemic {
    /// s: the share of the sites that never heard it.
    residue: f64,
    /// m: how often it was told, per site.
    traffic: f64,
    /// The mean cycle in which it was heard.
    average: f64,
    /// The cycle in which it was heard last.
    last: f64,
}

/// Counts the rumors told, and checks the invariants.
struct Traffic {
    sanity: Sanity,
    told: usize,
    heard: usize,
}

impl Invariants<Gossip> for Traffic {
    fn stepped(
        &mut self,
        step: &Stepped<'_, Gossip>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        for effect in step.effects {
            match effect {
                Effect::Send {
                    message: Message::Call { rumors, .. } | Message::Answer { rumors },
                    ..
                } => self.told += rumors.len(),
                Effect::Emit { event: Event::Heard(_), .. } => self.heard += 1,
                _ => {}
            }
        }
        self.sanity.stepped(step, sometimes)
    }

    fn recovered(&mut self, node: NodeId, engine: &Gossip) -> Result<(), Violation> {
        self.sanity.recovered(node, engine)
    }

    fn checkpoint<'a>(
        &mut self,
        nodes: &mut dyn Iterator<Item = (NodeId, &'a Gossip)>,
    ) -> Result<(), Violation>
    where
        Gossip: 'a,
    {
        self.sanity.checkpoint(nodes)
    }
}

/// A site that never loses interest.
const NEVER: Stop = Stop::Counter(u32::MAX);

/// One rumor, started at one site, until nobody tells it any more; where nobody ever stops, until
/// everybody has heard it.
fn epidemic(seed: u64, direction: Direction, judgement: Judgement, stop: Stop) -> Epidemic {
    let mut config = Config::new(NodeId(1), (1..=SITES).map(NodeId));
    (config.direction, config.judgement, config.stop) = (direction, judgement, stop);
    (config.round_ms, config.staggered) = (CYCLE.as_millis() as u64, false);
    let sanity = Sanity::new(config.max_rumors, config.max_packet_bytes);
    let engines = (1..=SITES).map(|id| (NodeId(id), Config { node: NodeId(id), ..config.clone() }));
    let plan = Plan { seed, mix: CYCLES, transport: Transport::Datagrams, ..Plan::default() };
    let traffic = Traffic { sanity, told: 0, heard: 0 };
    let mut sim = Sim::<Gossip, (), _, ()>::new(plan, engines, (), traffic, ());
    sim.run_for(CYCLE / 2);
    sim.request(NodeId(1), Token(1), Request::Start(Bytes::from_static(b"news")));
    let (mut heard, mut last, mut sum) = (0, 0, 0);
    for cycle in 1.. {
        sim.run_for(CYCLE);
        let newly = sim.invariants().heard - heard;
        heard += newly;
        sum += newly * cycle;
        last = if newly > 0 { cycle } else { last };
        let everybody = heard + 1 == SITES as usize;
        if everybody && stop == NEVER || sim.engines().all(|(_, engine)| engine.view().hot == 0) {
            break;
        }
    }
    sim.finish();
    assert_eq!(sim.report().verdict, Verdict::Sound);
    let sites = SITES as f64;
    Epidemic {
        residue: 1.0 - (heard + 1) as f64 / sites,
        traffic: sim.invariants().told as f64 / sites,
        average: sum as f64 / heard.max(1) as f64,
        last: last as f64,
    }
}

/// The means over so many seeds.
fn mean(seeds: u64, direction: Direction, judgement: Judgement, stop: Stop) -> Epidemic {
    let mut sum = Epidemic::default();
    for seed in 0..seeds {
        let one = epidemic(seed, direction, judgement, stop);
        sum.residue += one.residue;
        sum.traffic += one.traffic;
        sum.average += one.average;
        sum.last += one.last;
    }
    let seeds = seeds as f64;
    Epidemic {
        residue: sum.residue / seeds,
        traffic: sum.traffic / seeds,
        average: sum.average / seeds,
        last: sum.last / seeds,
    }
}

/// A row of a table, and how far from it the mean over so many seeds may be.
struct Row {
    variant: (Direction, Judgement, Stop),
    residue: f64,
    traffic: f64,
    last: f64,
    seeds: u64,
    residue_tolerance: f64,
}

impl Row {
    /// Residue within the row's tolerance, traffic within 4 %, the last cycle within 5 %.
    fn check(&self) -> Epidemic {
        let (direction, judgement, stop) = self.variant;
        let mean = mean(self.seeds, direction, judgement, stop);
        for (what, found, printed, tolerance) in [
            ("residue", mean.residue, self.residue, self.residue_tolerance),
            ("traffic", mean.traffic, self.traffic, 0.04),
            ("last", mean.last, self.last, 0.05),
        ] {
            let off = (found - printed).abs() / printed;
            assert!(off <= tolerance, "{:?}: {what} {found}, not {printed}", self.variant);
        }
        mean
    }
}

#[test]
fn table_1_push_with_feedback_and_a_counter() {
    for (k, residue, traffic, last, seeds, residue_tolerance) in [
        (1, 0.18, 1.7, 16.8, 20, 0.08),
        (2, 0.037, 3.3, 16.9, 20, 0.08),
        (3, 0.011, 4.5, 17.4, 20, 0.15),
        (4, 0.0036, 5.6, 17.5, 30, 0.20),
    ] {
        let variant = (Direction::Push, Judgement::Feedback, Stop::Counter(k));
        let row = Row { variant, residue, traffic, last, seeds, residue_tolerance };
        let mean = row.check();
        let law = (-mean.traffic).exp();
        assert!((mean.residue - law).abs() < 0.15 * law, "s = e^-m: {} and {law}", mean.residue);
    }
}

#[test]
fn table_2_push_blind_with_a_coin() {
    for (k, residue, traffic, last, seeds, residue_tolerance) in [
        (2, 0.20, 1.6, 33.0, 20, 0.08),
        (3, 0.060, 2.8, 32.0, 20, 0.08),
        (4, 0.021, 3.9, 32.0, 20, 0.15),
    ] {
        let variant = (Direction::Push, Judgement::Blind, Stop::Coin(k));
        Row { variant, residue, traffic, last, seeds, residue_tolerance }.check();
    }
}

#[test]
fn table_3_pull_with_feedback_and_a_counter() {
    for (k, residue, traffic, last, seeds, residue_tolerance) in
        [(1, 3.1e-2, 2.7, 17.63, 40, 0.10), (2, 5.8e-4, 4.5, 15.39, 400, 0.20)]
    {
        let variant = (Direction::Pull, Judgement::Feedback, Stop::Counter(k));
        Row { variant, residue, traffic, last, seeds, residue_tolerance }.check();
    }
}

/// How long it takes where nobody ever loses interest: the speed of anti-entropy, by a simulator of
/// its own with the paper's step rules.
#[test]
fn pull_ends_sooner_than_push_and_both_together_much_sooner() {
    for (direction, average, last) in [
        (Direction::Push, None, 18.0),
        (Direction::Pull, None, 13.7),
        (Direction::PushPull, Some(6.4), 9.15),
    ] {
        let mean = mean(20, direction, Judgement::Blind, NEVER);
        assert_eq!(mean.residue, 0.0);
        assert!((mean.last - last).abs() < 0.05 * last, "{direction:?}: last {}", mean.last);
        let average = average.unwrap_or(mean.average);
        assert!((mean.average - average).abs() < 0.03 * average, "average {}", mean.average);
    }
}

#[test]
fn push_pull_reaches_more_sites_sooner_and_with_less_traffic() {
    let variant = |direction| mean(20, direction, Judgement::Feedback, Stop::Counter(2));
    let [push, pull, both] = [Direction::Push, Direction::Pull, Direction::PushPull].map(variant);
    assert!(both.residue <= pull.residue && pull.residue < push.residue / 10.0);
    assert!(both.last < pull.last && both.last < push.last);
    assert!(both.traffic < pull.traffic);
}
