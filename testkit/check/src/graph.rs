//! What must come before what; an order of it, or a circle.

use std::collections::VecDeque;

/// Nodes are numbered from 0.
#[derive(Clone)]
pub(crate) struct Graph {
    next: Vec<Vec<Edge>>,
}

#[derive(Clone, Copy)]
struct Edge {
    to: usize,
    why: Why,
}

/// Why one comes before the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Why {
    /// What is true of the first with regard to the next.
    pub(crate) text: &'static str,
    /// The operation that shows it, if it is neither.
    pub(crate) by: Option<usize>,
}

impl Graph {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { next: vec![Vec::new(); nodes] }
    }

    /// One more node; its number.
    pub(crate) fn node(&mut self) -> usize {
        self.next.push(Vec::new());
        self.next.len() - 1
    }

    pub(crate) fn add(&mut self, from: usize, to: usize, text: &'static str) {
        self.add_shown(from, to, Why { text, by: None });
    }

    pub(crate) fn add_shown(&mut self, from: usize, to: usize, why: Why) {
        self.next[from].push(Edge { to, why });
    }

    pub(crate) fn next(&self, node: usize) -> impl Iterator<Item = usize> {
        self.next[node].iter().map(|edge| edge.to)
    }

    /// Only what is said of nodes that are `known`, and nothing of others.
    pub(crate) fn within(&self, known: impl Fn(usize) -> bool) -> Self {
        let kept = |(node, edges): (usize, &Vec<Edge>)| match known(node) {
            true => edges.iter().copied().filter(|edge| known(edge.to)).collect(),
            false => Vec::new(),
        };
        Self { next: self.next.iter().enumerate().map(kept).collect() }
    }

    /// How many come directly before each node.
    pub(crate) fn before(&self) -> Vec<usize> {
        let mut before = vec![0; self.next.len()];
        self.next.iter().flatten().for_each(|edge| before[edge.to] += 1);
        before
    }

    /// All nodes, each after those that must come before it; else a circle, each with why it comes
    /// before the next.
    pub(crate) fn sort(&self) -> Result<Vec<usize>, Vec<(usize, Why)>> {
        let mut before = self.before();
        let mut order: Vec<_> = (0..before.len()).filter(|node| before[*node] == 0).collect();
        let mut done = 0;
        while let Some(&node) = order.get(done) {
            done += 1;
            for next in self.next(node) {
                before[next] -= 1;
                if before[next] == 0 {
                    order.push(next);
                }
            }
        }
        if order.len() == before.len() { Ok(order) } else { Err(self.circle(&before)) }
    }

    /// A circle among the nodes that still have some before them.
    fn circle(&self, before: &[usize]) -> Vec<(usize, Why)> {
        const TRIED: usize = 32;
        let is_left = |node: &usize| before[*node] > 0;
        let left: Vec<_> = (0..before.len()).filter(is_left).collect();
        let mut previous = vec![usize::MAX; before.len()];
        for &node in &left {
            for next in self.next(node) {
                previous[next] = node;
            }
        }
        // Whoever goes back long enough goes in a circle.
        let on_circle = |start: usize| (0..left.len()).fold(start, |node, _| previous[node]);
        let starts = left.iter().step_by((left.len() / TRIED).max(1)).map(|node| on_circle(*node));
        let circles = starts.filter_map(|start| self.shortest(start, &is_left));
        circles.min_by_key(Vec::len).unwrap_or_default()
    }

    /// The shortest way from `start` back to it.
    fn shortest(
        &self,
        start: usize,
        is_left: &impl Fn(&usize) -> bool,
    ) -> Option<Vec<(usize, Why)>> {
        let mut came = vec![None; self.next.len()];
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for edge in &self.next[node] {
                if !is_left(&edge.to) || came[edge.to].is_some() {
                    continue;
                }
                came[edge.to] = Some((node, edge.why));
                if edge.to != start {
                    queue.push_back(edge.to);
                    continue;
                }
                let mut way = Vec::new();
                let mut at = start;
                while let Some((from, why)) = came[at] {
                    way.push((from, why));
                    at = from;
                    if at == start {
                        way.reverse();
                        return Some(way);
                    }
                }
            }
        }
        None
    }
}
