//! The local user of an engine that runs by itself.

use synod_engine::{Engine, Instant, NodeId};

use crate::host::Host;

/// Whom the engine tells, on the core's thread: it must not block.
pub trait User<E: Engine>: Send + 'static {
    /// The engine has something to say.
    fn told(&mut self, event: E::Event);

    /// Something takes place: for those who want to watch. Called in the order in which it does.
    fn saw(&mut self, sight: Sight<'_, E>) {
        let _ = sight;
    }

    /// The core has taken in all that was at hand and performed what followed.
    fn settled(&mut self, now: Instant, host: &Host<E>) {
        let _ = (now, host);
    }
}

/// What can be seen of a node while it runs.
pub enum Sight<'a, E: Engine> {
    /// The engine is about to hear this, from a peer or from itself.
    Heard {
        /// From whom.
        from: NodeId,
        /// What.
        message: &'a E::Message,
    },
    /// This leaves for a peer. What it rests on is durable, unless it is marked now.
    Said {
        /// To whom.
        to: NodeId,
        /// What.
        message: &'a E::Message,
    },
    /// This is on its way to the disk; what is held waits for it.
    Persisted(&'a E::Record),
}
