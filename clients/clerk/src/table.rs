//! What is under way, by the id that the server repeats in its reply.

/// A value under way, and where in the stream of bytes its request ends.
#[derive(Debug)]
pub(crate) struct Sent<T> {
    pub(crate) what: T,
    pub(crate) ends_at: u64,
}

/// Values by id. Places are used again, ids are not: an answer that nobody waits for finds nothing.
#[derive(Debug)]
pub(crate) struct Table<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    uses: u32,
    sent: Option<Sent<T>>,
}

impl<T> Table<T> {
    pub(crate) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The id that the next insert will have.
    pub(crate) fn next_id(&self) -> u64 {
        match self.free.last() {
            Some(&place) => id(place, self.places[place as usize].uses),
            None => id(self.places.len() as u32, 0),
        }
    }

    /// Puts it under [`next_id`](Self::next_id).
    pub(crate) fn insert(&mut self, what: T, ends_at: u64) {
        let sent = Some(Sent { what, ends_at });
        match self.free.pop() {
            Some(place) => self.places[place as usize].sent = sent,
            None => self.places.push(Place { uses: 0, sent }),
        }
    }

    /// Takes out what has this id.
    pub(crate) fn take(&mut self, id: u64) -> Option<Sent<T>> {
        let (place, uses) = (id as u32, (id >> 32) as u32);
        let slot = self.places.get_mut(place as usize).filter(|slot| slot.uses == uses)?;
        let sent = slot.sent.take()?;
        slot.uses = slot.uses.wrapping_add(1);
        self.free.push(place);
        Some(sent)
    }

    /// Takes out everything that `gone` selects.
    pub(crate) fn drain(&mut self, mut gone: impl FnMut(&T) -> bool) -> Vec<Sent<T>> {
        let selected = |(place, slot): (usize, &Place<T>)| {
            let sent = slot.sent.as_ref()?;
            gone(&sent.what).then(|| id(place as u32, slot.uses))
        };
        let ids: Vec<u64> = self.places.iter().enumerate().filter_map(selected).collect();
        ids.into_iter().filter_map(|id| self.take(id)).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|slot| slot.sent.as_ref()).map(|sent| &sent.what)
    }
}

fn id(place: u32, uses: u32) -> u64 {
    u64::from(uses) << 32 | u64::from(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_finds_what_was_put_under_it_once() {
        let mut table = Table::new();
        let first = table.next_id();
        table.insert("first", 10);
        let second = table.next_id();
        table.insert("second", 20);
        assert_eq!(table.take(first).map(|sent| (sent.what, sent.ends_at)), Some(("first", 10)));
        let third = table.next_id();
        table.insert("third", 30);
        assert!(table.take(first).is_none(), "its place is used again, its id is not");
        assert_eq!(table.len(), 2);
        assert_eq!(table.drain(|what| *what == "third").len(), 1);
        assert!(table.take(third).is_none() && table.take(second).is_some());
        assert_eq!((table.len(), table.iter().count()), (0, 0));
    }
}
