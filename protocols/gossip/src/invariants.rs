//! What must always hold, numbered as in the guide.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;

use bytes::Bytes;
use synod_engine::{Effect, Invariants, NodeId, Sometimes, Stepped, Violation};

use crate::{Event, Gossip, Message, Rules, Rumor, RumorId};

/// The three invariants of the guide.
#[derive(Clone, Debug)]
pub struct Sanity {
    max_rumors: usize,
    max_packet_bytes: usize,
    started: BTreeMap<RumorId, Bytes>,
    /// What each node has heard in its present life and has not had to forget.
    heard: BTreeMap<NodeId, BTreeSet<RumorId>>,
}

impl Sanity {
    /// Of nodes with these bounds.
    #[must_use]
    pub fn new(max_rumors: usize, max_packet_bytes: usize) -> Self {
        Self { max_rumors, max_packet_bytes, started: BTreeMap::new(), heard: BTreeMap::new() }
    }

    fn heard(&mut self, node: NodeId, rumor: &Rumor) -> Result<(), Violation> {
        let id = rumor.id;
        if self.started.get(&id) != Some(&rumor.content) {
            let detail = format!("{node} heard {id}, which {} did not start so", id.origin);
            return Err(Violation { invariant: "Nothing is made up", detail });
        }
        if !self.heard.entry(node).or_default().insert(id) {
            let detail = format!("{id} was news to {node} twice");
            return Err(Violation { invariant: "Heard once", detail });
        }
        Ok(())
    }

    fn told(&self, node: NodeId, rumors: &[Rumor]) -> Result<(), Violation> {
        let size_bytes: usize = rumors.iter().map(Rumor::size_bytes).sum();
        if size_bytes > self.max_packet_bytes {
            let detail = format!("{node} sends {size_bytes} bytes of rumors in one message");
            return Err(Violation { invariant: "Bounded", detail });
        }
        Ok(())
    }
}

impl<R: Rules> Invariants<Gossip<R>> for Sanity {
    fn stepped(
        &mut self,
        step: &Stepped<'_, Gossip<R>>,
        sometimes: &mut Sometimes,
    ) -> Result<(), Violation> {
        for effect in step.effects {
            match effect {
                Effect::Send {
                    message: Message::Call { rumors, .. } | Message::Answer { rumors },
                    ..
                } => self.told(step.node, rumors)?,
                Effect::Emit { event: Event::Started { rumor, .. }, .. } => {
                    self.started.insert(rumor.id, rumor.content.clone());
                    self.heard.entry(step.node).or_default().insert(rumor.id);
                }
                Effect::Emit { event: Event::Forgot(id), .. } => {
                    self.heard.entry(step.node).or_default().remove(id);
                    sometimes.reached("a rumor was forgotten");
                }
                Effect::Emit { event: Event::Heard(rumor), .. } => {
                    self.heard(step.node, rumor)?;
                    sometimes.reached("a rumor was heard");
                }
                _ => {}
            }
        }
        let (hot, cold) = (step.after.rumors.hot(), step.after.rumors.cold());
        if hot + cold > self.max_rumors {
            let detail = format!("{} remembers {hot} hot and {cold} cold rumors", step.node);
            return Err(Violation { invariant: "Bounded", detail });
        }
        Ok(())
    }

    fn recovered(&mut self, node: NodeId, _engine: &Gossip<R>) -> Result<(), Violation> {
        self.heard.remove(&node);
        Ok(())
    }

    fn checkpoint<'a>(
        &mut self,
        nodes: &mut dyn Iterator<Item = (NodeId, &'a Gossip<R>)>,
    ) -> Result<(), Violation>
    where
        Gossip<R>: 'a,
    {
        for (node, engine) in nodes {
            let mut heard = self.heard.get(&node).into_iter().flatten();
            if let Some(lost) = heard.find(|id| !engine.knows(**id)) {
                let detail = format!("{node} has forgotten {lost} though there was room");
                return Err(Violation { invariant: "Heard once", detail });
            }
        }
        Ok(())
    }
}
