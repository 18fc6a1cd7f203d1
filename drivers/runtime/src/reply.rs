//! How a request ends, and how its caller learns of it.
//!
//! Next: [`Handle`](crate::Handle), which takes requests.

use std::vec::Drain;

use synod_consensus::{Outcome, StateMachine};
use tokio::sync::oneshot;

/// The answer to a request.
pub enum Answer<S: StateMachine> {
    /// To a proposal.
    Written(Outcome<S::Response>),
    /// To a read; never unknown.
    Read(Outcome<S::Answer>),
    /// To an operation on the group.
    Operated(Outcome<()>),
}

/// Where one answer goes. It must not block: it runs on the thread that applies commands, on the core
/// thread, or, if the request was refused at the door, on the caller's own.
pub trait Reply<S: StateMachine>: Sized + Send + 'static {
    /// A proposal ended.
    fn written(self, outcome: Outcome<S::Response>);

    /// A read ended.
    fn read(self, outcome: Outcome<S::Answer>);

    /// An operation on the group ended.
    fn operated(self, outcome: Outcome<()>);

    /// Many requests ended at once. Worth writing where a receiver is woken once for all.
    fn all(answers: Drain<'_, (Self, Answer<S>)>) {
        for (reply, answer) in answers {
            reply.one(answer);
        }
    }

    /// A request ended.
    fn one(self, answer: Answer<S>) {
        match answer {
            Answer::Written(outcome) => self.written(outcome),
            Answer::Read(outcome) => self.read(outcome),
            Answer::Operated(outcome) => self.operated(outcome),
        }
    }
}

/// An answer that somebody awaits: for programs that embed a node.
pub struct Oneshot<S: StateMachine>(oneshot::Sender<Answer<S>>);

impl<S: StateMachine> Oneshot<S> {
    pub(crate) fn new() -> (Self, oneshot::Receiver<Answer<S>>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    fn send(self, answer: Answer<S>) {
        // Whoever waited may have given up; the answer is then of no use to anybody.
        drop(self.0.send(answer));
    }
}

impl<S> Reply<S> for Oneshot<S>
where
    S: StateMachine + 'static,
    S::Response: Send,
    S::Answer: Send,
{
    fn written(self, outcome: Outcome<S::Response>) {
        self.send(Answer::Written(outcome));
    }

    fn read(self, outcome: Outcome<S::Answer>) {
        self.send(Answer::Read(outcome));
    }

    fn operated(self, outcome: Outcome<()>) {
        self.send(Answer::Operated(outcome));
    }
}
