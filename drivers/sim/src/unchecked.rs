//! Invariants for runs that check nothing.

use synod_engine::{Engine, Invariants, NodeId, Sometimes, Stepped, Violation};

/// Finds no fault in anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unchecked;

impl<E: Engine> Invariants<E> for Unchecked {
    fn stepped(&mut self, _: &Stepped<'_, E>, _: &mut Sometimes) -> Result<(), Violation> {
        Ok(())
    }

    fn recovered(&mut self, _: NodeId, _: &E) -> Result<(), Violation> {
        Ok(())
    }

    fn checkpoint<'a>(
        &mut self,
        _: &mut dyn Iterator<Item = (NodeId, &'a E)>,
    ) -> Result<(), Violation>
    where
        E: 'a,
    {
        Ok(())
    }
}
