//! A model of all keys at once, for what cannot be judged key by key.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use imbl::OrdMap;

use crate::versions::{Change, Seen, Unclear, Version, Versions};
use crate::{Model, Operation};

/// All keys of this model, judged together.
pub(crate) struct Whole<'a, M>(pub(crate) &'a M);

/// The keys that were changed.
pub(crate) struct States<M: Model> {
    by_key: OrdMap<M::Key, M::State>,
    hash: u64,
}

impl<M: Model> Model for Whole<'_, M> {
    type Input = M::Input;
    type Output = M::Output;
    type State = States<M>;
    type Key = ();

    fn key(&self, _: &M::Input) {}

    fn initial(&self) -> States<M> {
        States { by_key: OrdMap::new(), hash: 0 }
    }

    fn step(
        &self,
        state: &States<M>,
        input: &M::Input,
        output: Option<&M::Output>,
    ) -> Option<States<M>> {
        let key = self.0.key(input);
        let before = state.by_key.get(&key).cloned();
        let after = match &before {
            Some(before) => self.0.step(before, input, output)?,
            None => self.0.step(&self.0.initial(), input, output)?,
        };
        if before.as_ref() == Some(&after) {
            return Some(state.clone());
        }
        let hash =
            state.hash ^ before.map_or(0, |before| hash_of(&key, &before)) ^ hash_of(&key, &after);
        Some(States { by_key: state.by_key.update(key, after), hash })
    }

    fn changes(&self, input: &M::Input, output: Option<&M::Output>) -> bool {
        self.0.changes(input, output)
    }

    fn shows(&self, input: &M::Input, asked: &M::Input, answer: &M::Output) -> bool {
        self.0.key(input) == self.0.key(asked) && self.0.shows(input, asked, answer)
    }

    fn leaves_signs(&self, input: &M::Input) -> bool {
        self.0.leaves_signs(input)
    }

    fn versions(
        &self,
        operations: &[&Operation<M::Input, M::Output>],
    ) -> Result<Versions, Unclear> {
        let mut by_key = std::collections::BTreeMap::<M::Key, Vec<usize>>::new();
        for (place, operation) in operations.iter().enumerate() {
            by_key.entry(self.0.key(&operation.input)).or_default().push(place);
        }
        let mut whole = Versions {
            seen: vec![Seen::default(); operations.len()],
            is_complete: true,
            change: Change::Replace,
        };
        for (key, places) in by_key.values().enumerate() {
            let own: Vec<_> = places.iter().map(|place| operations[*place]).collect();
            let in_all = |version| match version {
                Version::Initial => Version::Initial,
                Version::Of(write) => Version::Of(places[write]),
            };
            let versions = self.0.versions(&own).map_err(|unclear| match unclear {
                Unclear::Impossible(own) => {
                    Unclear::Impossible(own.iter().map(|place| places[*place]).collect())
                }
                ambiguous @ Unclear::Ambiguous(_) => ambiguous,
            })?;
            whole.is_complete &= versions.is_complete;
            if key == 0 {
                whole.change = versions.change;
            } else if whole.change != versions.change {
                whole.change = Change::Either;
            }
            for (place, seen) in places.iter().zip(versions.seen) {
                whole.seen[*place] = Seen {
                    key,
                    reads: seen.reads.map(in_all),
                    after: seen.after.map(in_all),
                    shown_by: seen.shown_by.map(|place| places[place]),
                    ..seen
                };
            }
        }
        Ok(whole)
    }
}

fn hash_of(key: &impl Hash, state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, state).hash(&mut hasher);
    hasher.finish()
}

impl<M: Model> Clone for States<M> {
    fn clone(&self) -> Self {
        Self { by_key: self.by_key.clone(), hash: self.hash }
    }
}

impl<M: Model> PartialEq for States<M> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && (self.by_key.ptr_eq(&other.by_key) || self.by_key == other.by_key)
    }
}

impl<M: Model> Hash for States<M> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.hash.hash(hasher);
    }
}

impl<M: Model> fmt::Debug for States<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        for (place, (key, state)) in self.by_key.iter().take(SHOWN).enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{key:?} with {state:?}")?;
        }
        match self.by_key.len() {
            0 => write!(f, "all keys as they were"),
            keys if keys > SHOWN => write!(f, ", and {} more keys", keys - SHOWN),
            _ => Ok(()),
        }
    }
}
