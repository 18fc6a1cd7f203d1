//! Partitions: by hand, by chance, and the shapes in which protocols come to a standstill although a
//! majority could talk (Omni-Paxos, EuroSys 2023, section 2).
//!
//! - *Chained*: nodes in a row, each of which hears only its neighbours.
//! - *Quorum loss*: all hear one node, and it does not lead; nobody else hears anybody, so that the
//!   leader has no majority and only one node could have one.
//! - *Constrained*: the same, but that one node was cut off before and its log is behind.
//!
//! One more *follows the leaders*: who leads is cut off with a minority, and once another leads, that one
//! with another minority, again and again. So leaders come back that have what nobody else has.

use synod_engine::{Engine, Invariants, NodeId};

use crate::app::App;
use crate::faults::Span;
use crate::network::Cut;
use crate::queue::Due;
use crate::sim::Sim;
use crate::workload::Workload;

impl<E, A, I, W> Sim<E, A, I, W>
where
    E: Engine,
    A: App<E>,
    I: Invariants<E>,
    W: Workload<E, A>,
{
    /// Parts these nodes from all others, until [`heal`](Self::heal).
    pub fn isolate(&mut self, nodes: &[NodeId]) {
        self.part_sides(nodes, false);
    }

    /// Lets nothing that these nodes send reach the others, until [`heal`](Self::heal).
    pub fn silence(&mut self, nodes: &[NodeId]) {
        self.part_sides(nodes, true);
    }

    /// Lets only neighbours in this row hear each other, until [`heal`](Self::heal). Nodes that are
    /// not named stand at its end.
    pub fn chain(&mut self, row: &[NodeId]) {
        let place = |id: &NodeId| row.iter().position(|node| node == id).unwrap_or(row.len());
        let place = self.world.ids.iter().map(|id| place(id) as u32).collect();
        self.part(Cut::Chain { place });
    }

    /// Lets all nodes hear this one and no other, until [`heal`](Self::heal).
    pub fn star(&mut self, hub: NodeId) {
        if let Some(hub) = self.world.index(hub) {
            self.part(Cut::Star { hub });
        }
    }

    /// Ends partitions and clogs.
    pub fn heal(&mut self) {
        self.world.network.heal_all();
    }

    fn part_sides(&mut self, nodes: &[NodeId], one_way: bool) {
        let side = self.world.ids.iter().map(|id| nodes.contains(id)).collect();
        self.part(Cut::Sides { side, one_way });
    }

    fn part(&mut self, cut: Cut) -> u32 {
        self.world.counts.partitions += 1;
        self.world.sometimes.reached("partition");
        let count = self.nodes.len() as u32;
        let hears = |node: u32| {
            let others = (0..count).filter(|other| *other != node);
            1 + others.filter(|&it| !cut.blocks(it, node) && !cut.blocks(node, it)).count()
        };
        if self.leaders().any(|leader| 2 * hears(leader) <= count as usize) {
            self.world.sometimes.reached("partition of the leader");
        }
        self.tell_cut(&cut);
        self.world.event(u32::MAX, u64::from(self.world.counts.partitions as u32));
        self.world.network.part(cut)
    }

    fn tell_cut(&mut self, cut: &Cut) {
        if !self.world.trace.has_text() {
            return;
        }
        let ids = &self.world.ids;
        let text = match cut {
            Cut::Sides { side, one_way } => {
                let from = ids.iter().zip(side).filter(|(_, side)| **side).map(|(id, _)| id);
                let arrow = if *one_way { "to" } else { "from" };
                format!("partition {arrow} others: {:?}", from.collect::<Vec<_>>())
            }
            Cut::Chain { place } => {
                let mut row: Vec<_> = place.iter().zip(ids).collect();
                row.sort();
                format!("partition: chain {:?}", row.iter().map(|(_, id)| id).collect::<Vec<_>>())
            }
            Cut::Star { hub } => format!("partition: star around {}", ids[*hub as usize]),
        };
        self.world.trace.say(self.world.now, None, format_args!("{text}"));
    }

    pub(crate) fn leaders(&self) -> impl Iterator<Item = u32> {
        let leads = |app: &Option<A>| app.as_ref().is_some_and(A::leads);
        (0..).zip(&self.nodes).filter(move |(_, node)| leads(&node.app)).map(|(index, _)| index)
    }

    pub(crate) fn heal_partition(&mut self, number: u32) {
        if self.world.network.heal(number) {
            self.world.trace.say(self.world.now, None, format_args!("partition heals"));
        }
    }

    /// The node that a partition cut off becomes the hub of a star.
    pub(crate) fn turn_partition(&mut self, number: u32, hub: u32) {
        let star = Cut::Star { hub };
        if self.world.network.reshape(number, star.clone()) {
            self.tell_cut(&star);
            self.world.sometimes.reached("constrained partition");
        }
    }

    /// One of these leaders, or the victim if there is none, with others that make no majority.
    fn minority_of(&mut self, leaders: &[u32], victim: u32) -> Cut {
        let count = self.nodes.len();
        let dice = &mut self.world.dice.network;
        let leader = match leaders.len() as u64 {
            0 => victim,
            many => leaders[dice.below(many) as usize],
        };
        let mut side = vec![false; count];
        side[leader as usize] = true;
        for _ in 0..dice.below(count as u64 / 2) {
            side[dice.below(count as u64) as usize] = true;
        }
        Cut::Sides { side, one_way: false }
    }

    /// A partition looks for a new leader soon.
    fn follow_later(&mut self, number: u32) {
        const LOOK_EVERY: Span = Span::micros(100, 20_000);
        let after = LOOK_EVERY.draw(&mut self.world.dice.network);
        self.world.queue.push(self.world.now + after, Due::Follow(number));
    }

    /// A partition that follows the leaders cuts off the next one, if there is one on the other side: often
    /// so soon that the first thing which that one says reaches few.
    pub(crate) fn follow_leaders(&mut self, number: u32) {
        const AT_ONCE_PPM: u32 = 300_000;
        let Some(Cut::Sides { side, .. }) = self.world.network.cut(number) else { return };
        let new: Vec<u32> = self.leaders().filter(|leader| !side[*leader as usize]).collect();
        if let Some(leader) = new.first()
            && self.world.dice.network.chance(AT_ONCE_PPM)
        {
            let next = self.minority_of(&new, *leader);
            self.tell_cut(&next);
            self.world.network.reshape(number, next);
        }
        self.follow_later(number);
    }

    /// A partition by chance, that strikes `victim`.
    pub(crate) fn part_by_chance(&mut self, victim: u32, length: u64) {
        let count = self.nodes.len() as u32;
        let number = if count >= 3 && self.world.dice.network.chance(self.world.faults.shapes_ppm) {
            self.shape_by_chance(victim, length)
        } else {
            let dice = &mut self.world.dice.network;
            let alone = dice.chance(500_000);
            let side = (0..count).map(|node| node == victim || (!alone && dice.chance(500_000)));
            let mut side: Vec<bool> = side.collect();
            if side.iter().all(|side| *side) {
                side[(victim as usize + 1) % count as usize] = false;
            }
            let one_way = dice.chance(300_000);
            if one_way {
                self.world.sometimes.reached("one-way partition");
            }
            self.part(Cut::Sides { side, one_way })
        };
        self.world.queue.push(self.world.now + length, Due::Heal(number));
    }

    /// One of the shapes; the victim stands anywhere in a chain, and at the rim of a star. Those that
    /// follow the leaders come more often: they find the most.
    fn shape_by_chance(&mut self, victim: u32, length: u64) -> u32 {
        let count = self.nodes.len() as u32;
        let dice = &mut self.world.dice.network;
        let hub = (victim + 1 + dice.below(u64::from(count) - 1) as u32) % count;
        match dice.below(6) {
            3.. => {
                self.world.sometimes.reached("partition follows the leaders");
                let leaders: Vec<u32> = self.leaders().collect();
                let cut = self.minority_of(&leaders, victim);
                let number = self.part(cut);
                self.follow_later(number);
                number
            }
            0 => {
                let mut place: Vec<u32> = (0..count).collect();
                for last in (1..place.len()).rev() {
                    place.swap(last, dice.below(last as u64 + 1) as usize);
                }
                self.world.sometimes.reached("chained partition");
                self.part(Cut::Chain { place })
            }
            1 => {
                self.world.sometimes.reached("quorum-loss partition");
                self.part(Cut::Star { hub })
            }
            _ => {
                let after = dice.below(length / 2 + 1);
                let side = (0..count).map(|node| node == hub).collect();
                let number = self.part(Cut::Sides { side, one_way: false });
                let turn = Due::Turn { partition: number, hub };
                self.world.queue.push(self.world.now + after, turn);
                number
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_lets_through_what_it_says() {
        let sides = Cut::Sides { side: vec![true, false, false], one_way: false };
        assert!(sides.blocks(0, 1) && sides.blocks(1, 0) && !sides.blocks(1, 2));
        let silent = Cut::Sides { side: vec![true, false, false], one_way: true };
        assert!(silent.blocks(0, 1) && !silent.blocks(1, 0));
        let chain = Cut::Chain { place: vec![2, 0, 1] };
        assert!(!chain.blocks(0, 2) && !chain.blocks(2, 1) && chain.blocks(0, 1));
        let star = Cut::Star { hub: 1 };
        assert!(!star.blocks(0, 1) && !star.blocks(1, 2) && star.blocks(0, 2));
    }
}
