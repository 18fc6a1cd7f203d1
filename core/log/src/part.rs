//! What a node is to its group.

use synod_consensus::{MAX_MEMBERS, Member};
use synod_engine::{ConfigError, Incarnation, NodeId};
use synod_quorum::Voters;

/// Who a node is, how its group began, and which life of its directory this is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// This node.
    pub node: NodeId,
    /// The voters of a new cluster, the same on all of them. They become the first record; after
    /// that the records count and this is ignored. `None` on a node that is to join a cluster.
    pub initial_voters: Option<Voters>,
    /// Which life of its directory this is, where the driver keeps account of lives. A node that lost its
    /// data reads on its way about members under its own name: only those of its own life are itself.
    pub incarnation: Option<Incarnation>,
}

impl Part {
    /// `node` of a new cluster of `voters`.
    pub fn founder(node: NodeId, voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self { node, initial_voters: Some(Voters::new(voters)), incarnation: None }
    }

    /// The same node after it lost all that it had: it founds nothing, and waits to be admitted.
    #[must_use]
    pub fn reborn(&self, incarnation: Incarnation) -> Self {
        Self { node: self.node, initial_voters: None, incarnation: Some(incarnation) }
    }

    /// Checks it in itself.
    ///
    /// # Errors
    /// [`ConfigError`], naming the knob.
    pub fn check(&self) -> Result<(), ConfigError> {
        let voters = self.initial_voters.as_ref();
        ConfigError::among([
            (
                voters.is_some_and(|voters| !voters.contains(self.node)),
                "initial_voters must contain the node itself",
            ),
            (
                voters.is_some_and(|voters| voters.len() > MAX_MEMBERS),
                "initial_voters must be no more than a group may have members",
            ),
        ])
    }

    /// Whether this member of the node's own name is the node as it is, and not one that lost its data
    /// (what that one was entitled to, this one is not). A member of the first hour is meant as it was
    /// founded.
    #[must_use]
    pub fn is_this_life(&self, member: &Member) -> bool {
        let Some(incarnation) = self.incarnation else { return true };
        match &member.contact {
            Some(contact) => contact.incarnation == incarnation,
            None => self.initial_voters.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use synod_consensus::Contact;

    use super::*;

    #[test]
    fn a_founder_is_one_of_the_voters_and_they_are_not_too_many() {
        let check = |node, count| {
            let part = Part::founder(NodeId(node), (1..=count).map(NodeId));
            part.check().map_err(|fault| fault.to_string())
        };
        assert_eq!([check(3, 3), check(1, 64)], [Ok(()), Ok(())]);
        for stranger in [check(4, 3), check(1, 65)] {
            assert!(stranger.unwrap_err().starts_with("initial_voters"));
        }
    }

    #[test]
    fn a_member_of_its_name_is_meant_in_the_life_that_was_admitted() {
        let founded = Member::founder(NodeId(1));
        let (address, client_address) = (String::new(), String::new());
        let contact = Contact { incarnation: Incarnation(7), address, client_address };
        let admitted = Member { contact: Some(contact), ..founded.clone() };
        let founder = Part::founder(NodeId(1), [NodeId(1)]);
        let is = |part: &Part| [part.is_this_life(&founded), part.is_this_life(&admitted)];
        assert_eq!(is(&founder), [true, true], "nobody keeps account of lives");
        assert_eq!(is(&founder.reborn(Incarnation(7))), [false, true]);
        assert_eq!(is(&founder.reborn(Incarnation(8))), [false, false]);
        let first = Part { incarnation: Some(Incarnation(6)), ..founder };
        assert_eq!(is(&first), [true, false]);
    }
}
