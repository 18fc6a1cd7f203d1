//! Sessions between nodes: first in, first out, until a loss ends them.

/// The way a message takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    Datagram,
    Ordered { lane: u8, session: u32 },
}

/// One link, shared by both directions: a loss ends the session for both ends, each of which sees it
/// in its own time.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) ends: [u32; 2],
    /// Counts sessions, from 1.
    session: u32,
    /// Something was lost: nothing sent from here on arrives.
    broken: bool,
    /// Which end sees the session as open.
    open: [bool; 2],
    /// For each sender, when the last message of each lane arrives.
    last: [Vec<u64>; 2],
}

/// The links among `nodes` nodes, or none where everything travels as datagrams.
#[derive(Debug, Default)]
pub(crate) struct Links {
    nodes: u32,
    all: Vec<Link>,
}

impl Links {
    pub(crate) fn between(nodes: u32) -> Self {
        let pairs = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| [a, b]));
        let all = pairs.map(|ends| Link {
            ends,
            session: 0,
            broken: true,
            open: [false; 2],
            last: [Vec::new(), Vec::new()],
        });
        Self { nodes, all: all.collect() }
    }

    pub(crate) fn len(&self) -> u32 {
        self.all.len() as u32
    }

    fn find(&self, from: u32, to: u32) -> (u32, usize) {
        let (a, b) = (from.min(to), from.max(to));
        (a * (2 * self.nodes - a - 1) / 2 + b - a - 1, usize::from(from > to))
    }

    pub(crate) fn get(&self, link: u32) -> &Link {
        &self.all[link as usize]
    }

    /// The number of the link between two nodes.
    pub(crate) fn number(&self, a: u32, b: u32) -> u32 {
        self.find(a, b).0
    }

    /// The session that `from` sees as open towards `to`.
    pub(crate) fn session(&self, from: u32, to: u32) -> Option<u32> {
        let (link, end) = self.find(from, to);
        let link = &self.all[link as usize];
        link.open[end].then_some(link.session)
    }

    /// Whether a message sent now would be lost although its sender sees the session as open.
    pub(crate) fn is_broken(&self, a: u32, b: u32) -> bool {
        self.all[self.number(a, b) as usize].broken
    }

    /// When a message arrives that would like to arrive at `wish`: after those before it.
    pub(crate) fn arrival(&mut self, from: u32, to: u32, lane: u8, wish: u64) -> u64 {
        let (link, end) = self.find(from, to);
        let last = &mut self.all[link as usize].last[end];
        if last.len() <= usize::from(lane) {
            last.resize(usize::from(lane) + 1, 0);
        }
        let slot = &mut last[usize::from(lane)];
        *slot = wish.max(*slot);
        *slot
    }

    /// Ends the session; gives the ends that still see it as open, or `None` if it was over already.
    pub(crate) fn end(&mut self, link: u32) -> Option<[bool; 2]> {
        let link = &mut self.all[link as usize];
        if link.broken {
            return None;
        }
        link.broken = true;
        Some(link.open)
    }

    /// One end sees that the session is over; false if it knew.
    pub(crate) fn close(&mut self, link: u32, end: u8) -> bool {
        std::mem::replace(&mut self.all[link as usize].open[usize::from(end)], false)
    }

    /// A node is gone and sees nothing any more.
    pub(crate) fn close_all_of(&mut self, node: u32) {
        for link in &mut self.all {
            for end in 0..2 {
                link.open[end] &= link.ends[end] != node;
            }
        }
    }

    /// Begins a session, if both ends know that the last one is over.
    pub(crate) fn open(&mut self, link: u32) -> bool {
        let link = &mut self.all[link as usize];
        if link.open != [false; 2] {
            return false;
        }
        link.session += 1;
        link.broken = false;
        link.open = [true; 2];
        link.last.iter_mut().for_each(Vec::clear);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_its_own_link() {
        let links = Links::between(5);
        let mut seen = Vec::new();
        for a in 0..5 {
            for b in a + 1..5 {
                assert_eq!(links.get(links.number(a, b)).ends, [a, b]);
                assert_eq!(links.number(a, b), links.number(b, a));
                seen.push(links.number(a, b));
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_session_begins_only_after_both_ends_saw_the_last_one_end() {
        let mut links = Links::between(2);
        assert!(links.open(0));
        assert_eq!(links.end(0), Some([true, true]));
        assert_eq!(links.end(0), None);
        assert!(links.close(0, 0) && !links.close(0, 0));
        assert_eq!((links.session(0, 1), links.session(1, 0)), (None, Some(1)));
        assert!(!links.open(0));
        links.close(0, 1);
        assert!(links.open(0));
        assert_eq!(links.session(0, 1), Some(2));
    }
}
