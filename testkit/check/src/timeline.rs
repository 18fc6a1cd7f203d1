//! What may come next: the operations that are not in the order yet.
//!
//! Begins and ends of the operations of a lane stand in a doubly linked list, in the order of time; taking an
//! operation out and putting it back, last out first in, takes constant time. An operation may come
//! next if nothing that is still there ended before it began: so all that begin before the first end.
//! Operations of unknown fate begin apart from the others, so that they are tried last: such an
//! operation is put into the order only where something needs it.

/// The operations that are not in the order yet, by their position in the key's history.
pub(crate) struct Timeline {
    /// Begin of operation `n` at `2n`, its end at `2n + 1`; after these a node for each lane, which
    /// closes its ring. What stands apart is a ring of its own.
    links: Vec<Link>,
    lanes: Vec<Lane>,
    begins: Vec<u64>,
    ends: Vec<Option<u64>>,
    taken: Vec<bool>,
    /// Operations with an end that are not taken.
    remaining: usize,
}

/// Operations that are in an order with each other and with no others.
struct Lane {
    ring: usize,
    /// Those of unknown fate, by the time of their begin.
    unknown: Vec<usize>,
}

/// When an operation may have taken effect.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    /// Among which others; lanes are numbered from 0.
    pub(crate) lane: usize,
    pub(crate) begin: u64,
    /// The latest time; `None` if it may as well never take effect.
    pub(crate) end: Option<u64>,
    /// Whether it is not known to have been answered.
    pub(crate) unknown: bool,
}

#[derive(Clone, Copy)]
struct Link {
    previous: usize,
    next: usize,
}

impl Timeline {
    pub(crate) fn new(spans: &[Span]) -> Self {
        let lanes = spans.iter().map(|span| span.lane + 1).max().unwrap_or_default();
        let first_ring = 2 * spans.len();
        let mut timeline = Self {
            links: (0..first_ring + lanes)
                .map(|node| Link { previous: node, next: node })
                .collect(),
            lanes: Vec::new(),
            begins: spans.iter().map(|span| span.begin).collect(),
            ends: spans.iter().map(|span| Some(span.end?.max(span.begin))).collect(),
            taken: vec![false; spans.len()],
            remaining: spans.iter().filter(|span| span.end.is_some()).count(),
        };
        let mut nodes = vec![Vec::new(); lanes];
        let mut unknown = vec![Vec::new(); lanes];
        for (operation, span) in spans.iter().enumerate() {
            if span.unknown {
                unknown[span.lane].push(operation);
            } else {
                nodes[span.lane].push(2 * operation);
            }
            if span.end.is_some() {
                nodes[span.lane].push(2 * operation + 1);
            }
        }
        for (ring, (mut nodes, mut unknown)) in (first_ring..).zip(nodes.into_iter().zip(unknown)) {
            // At equal times begins stand before ends, so that such operations are concurrent.
            nodes.sort_by_key(|node| (timeline.time(*node), node % 2));
            let mut previous = ring;
            for node in nodes.into_iter().chain([ring]) {
                timeline.links[previous].next = node;
                timeline.links[node].previous = previous;
                previous = node;
            }
            unknown.sort_by_key(|n| spans[*n].begin);
            timeline.lanes.push(Lane { ring, unknown });
        }
        timeline
    }

    /// Whether all that is left may as well never have happened.
    pub(crate) fn is_explained(&self) -> bool {
        self.remaining == 0
    }

    /// The operations that may come next.
    pub(crate) fn candidates(&self) -> Vec<usize> {
        let mut candidates = Vec::new();
        let mut unknown = Vec::new();
        for lane in &self.lanes {
            let mut node = self.links[lane.ring].next;
            while node != lane.ring && node.is_multiple_of(2) {
                candidates.push(node / 2);
                node = self.links[node].next;
            }
            let first_end = if node == lane.ring { u64::MAX } else { self.time(node) };
            let in_time = lane.unknown.iter().take_while(|n| self.begins[**n] <= first_end);
            unknown.extend(in_time.filter(|n| !self.taken[**n]));
        }
        candidates.append(&mut unknown);
        candidates
    }

    /// Takes an operation out: it is in the order now.
    pub(crate) fn take(&mut self, operation: usize) {
        self.taken[operation] = true;
        self.remaining -= usize::from(self.ends[operation].is_some());
        self.unlink(2 * operation);
        self.unlink(2 * operation + 1);
    }

    /// Puts the operation back that was taken out last.
    pub(crate) fn put_back(&mut self, operation: usize) {
        self.taken[operation] = false;
        self.remaining += usize::from(self.ends[operation].is_some());
        self.link(2 * operation + 1);
        self.link(2 * operation);
    }

    fn time(&self, node: usize) -> u64 {
        match node % 2 {
            0 => self.begins[node / 2],
            _ => self.ends[node / 2].unwrap_or(u64::MAX),
        }
    }

    fn unlink(&mut self, node: usize) {
        let Link { previous, next } = self.links[node];
        self.links[previous].next = next;
        self.links[next].previous = previous;
    }

    fn link(&mut self, node: usize) {
        let Link { previous, next } = self.links[node];
        self.links[previous].next = node;
        self.links[next].previous = node;
    }
}
