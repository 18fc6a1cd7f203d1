//! Faults of nodes and disks: by hand for tests that tell a story, and by chance. Those of the network
//! are in `shapes.rs`.

use std::time::Duration;

use synod_engine::{Engine, Invariants, NodeId};

use crate::app::App;
use crate::life::Wipe;
use crate::queue::{Due, Mischief};
use crate::sim::Sim;
use crate::workload::Workload;

impl<E, A, I, W> Sim<E, A, I, W>
where
    E: Engine,
    A: App<E>,
    I: Invariants<E>,
    W: Workload<E, A>,
{
    /// Crashes a node: it loses what was not durable, but for a random part of it.
    pub fn crash(&mut self, node: NodeId) {
        if let Some(node) = self.world.index(node) {
            self.crash_now(node, "crash");
        }
    }

    /// Starts a node that is down.
    pub fn restart(&mut self, node: NodeId) {
        if let Some(node) = self.world.index(node) {
            self.start(node);
        }
    }

    /// A node does nothing for this long.
    pub fn pause(&mut self, node: NodeId, length: Duration) {
        if let Some(node) = self.world.index(node) {
            self.pause_now(node, length.as_nanos() as u64);
        }
    }

    /// No sync of this node's disk ends for this long.
    pub fn stall_disk(&mut self, node: NodeId, length: Duration) {
        if let Some(node) = self.world.index(node) {
            self.stall_now(node, length.as_nanos() as u64);
        }
    }

    /// No sync of this node's disk ends from here on, until [`calm`](Self::calm).
    pub fn never_sync(&mut self, node: NodeId) {
        if let Some(node) = self.world.index(node) {
            self.nodes[node as usize].body.disk.never_syncs = true;
        }
    }

    /// This node's disk has little space left for this long: messages that would fill it are lost,
    /// and its local user hears so from [`Desk::disk_is_full`](crate::Desk::disk_is_full).
    pub fn fill_disk(&mut self, node: NodeId, length: Duration) {
        if let Some(node) = self.world.index(node) {
            self.fill_now(node, length.as_nanos() as u64);
        }
    }

    /// A node loses all it had, as when its directory is emptied. It dies, and [`restart`](Self::restart)
    /// begins the life of another incarnation, made from `config`; nothing that was under way to or
    /// from the lost one arrives. Peers count on the incarnation that is gone and take no
    /// [promise](synod_engine::Message::counts) of the new one, until [`admit`](Self::admit) or until
    /// they are [told](crate::Desk::contacts) of it.
    pub fn wipe(&mut self, node: NodeId, wipe: Wipe, config: E::Config) {
        if let Some(node) = self.world.index(node) {
            self.wipe_now(node, wipe, config);
        }
    }

    /// Peers take a node that was wiped for what it is now.
    pub fn admit(&mut self, node: NodeId) {
        if let Some(node) = self.world.index(node) {
            self.world.network.acquaintances().admit(node, self.world.ids.len() as u32);
        }
    }

    /// The clock of this node runs fast by so many millionths, from here on until its next life or
    /// its next pause.
    pub fn set_pace(&mut self, node: NodeId, drift_ppm: i32) {
        if let Some(node) = self.world.index(node) {
            self.set_pace_now(node, drift_ppm);
        }
    }

    /// From here on nothing goes wrong: heals the network and all disks, restarts what is down.
    /// What a protocol promises to do in the end, it must do now.
    pub fn calm(&mut self) {
        self.world.faults.stop();
        self.heal();
        for node in 0..self.nodes.len() as u32 {
            let body = &mut self.nodes[node as usize].body;
            body.is_gone = false;
            body.disk.lie_ppm = 0;
            body.disk.stalled_until = 0;
            body.disk.full_until = 0;
            body.disk.never_syncs = false;
            let due = Due::Synced { node, sync: body.disk.sync };
            self.world.queue.push(self.world.now + body.disk.latency, due);
            body.busy_until = body.busy_until.min(self.world.now);
            self.world.queue.push(self.world.now + 1, Due::Start(node));
            self.arm(node);
        }
    }

    /// From here on nothing goes wrong [again](Self::calm) among these nodes, and the others stay away until
    /// then: down, or up and cut off.
    pub fn calm_core(&mut self, core: &[NodeId], others_are_up: bool) {
        self.calm();
        let others = self.world.ids.iter().copied().filter(|node| !core.contains(node));
        let others: Vec<NodeId> = others.collect();
        if others_are_up {
            return self.isolate(&others);
        }
        for id in others {
            let node = self.world.index(id).expect("its own id");
            self.crash_now(node, "gone");
            self.nodes[node as usize].body.is_gone = true;
        }
    }

    /// Whether the victim of a fault leads, for the points that count such faults.
    fn reach(&mut self, node: u32, point: &'static str, of_the_leader: &'static str) {
        self.world.sometimes.reached(point);
        if self.nodes[node as usize].app.as_ref().is_some_and(A::leads) {
            self.world.sometimes.reached(of_the_leader);
        }
    }

    fn pause_now(&mut self, node: u32, length: u64) {
        let it = &mut self.nodes[node as usize];
        if it.engine.is_none() {
            return;
        }
        it.body.busy_until = it.body.busy_until.max(self.world.now + length);
        let id = it.body.id;
        self.world.counts.pauses += 1;
        self.reach(node, "pause", "pause of the leader");
        self.world.event(node, length);
        self.world.trace.say(
            self.world.now,
            Some(id),
            format_args!("pause for {:?}", Duration::from_nanos(length)),
        );
        self.arm(node);
    }

    fn stall_now(&mut self, node: u32, length: u64) {
        self.reach(node, "disk stall", "disk stall of the leader");
        let body = &mut self.nodes[node as usize].body;
        body.disk.stalled_until = body.disk.stalled_until.max(self.world.now + length);
        self.world.counts.stalls += 1;
        self.world.event(node, length);
        self.world.trace.say(
            self.world.now,
            Some(body.id),
            format_args!("disk stalls for {:?}", Duration::from_nanos(length)),
        );
    }

    fn fill_now(&mut self, node: u32, length: u64) {
        self.reach(node, "disk full", "disk of the leader full");
        let body = &mut self.nodes[node as usize].body;
        body.disk.full_until = body.disk.full_until.max(self.world.now + length);
        self.world.counts.full_disks += 1;
        self.world.event(node, length);
        self.world.trace.say(
            self.world.now,
            Some(body.id),
            format_args!("disk is full for {:?}", Duration::from_nanos(length)),
        );
    }

    /// A pace within the bound for the clock of a node: as fast or as slow as may be in half of the
    /// draws.
    pub(crate) fn draw_pace(&mut self) -> i32 {
        let (most, dice) = (self.world.faults.drift_ppm, &mut self.world.dice.process);
        let drift = match dice.below(4) {
            0 | 1 => dice.below(u64::from(most) + 1) as i32,
            _ => most as i32,
        };
        if dice.chance(500_000) { -drift } else { drift }
    }

    fn set_pace_now(&mut self, node: u32, drift_ppm: i32) {
        let (now, body) = (self.world.now, &mut self.nodes[node as usize].body);
        let old = body.clock;
        body.clock.set_pace(now, drift_ppm);
        let new = body.clock;
        body.timers.reset(|at| new.after(now, old.shows(at).since(old.shows(now))));
        self.arm(node);
    }

    /// A pause by chance: it may change the pace of the clock, or stop it.
    fn pause_by_chance(&mut self, node: u32, length: u64) {
        if self.nodes[node as usize].engine.is_none() {
            return;
        }
        let pace = self.draw_pace();
        self.set_pace_now(node, pace);
        if self.world.dice.process.chance(self.world.faults.suspend_ppm) {
            self.world.sometimes.reached("clock stands still");
            let (now, body) = (self.world.now, &mut self.nodes[node as usize].body);
            let old = body.clock;
            body.clock.stand_still(now, length);
            let new = body.clock;
            body.timers.reset(|at| new.after(now, old.shows(at).since(old.shows(now))));
        }
        self.pause_now(node, length);
    }

    /// The clock of a node jumps ahead.
    fn step_clock(&mut self, node: u32, by: u64) {
        if self.nodes[node as usize].engine.is_none() {
            return;
        }
        let (now, body) = (self.world.now, &mut self.nodes[node as usize].body);
        let old = body.clock;
        body.clock.jump(by);
        let new = body.clock;
        let left =
            |at| old.shows(at).since(old.shows(now)).saturating_sub(Duration::from_nanos(by));
        body.timers.reset(|at| new.after(now, left(at)));
        self.world.counts.clock_steps += 1;
        self.world.sometimes.reached("clock jumps ahead");
        self.world.event(node, by);
        let (id, by) = (body.id, Duration::from_nanos(by));
        self.world.trace.say(now, Some(id), format_args!("clock jumps ahead by {by:?}"));
        self.arm(node);
    }

    /// Some links are clogged one by one in the first half of this time, and let go one by one in the second,
    /// in another order.
    fn swizzle(&mut self, length: u64) {
        let (count, now, half) = (self.nodes.len() as u32, self.world.now, length / 2);
        for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
            let dice = &mut self.world.dice.network;
            if from != to && dice.chance(500_000) {
                let since = now + dice.below(half + 1);
                let until = now + half + dice.below(half + 1);
                self.world.network.clog(now, from, to, since..until);
            }
        }
        self.world.counts.swizzles += 1;
        self.world.sometimes.reached("swizzled clogging");
    }

    /// Schedules the first fault of every kind that this run has.
    pub(crate) fn plot_mischief(&mut self) {
        use Mischief::{Clog, Crash, Full, Partition, Pause, Stall, Step, Swizzle};
        for mischief in [Crash, Pause, Partition, Clog, Swizzle, Stall, Full, Step] {
            self.plot(mischief);
        }
    }

    /// Schedules the next fault of this kind; gives how long the present one lasts.
    fn plot(&mut self, mischief: Mischief) -> Option<u64> {
        let (faults, dice) = (&self.world.faults, &mut self.world.dice);
        let (fault, dice) = match mischief {
            Mischief::Crash => (faults.crash, &mut dice.process),
            Mischief::Pause => (faults.pause, &mut dice.process),
            Mischief::Step => (faults.step, &mut dice.process),
            Mischief::Partition => (faults.partition, &mut dice.network),
            Mischief::Clog => (faults.clog, &mut dice.network),
            Mischief::Swizzle => (faults.swizzle, &mut dice.network),
            Mischief::Stall => (faults.stall, &mut dice.disk),
            Mischief::Full => (faults.full, &mut dice.disk),
        };
        let fault = fault?;
        let gap = fault.gap.as_nanos() as u64;
        let at = self.world.now + gap / 4 + dice.below(gap * 3 / 2 + 1);
        let length = fault.length.draw(dice);
        self.world.queue.push(at, Due::Mischief(mischief));
        Some(length)
    }

    pub(crate) fn mischief(&mut self, mischief: Mischief) {
        let Some(length) = self.plot(mischief) else { return };
        let count = self.nodes.len() as u64;
        let leader = self.leaders().next();
        let dice = &mut self.world.dice;
        let dice = match mischief {
            Mischief::Crash | Mischief::Pause | Mischief::Step => &mut dice.process,
            Mischief::Partition | Mischief::Clog | Mischief::Swizzle => &mut dice.network,
            Mischief::Stall | Mischief::Full => &mut dice.disk,
        };
        let anyone = dice.below(count) as u32;
        let victim = leader.filter(|_| dice.chance(300_000)).unwrap_or(anyone);
        match mischief {
            Mischief::Crash => {
                let all = dice.chance(50_000);
                // Some are back before anybody has noticed.
                let length = if dice.chance(300_000) { length / 32 } else { length };
                for node in (0..count as u32).filter(|node| all || *node == victim) {
                    self.crash_now(node, "crash");
                    self.world.queue.push(self.world.now + length, Due::Start(node));
                }
            }
            Mischief::Pause => self.pause_by_chance(victim, length),
            Mischief::Stall => self.stall_now(victim, length),
            Mischief::Full => self.fill_now(victim, length),
            Mischief::Clog => {
                let to = dice.below(count) as u32;
                let now = self.world.now;
                self.world.network.clog(now, victim, to, now..now + length);
                self.world.counts.clogs += 1;
                self.world.sometimes.reached("clogged link");
            }
            Mischief::Swizzle => self.swizzle(length),
            Mischief::Step => self.step_clock(victim, length),
            Mischief::Partition => self.part_by_chance(victim, length),
        }
    }
}
