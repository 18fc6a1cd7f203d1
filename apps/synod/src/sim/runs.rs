//! Which runs a batch of seeds stands for.

use synod_sim::{Mix, Plan, Report, Transport, Verdict, parting};

use super::Planted;
use crate::engines::EngineName;

/// What a batch on any log must have met at least once, or it has not tested what it claims to.
const POINTS: &[&str] = &[
    "leader elected",
    "snapshot installed",
    "crash between write and sync",
    "torn tail",
    "partition of the leader",
    "one-way partition",
    "chained partition",
    "quorum-loss partition",
    "constrained partition",
    "pause of the leader",
    "swizzled clogging",
    "clock jumps ahead",
    "disk of the leader full",
    "write refused by a full disk",
    "message dropped by a full disk",
    "duplicate client command",
    "session expired",
    "write of unknown fate",
    "read answered by a follower",
    "read answered by a learner",
    "stale read answered",
    "forwarded write committed",
    "transaction over several keys",
    "watch told of events",
    "watch resumed at another node",
    "watch told compacted",
    "partition follows the leaders",
    "members changed",
    "change is pending",
    "change of unknown fate",
    "learner has not caught up",
    "learner promoted",
    "removed leader steps down",
    "leadership moved",
    "promise of a stranger dropped",
    "voter wiped",
    "founder emptied",
    "emptied founder refused",
    "wiped node votes again",
    "a core works alone",
];

/// The mixes that a sound protocol survives and that differ from each other.
const MIXES: [Mix; 6] =
    [Mix::DEFAULT, Mix::LOSSY, Mix::CRASHY, Mix::SLOW_DISKS, Mix::DRIFTING, Mix::STEPPING];

/// What the runs of a batch have in common.
#[derive(Clone, Debug)]
pub struct Runs {
    /// The replicated log.
    pub engine: EngineName,
    /// The faults; `None` takes the default, lossy, crashy, slow-disks, drifting and stepping mixes in turn.
    pub mix: Option<Mix>,
    /// How messages travel; `None` takes sessions and datagrams in turn.
    pub transport: Option<Transport>,
    /// Length of each run.
    pub max_events: u64,
    /// A fault to be found.
    pub planted: Planted,
}

impl Default for Runs {
    fn default() -> Self {
        let max_events = Plan::default().max_events;
        let engine = EngineName::default();
        Self { engine, mix: None, transport: None, max_events, planted: Planted::Nothing }
    }
}

impl Runs {
    /// What a large batch must have met at least once, or it has not tested what it claims to.
    #[must_use]
    pub fn points(&self) -> Vec<&'static str> {
        POINTS.iter().chain(self.engine.points()).copied().collect()
    }

    /// The plan of one seed.
    #[must_use]
    pub fn plan(&self, seed: u64) -> Plan {
        let turn = (seed % (2 * MIXES.len() as u64)) as usize;
        let mix = self.mix.clone().unwrap_or_else(|| MIXES[turn / 2].clone());
        let in_turn = [Transport::Sessions, Transport::Datagrams][turn % 2];
        let transport = self.transport.unwrap_or(in_turn);
        Plan { seed, mix, transport, max_events: self.max_events, ..Plan::default() }
    }

    /// The run of one seed.
    #[must_use]
    pub fn run(&self, seed: u64) -> Report {
        self.planted.run(self.engine, self.plan(seed), "").report
    }

    /// The run of one seed, made twice: where the two part is its verdict.
    #[must_use]
    pub fn run_twice(&self, seed: u64) -> Report {
        let again = || {
            let plan = Plan { keep_steps: true, ..self.plan(seed) };
            self.planted.run(self.engine, plan, "")
        };
        let (one, two) = (again(), again());
        let parting = parting(&one.steps, &two.steps);
        let parting = parting.or_else(|| {
            (one.report != two.report).then(|| format!("{} or {}", one.report, two.report))
        });
        let verdict = parting.map_or(one.report.verdict, Verdict::Parted);
        Report { verdict, ..one.report }
    }

    /// The command that makes the run of `seed` again.
    #[must_use]
    pub fn command(&self, seed: u64) -> String {
        let Plan { mix, transport, max_events, .. } = self.plan(seed);
        let transport = name_of(transport);
        let mut command = format!(
            "synod sim kv --engine {} --seed {seed} --mix {} --transport {transport} --events {max_events}",
            self.engine, mix.name
        );
        if self.planted != Planted::Nothing {
            command += &format!(" --without {}", self.planted.name(self.engine));
        }
        command
    }

    /// The run of `seed` in one line, which [`from_words`](Self::from_words) understands.
    #[must_use]
    pub fn words(&self, seed: u64) -> String {
        let Plan { mix, transport, max_events, .. } = self.plan(seed);
        let (engine, transport) = (self.engine, name_of(transport));
        let planted = self.planted.name(engine);
        format!("{engine} {seed} {} {transport} {max_events} {planted}", mix.name)
    }

    /// The run, and its seed, that were put into [`words`](Self::words).
    #[must_use]
    pub fn from_words(words: &str) -> Option<(Self, u64)> {
        let words: Vec<_> = words.split(' ').collect();
        let [engine, seed, mix, transport, max_events, planted] = words[..] else { return None };
        let engine = EngineName::named(engine)?;
        let transports = [Transport::Sessions, Transport::Datagrams];
        let runs = Self {
            engine,
            mix: Some(Mix::named(mix)?),
            transport: Some(transports.into_iter().find(|known| name_of(*known) == transport)?),
            max_events: max_events.parse().ok()?,
            planted: Planted::named(engine, planted)?,
        };
        Some((runs, seed.parse().ok()?))
    }
}

fn name_of(transport: Transport) -> &'static str {
    match transport {
        Transport::Sessions => "sessions",
        Transport::Datagrams => "datagrams",
    }
}
