//! Faults: by hand for tests that tell a story, and by chance.

use std::time::Duration;

use synod_engine::{Engine, Invariants, NodeId};

use crate::app::App;
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

    /// Parts these nodes from all others, until [`heal`](Self::heal).
    pub fn isolate(&mut self, nodes: &[NodeId]) {
        let side = self.world.ids.iter().map(|id| nodes.contains(id)).collect();
        self.part(side, false);
    }

    /// Lets nothing that these nodes send reach the others, until [`heal`](Self::heal).
    pub fn silence(&mut self, nodes: &[NodeId]) {
        let side = self.world.ids.iter().map(|id| nodes.contains(id)).collect();
        self.part(side, true);
    }

    /// Ends partitions and clogs.
    pub fn heal(&mut self) {
        self.world.network.heal_all();
    }

    /// From here on nothing goes wrong: heals the network and all disks, restarts what is down.
    /// What a protocol promises to do in the end, it must do now.
    pub fn calm(&mut self) {
        self.world.faults.stop();
        self.heal();
        for node in 0..self.nodes.len() as u32 {
            let body = &mut self.nodes[node as usize].body;
            body.disk.lie_ppm = 0;
            body.disk.stalled_until = 0;
            body.disk.never_syncs = false;
            let due = Due::Synced { node, sync: body.disk.sync };
            self.world.queue.push(self.world.now + body.disk.latency, due);
            body.busy_until = body.busy_until.min(self.world.now);
            self.world.queue.push(self.world.now + 1, Due::Start(node));
            self.arm(node);
        }
    }

    fn pause_now(&mut self, node: u32, length: u64) {
        let it = &mut self.nodes[node as usize];
        if it.engine.is_none() {
            return;
        }
        it.body.busy_until = it.body.busy_until.max(self.world.now + length);
        self.world.counts.pauses += 1;
        self.world.sometimes.reached("pause");
        self.world.event(node, length);
        let id = it.body.id;
        self.world.trace.say(
            self.world.now,
            Some(id),
            format_args!("pause for {:?}", Duration::from_nanos(length)),
        );
        self.arm(node);
    }

    fn stall_now(&mut self, node: u32, length: u64) {
        let body = &mut self.nodes[node as usize].body;
        body.disk.stalled_until = body.disk.stalled_until.max(self.world.now + length);
        self.world.counts.stalls += 1;
        self.world.sometimes.reached("disk stall");
        self.world.event(node, length);
        self.world.trace.say(
            self.world.now,
            Some(body.id),
            format_args!("disk stalls for {:?}", Duration::from_nanos(length)),
        );
    }

    fn part(&mut self, side: Vec<bool>, one_way: bool) -> u32 {
        self.world.counts.partitions += 1;
        self.world.sometimes.reached("partition");
        let alone = side.iter().filter(|side| **side).count() * 2 < side.len();
        let cut_off = |index: usize| side[index] == alone;
        if self.leaders().any(|leader| cut_off(leader as usize)) {
            self.world.sometimes.reached("partition of the leader");
        }
        let from: Vec<_> = (0..side.len()).filter(|&index| side[index]).collect();
        let from: Vec<_> = from.into_iter().map(|index| self.world.ids[index]).collect();
        let arrow = if one_way { "to" } else { "from" };
        self.world.event(u32::MAX, from.len() as u64);
        self.world.trace.say(
            self.world.now,
            None,
            format_args!("partition {arrow} others: {from:?}"),
        );
        self.world.network.part(side, one_way)
    }

    fn leaders(&self) -> impl Iterator<Item = u32> {
        let leads = |app: &Option<A>| app.as_ref().is_some_and(A::leads);
        (0..).zip(&self.nodes).filter(move |(_, node)| leads(&node.app)).map(|(index, _)| index)
    }

    pub(crate) fn heal_partition(&mut self, number: u32) {
        if self.world.network.heal(number) {
            self.world.trace.say(self.world.now, None, format_args!("partition heals"));
        }
    }

    /// Schedules the first fault of every kind that this run has.
    pub(crate) fn plot_mischief(&mut self) {
        use Mischief::{Clog, Crash, Partition, Pause, Stall};
        for mischief in [Crash, Pause, Partition, Clog, Stall] {
            self.plot(mischief);
        }
    }

    /// Schedules the next fault of this kind; gives how long the present one lasts.
    fn plot(&mut self, mischief: Mischief) -> Option<u64> {
        let (faults, dice) = (&self.world.faults, &mut self.world.dice);
        let (fault, dice) = match mischief {
            Mischief::Crash => (faults.crash, &mut dice.process),
            Mischief::Pause => (faults.pause, &mut dice.process),
            Mischief::Partition => (faults.partition, &mut dice.network),
            Mischief::Clog => (faults.clog, &mut dice.network),
            Mischief::Stall => (faults.stall, &mut dice.disk),
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
            Mischief::Crash | Mischief::Pause => &mut dice.process,
            Mischief::Partition | Mischief::Clog => &mut dice.network,
            Mischief::Stall => &mut dice.disk,
        };
        let anyone = dice.below(count) as u32;
        let victim = leader.filter(|_| dice.chance(300_000)).unwrap_or(anyone);
        match mischief {
            Mischief::Crash => {
                let all = dice.chance(50_000);
                for node in (0..count as u32).filter(|node| all || *node == victim) {
                    self.crash_now(node, "crash");
                    self.world.queue.push(self.world.now + length, Due::Start(node));
                }
            }
            Mischief::Pause => self.pause_now(victim, length),
            Mischief::Stall => self.stall_now(victim, length),
            Mischief::Clog => {
                let to = dice.below(count) as u32;
                self.world.network.clog(self.world.now, victim, to, self.world.now + length);
                self.world.counts.clogs += 1;
                self.world.sometimes.reached("clogged link");
            }
            Mischief::Partition => {
                let alone = dice.chance(500_000);
                let side = (0..count as u32)
                    .map(|node| node == victim || (!alone && dice.chance(500_000)));
                let mut side: Vec<bool> = side.collect();
                if side.iter().all(|side| *side) {
                    side[(victim as usize + 1) % count as usize] = false;
                }
                let one_way = dice.chance(300_000);
                let number = self.part(side, one_way);
                self.world.queue.push(self.world.now + length, Due::Heal(number));
            }
        }
    }
}
