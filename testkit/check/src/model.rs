//! What a history is judged by.

use std::fmt::Debug;
use std::hash::Hash;

use crate::Operation;
use crate::versions::{Unclear, Versions};

/// A service as it would be if operations happened one after the other.
pub trait Model {
    /// What is asked.
    type Input;
    /// What is answered.
    type Output;
    /// The part of the service that operations of one key can see.
    type State: Clone + PartialEq + Hash + Debug;
    /// Operations of different keys neither see nor change each other's state.
    type Key: Clone + Ord + Hash + Debug;

    /// The key that an operation is about.
    fn key(&self, input: &Self::Input) -> Self::Key;

    /// The state of a key before all operations.
    fn initial(&self) -> Self::State;

    /// The state after `input` was done and answered `output`; `None` if a correct service would not
    /// answer this. Where the answer is unknown, any answer is possible.
    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// Whether the operation, answered like this, can have changed the state. Say `false` of what
    /// never does, in any state: reads, and writes that say that they did nothing.
    fn changes(&self, _input: &Self::Input, _output: Option<&Self::Output>) -> bool {
        true
    }

    /// Whether every answer that is possible from `narrow` on is also possible from `wide` on. Say
    /// `true` only where it is certain: it spares the search what cannot help.
    fn covers(&self, wide: &Self::State, narrow: &Self::State) -> bool {
        wide == narrow
    }

    /// Whether this answer is a sign that `input` took effect before. A hint where to look first for
    /// operations of unknown fate; the verdict does not rest on it.
    fn shows(&self, _input: &Self::Input, _asked: &Self::Input, _answer: &Self::Output) -> bool {
        false
    }

    /// Whether later answers can be expected to [show](Self::shows) that `input` took effect. A hint, as
    /// that is.
    fn leaves_signs(&self, _input: &Self::Input) -> bool {
        false
    }

    /// A place in the order of its key that the answer itself tells, as a revision does. Operations
    /// that have one took effect in that order.
    fn place(&self, _input: &Self::Input, _output: &Self::Output) -> Option<u64> {
        None
    }

    /// What each of these operations of one key had to do with versions, where the values tell: no
    /// value was written twice.
    ///
    /// # Errors
    /// [`Unclear`] where they do not, as by default.
    fn versions(
        &self,
        _operations: &[&Operation<Self::Input, Self::Output>],
    ) -> Result<Versions, Unclear> {
        Err(Unclear::Ambiguous("has no versions in this model".into()))
    }
}
