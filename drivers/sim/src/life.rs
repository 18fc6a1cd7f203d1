//! How nodes start, crash and come back.

use synod_engine::{Engine, Input, Invariants, Random};

use crate::app::{App, Desk};
use crate::clock::Clock;
use crate::dice::mix;
use crate::queue::Due;
use crate::report::Verdict;
use crate::sim::Sim;
use crate::workload::Workload;

/// How a node loses all that it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wipe {
    /// By order: it founds nothing from then on, which its incarnation shows.
    Repaired,
    /// Behind its back, of which nothing remains: it takes itself for the founder that it was.
    Emptied,
}

impl<E, A, I, W> Sim<E, A, I, W>
where
    E: Engine,
    A: App<E>,
    I: Invariants<E>,
    W: Workload<E, A>,
{
    /// A node that is down rebuilds its engine from its disk and starts.
    pub(crate) fn start(&mut self, node: u32) {
        if self.nodes[node as usize].engine.is_some() || self.nodes[node as usize].body.is_gone {
            return;
        }
        let drift_ppm = self.draw_pace();
        let it = &mut self.nodes[node as usize];
        let (body, world) = (&mut it.body, &mut self.world);
        body.life += 1;
        let life = u64::from(body.life);
        body.random = Random::new(mix(mix(self.seed, 1 + body.id.0), life));
        let offset = world.dice.process.below(1 << 40);
        body.clock = Clock { born: world.now, offset, drift_ppm };
        let mut engine = E::new(it.config.clone());
        body.disk.count();
        for record in body.disk.records() {
            if let Err(corrupt) = engine.replay(record.clone()) {
                self.verdict = Verdict::Corrupt(body.id, corrupt);
                return;
            }
        }
        body.blobs.keep(body.disk.records().iter().filter_map(synod_engine::Record::blob));
        world.event(node, life);
        world.trace.say(
            world.now,
            Some(body.id),
            format_args!("life {life} begins with {} records", body.disk.records().len()),
        );
        if let Err(violation) = self.invariants.recovered(body.id, &engine) {
            self.verdict = Verdict::Violated(violation);
            return;
        }
        it.engine = Some(engine);
        it.app = Some(A::start(&self.app, &mut Desk { index: node, body, world }));
        it.body.inbox.push_front(Input::Start);
        self.pump(node);
    }

    pub(crate) fn crash_now(&mut self, node: u32, why: &str) {
        let it = &mut self.nodes[node as usize];
        if it.engine.take().is_none() {
            return;
        }
        let leads = it.app.take().is_some_and(|app| app.leads());
        it.body.forget();
        let at_risk = it.body.disk.at_risk();
        let survivors = match self.world.dice.disk.chance(500_000) {
            true => self.world.dice.disk.below(at_risk + 1),
            false => 0,
        };
        self.made_durable(node, Some(survivors));
        let (body, world) = (&mut self.nodes[node as usize].body, &mut self.world);
        let loss = body.disk.crash(survivors);
        world.counts.crashes += 1;
        world.counts.records_lost += loss.lost;
        for (reached, point) in [
            (leads, "crash of the leader"),
            (loss.unsynced > 0, "crash between write and sync"),
            (survivors > 0 && loss.lost > 0, "torn tail"),
        ] {
            if reached {
                world.sometimes.reached(point);
            }
        }
        world.event(node, loss.lost);
        let kept = body.disk.records().len();
        world.trace.say(
            world.now,
            Some(body.id),
            format_args!("{why}: {} records lost, {kept} left", loss.lost),
        );
        if world.links.len() > 0 {
            world.links.close_all_of(node);
            for peer in (0..world.ids.len() as u32).filter(|peer| *peer != node) {
                let link = world.links.number(node, peer);
                world.end_session(link);
            }
        }
    }

    /// A node dies and loses all that it had; its next life is another incarnation's.
    pub(crate) fn wipe_now(&mut self, node: u32, wipe: Wipe, config: E::Config) {
        self.crash_now(node, "wiped");
        let it = &mut self.nodes[node as usize];
        it.config = config;
        it.body.lose_all();
        self.invariants.wiped(it.body.id);
        let world = &mut self.world;
        world.network.acquaintances().lost_all(node, wipe);
        world.counts.wipes += 1;
        world.sometimes.reached("node wiped");
        world.event(node, world.counts.wipes);
        world.trace.say(world.now, Some(it.body.id), format_args!("lost all that it had"));
    }

    /// A client, in its part as operator, had this node wiped; it comes back after a while.
    pub(crate) fn wipe_by_order(&mut self, node: u32, wipe: Wipe) {
        if let Some(newborn) = self.newborn {
            let incarnation = self.world.network.acquaintances().next(node, wipe);
            let config = newborn(&self.nodes[node as usize].config, wipe, incarnation);
            self.wipe_now(node, wipe, config);
            self.restart_later(node);
        }
    }

    pub(crate) fn restart_later(&mut self, node: u32) {
        let down = match self.world.faults.crash {
            Some(crash) => crash.length.draw(&mut self.world.dice.process),
            None => self.world.dice.process.below(2_000_000_000),
        };
        self.world.queue.push(self.world.now + down, Due::Start(node));
    }
}
