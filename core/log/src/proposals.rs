//! The proposals of a leader's own user, each of which ends exactly once, and of its followers' users.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use synod_consensus::{Batch, Epoch, Event, Index, Payload, Refusal};
use synod_engine::{NodeId, Token};

/// Whose proposal it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    /// The local user's.
    User(Token),
    /// A follower's user's.
    Peer(Forwarded),
}

/// A proposal that was forwarded, as its follower counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Forwarded {
    /// Whose user proposed it.
    pub from: NodeId,
    /// The lane that it came in.
    pub lane: u64,
    /// Its number in that lane.
    pub number: u64,
}

/// Proposals that wait for the flush, and proposals that wait to be committed.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Proposals {
    gathered: Vec<(Owner, Payload)>,
    gathered_bytes: usize,
    appended: VecDeque<(Index, Token)>,
    /// Appended for followers, and not answered yet.
    placed: Vec<(Forwarded, Index)>,
}

impl Proposals {
    /// Bytes gathered for the next flush.
    pub fn gathered_bytes(&self) -> usize {
        self.gathered_bytes
    }

    /// A command was proposed.
    pub fn gather(&mut self, owner: Owner, command: Bytes) {
        let payload = Payload::Command(command);
        self.gathered_bytes += payload.size_bytes();
        self.gathered.push((owner, payload));
    }

    /// Nobody waits for this proposal any more; returns whether it was still only gathered, and so
    /// never takes effect.
    pub fn cancel(&mut self, token: Token) -> bool {
        let is_it = |(owner, _): &(Owner, Payload)| *owner == Owner::User(token);
        let Some(place) = self.gathered.iter().position(is_it) else { return false };
        let (_, payload) = self.gathered.remove(place);
        self.gathered_bytes -= payload.size_bytes();
        true
    }

    /// Turns what was gathered first into entries from `first` on, about `max_bytes` of them; `None` if
    /// nothing is left.
    pub fn append(&mut self, first: Index, epoch: Epoch, max_bytes: usize) -> Option<Batch> {
        if self.gathered.is_empty() {
            return None;
        }
        let mut count = self.gathered.len();
        if self.gathered_bytes > max_bytes {
            let mut size_bytes = 0;
            let fitting = self.gathered.iter().take_while(|(_, payload)| {
                size_bytes += payload.size_bytes();
                size_bytes <= max_bytes
            });
            count = fitting.count().max(1);
        }
        let (appended, placed) = (&mut self.appended, &mut self.placed);
        let entries = self.gathered.drain(..count).zip(first.0..);
        // An iterator of known length: the entries are moved once, to where they stay.
        let payloads: Arc<[Payload]> = entries
            .map(|((owner, payload), index)| {
                match owner {
                    Owner::User(token) => appended.push_back((Index(index), token)),
                    Owner::Peer(forwarded) => placed.push((forwarded, Index(index))),
                }
                payload
            })
            .collect();
        let batch = Batch::new(first, epoch, payloads);
        self.gathered_bytes -= batch.size_bytes();
        Some(batch)
    }

    /// Takes out what was appended for followers.
    pub fn placed(&mut self) -> impl Iterator<Item = (Forwarded, Index)> {
        self.placed.drain(..)
    }

    /// The entry at `index` was asked for by `token`.
    pub fn appended(&mut self, index: Index, token: Token) {
        self.appended.push_back((index, token));
    }

    /// Takes out the proposals up to `last`, which are committed.
    pub fn committed(&mut self, last: Index) -> Vec<(Index, Token)> {
        let count = self.appended.partition_point(|(index, _)| *index <= last);
        self.appended.drain(..count).collect()
    }

    /// It leads no more: ends the own user's proposals that were never appended. Other nodes hear of that
    /// by other ways.
    pub fn refuse(&mut self, leader: Option<NodeId>) -> impl Iterator<Item = Event> + use<> {
        self.gathered_bytes = 0;
        let refusal = Refusal::NotLeader { leader };
        let gathered = core::mem::take(&mut self.gathered).into_iter();
        gathered.filter_map(move |(owner, _)| match owner {
            Owner::User(token) => Some(Event::Refused { token, refusal }),
            Owner::Peer(_) => None,
        })
    }

    /// ... and those that were, and are not committed: another leader may keep them or not.
    pub fn lose(self) -> impl Iterator<Item = Event> {
        self.appended.into_iter().map(|(_, token)| Event::Unknown { token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposals_become_bounded_batches_and_end_in_order() {
        let mut proposals = Proposals::default();
        for token in 1..=3 {
            proposals.gather(Owner::User(Token(token)), Bytes::from_static(b"0123456789"));
        }
        assert!(proposals.cancel(Token(2)) && !proposals.cancel(Token(2)));
        proposals.gather(Owner::User(Token(4)), Bytes::from_static(b"0123456789"));
        let first = proposals.append(Index(7), Epoch(1), 40).unwrap();
        let second = proposals.append(Index(9), Epoch(1), 40).unwrap();
        let runs = [first, second].map(|batch| (batch.first().0, batch.last().0));
        assert_eq!(runs, [(7, 8), (9, 9)]);
        assert_eq!(proposals.append(Index(10), Epoch(1), 40), None);
        assert_eq!(proposals.gathered_bytes(), 0);
        assert_eq!(proposals.committed(Index(8)), [(Index(7), Token(1)), (Index(8), Token(3))]);
        proposals.gather(Owner::User(Token(5)), Bytes::new());
        let refusal = Refusal::NotLeader { leader: None };
        let refused = proposals.refuse(None).collect::<Vec<_>>();
        assert_eq!(refused, [Event::Refused { token: Token(5), refusal }]);
        assert_eq!(proposals.lose().collect::<Vec<_>>(), [Event::Unknown { token: Token(4) }]);
    }
}
