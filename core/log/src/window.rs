//! What a leader has sent to one follower and is not acknowledged yet: bounded in messages and bytes, for
//! it lies in the queues of the link.

use alloc::collections::VecDeque;

use synod_consensus::Index;

/// The messages with entries that are under way, in the order of their last entries.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Window {
    in_flight: VecDeque<(Index, usize)>,
    size_bytes: usize,
}

impl Window {
    /// Whether one more message may be sent within these bounds.
    #[must_use]
    pub fn has_room(&self, max_messages: usize, max_bytes: usize) -> bool {
        self.in_flight.len() < max_messages && self.size_bytes < max_bytes
    }

    /// A message with entries up to `last` was sent.
    pub fn sent(&mut self, last: Index, size_bytes: usize) {
        self.in_flight.push_back((last, size_bytes));
        self.size_bytes += size_bytes;
    }

    /// Everything up to `index` is acknowledged.
    pub fn acknowledged(&mut self, index: Index) {
        while let Some((_, size_bytes)) = self.in_flight.pop_front_if(|(last, _)| *last <= index) {
            self.size_bytes -= size_bytes;
        }
    }

    /// What was under way may be lost.
    pub fn clear(&mut self) {
        self.in_flight.clear();
        self.size_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_bounded_in_messages_and_bytes() {
        let mut window = Window::default();
        window.sent(Index(3), 60);
        window.sent(Index(4), 60);
        assert!(!window.has_room(2, 1000) && !window.has_room(10, 120) && window.has_room(3, 121));
        window.acknowledged(Index(2));
        assert!(!window.has_room(2, 1000));
        window.acknowledged(Index(3));
        assert!(window.has_room(2, 61) && !window.has_room(1, 1000));
        window.clear();
        assert!(window.has_room(1, 1));
    }
}
