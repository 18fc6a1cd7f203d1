//! Requests that the engine has and that wait for its answer, by token.

use synod_engine::Token;

/// A slab: a token is a place and how often it was used before, so that a late answer finds nobody.
pub(crate) struct Pending<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    waiting: usize,
}

struct Place<T> {
    uses: u32,
    waiting: Option<T>,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new(), waiting: 0 }
    }
}

impl<T> Pending<T> {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// Keeps `waiting` under a new token.
    pub(crate) fn insert(&mut self, waiting: T) -> Token {
        self.waiting += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { uses: 0, waiting: None });
            u32::try_from(self.places.len() - 1).expect("a bounded number of requests waits")
        });
        let Place { uses, waiting: slot } = &mut self.places[place as usize];
        *slot = Some(waiting);
        Token(u64::from(*uses) << 32 | u64::from(place))
    }

    /// Takes out who waits under `token`.
    pub(crate) fn remove(&mut self, token: Token) -> Option<T> {
        let (uses, place) = ((token.0 >> 32) as u32, token.0 as u32);
        let slot = self.places.get_mut(place as usize).filter(|slot| slot.uses == uses)?;
        let waiting = slot.waiting.take()?;
        slot.uses = slot.uses.wrapping_add(1);
        self.free.push(place);
        self.waiting -= 1;
        Some(waiting)
    }

    /// Takes out all.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        let places = std::mem::take(self).places;
        places.into_iter().filter_map(|place| place.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_finds_who_asked_once() {
        let mut pending = Pending::default();
        let (a, b) = (pending.insert('a'), pending.insert('b'));
        assert_eq!(pending.remove(a), Some('a'));
        assert_eq!(pending.remove(a), None);
        let c = pending.insert('c');
        assert_ne!(a, c, "a token is not used again");
        assert_eq!((pending.remove(a), pending.remove(c), pending.len()), (None, Some('c'), 1));
        assert_eq!(pending.remove(b), Some('b'));
        assert_eq!(pending.remove(Token(u64::MAX)), None, "a name that nobody is given");
    }
}
