//! Counts what nodes say to each other, where it leaves them.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Serialize;
use synod_engine::{Effect, Engine, Invariants, NodeId, Sometimes, Stepped, To, Violation};

/// What was said since it was last looked at.
#[derive(Default)]
pub(super) struct Tally {
    spent: Spent,
    buffer: Vec<u8>,
}

/// What something cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    /// Messages from node to node, each counted where it left.
    pub(super) messages: u64,
    /// Their bytes as the runtime writes them, without the frames that share them.
    pub(super) bytes: u64,
    /// Syncs of all disks.
    pub(super) syncs: u64,
    /// How many messages of which kind.
    pub(super) kinds: BTreeMap<String, u64>,
}

impl Tally {
    pub(super) fn spent(&self) -> &Spent {
        &self.spent
    }
}

impl Spent {
    /// What was spent since it was `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let earlier = |kind: &str| before.kinds.get(kind).copied().unwrap_or(0);
        let kinds = self.kinds.iter().map(|(kind, count)| (kind.clone(), count - earlier(kind)));
        Self {
            messages: self.messages - before.messages,
            bytes: self.bytes - before.bytes,
            syncs: self.syncs - before.syncs,
            kinds: kinds.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

impl<E> Invariants<E> for Tally
where
    E: Engine<Message: Serialize>,
{
    fn stepped(&mut self, _: &Stepped<'_, E>, _: &mut Sometimes) -> Result<(), Violation> {
        Ok(())
    }

    fn performed(&mut self, node: NodeId, effect: &Effect<E>) -> Result<(), Violation> {
        let Effect::Send { to: To::Node(to), message, .. } = effect else { return Ok(()) };
        if *to == node {
            return Ok(());
        }
        self.buffer.clear();
        synod_codec::encode(message, &mut self.buffer);
        self.spent.messages += 1;
        self.spent.bytes += self.buffer.len() as u64;
        let mut kind = FirstWord(String::new());
        // It wants no more than one word, and says so by an error.
        let _ = write!(kind, "{message:?}");
        *self.spent.kinds.entry(kind.0).or_default() += 1;
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

/// The name of a variant: how its `Debug` begins.
struct FirstWord(String);

impl Write for FirstWord {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let word = text.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or("");
        self.0.push_str(word);
        if word.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
