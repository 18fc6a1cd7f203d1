//! The groups that a node hosts, and the places that stand for them inside it.
//!
//! Which groups a node hosts is known when it starts. From then on each has a place in every list of
//! the node, so that nothing is looked up by name but what comes from outside: a frame, a record, a
//! caller.
//!
//! Next: [`crate::group`], what the core keeps of each.

use synod_engine::{Engine, GroupId};

/// A group's place in the lists of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Place(pub(crate) usize);

/// One of the groups that a node is to host.
pub struct Seed<L: Engine, S> {
    /// Its name, the same on all nodes that host it.
    pub group: GroupId,
    /// How its engine behaves.
    pub engine: L::Config,
    /// Its state machine before the first command.
    pub empty: S,
}

/// All groups of a node, in the order of their names.
#[derive(Clone, Debug)]
pub(crate) struct Groups(Vec<GroupId>);

impl Groups {
    /// These groups; `None` if one is named twice, or there is none.
    pub(crate) fn new(mut groups: Vec<GroupId>) -> Option<Self> {
        groups.sort_unstable();
        let names = groups.len();
        groups.dedup();
        (names > 0 && groups.len() == names).then_some(Self(groups))
    }

    /// The place of `group`.
    pub(crate) fn place(&self, group: GroupId) -> Option<Place> {
        self.0.binary_search(&group).ok().map(Place)
    }

    /// The name of the group at `place`.
    pub(crate) fn name(&self, place: Place) -> GroupId {
        self.0[place.0]
    }

    /// All groups, place by place.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = GroupId> + '_ {
        self.0.iter().copied()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_name_and_named_once() {
        let groups = Groups::new(vec![GroupId(7), GroupId(2)]).unwrap();
        assert_eq!(
            (groups.place(GroupId(2)), groups.place(GroupId(7))),
            (Some(Place(0)), Some(Place(1)))
        );
        assert_eq!(groups.place(GroupId(3)), None);
        assert!(Groups::new(vec![GroupId(1), GroupId(1)]).is_none());
        assert!(Groups::new(Vec::new()).is_none());
    }
}
