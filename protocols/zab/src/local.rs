//! What the local user asks, and what the driver reports of tasks: each goes to the role that the node has.

use alloc::vec::Vec;

use synod_consensus::{Event, Output, Refusal, Request};
use synod_engine::{Context, TaskId, Token};
use synod_log::Cause;

use crate::role::Role;
use crate::{Rules, Zab};

impl<R: Rules> Zab<R> {
    /// A task has ended.
    pub(crate) fn task_done(
        &mut self,
        context: &mut Context<'_, Self>,
        id: TaskId,
        output: Output,
    ) {
        let read = match output {
            Output::Snapshot { index, blob } => {
                self.state.snapshot_done(context, id, Some((index, blob)));
                return self
                    .state
                    .snapshot_for(context, Cause::Applied { installs: self.role.installs() });
            }
            Output::SnapshotFailed => return self.state.snapshot_done(context, id, None),
            Output::Log(batches) => batches,
            Output::LogFailed => Vec::new(),
        };
        if let Role::Leader(leader) = &mut self.role {
            leader.log_read(&self.state, context, id, &read);
        }
    }

    /// The local user asks for something.
    pub(crate) fn request(
        &mut self,
        context: &mut Context<'_, Self>,
        token: Token,
        request: Request,
    ) {
        match (&mut self.role, request) {
            (_, Request::Compact) => self.state.snapshot_for(context, Cause::Asked),
            (Role::Leader(leader), Request::Propose(command)) => {
                leader.propose(&self.state, context, token, command);
            }
            (Role::Leader(leader), Request::Read) => leader.read(&self.state, context, token),
            (Role::Leader(leader), Request::Change(wishes)) => {
                leader.change(&mut self.state, context, token, &wishes);
            }
            (Role::Leader(leader), Request::Transfer(target)) => {
                leader.transfer(&self.state, context, token, target);
            }
            (Role::Follower(follower), Request::Read) => {
                follower.read(&self.state, context, token);
            }
            (Role::Follower(follower), Request::Propose(command)) => {
                follower.forward(&self.state, context, token, command);
            }
            (Role::Follower(_), Request::Change(_) | Request::Transfer(_))
            | (
                Role::Looking(_) | Role::Discovery(_),
                Request::Propose(_) | Request::Read | Request::Change(_) | Request::Transfer(_),
            ) => {
                let refusal = Refusal::NotLeader { leader: self.leadership().1 };
                context.emit_now(Event::Refused { token, refusal });
            }
        }
    }

    /// The local user no longer waits.
    pub(crate) fn cancel(&mut self, context: &mut Context<'_, Self>, token: Token) {
        match &mut self.role {
            Role::Looking(_) | Role::Discovery(_) => {}
            Role::Follower(follower) => follower.cancel(context, token),
            Role::Leader(leader) => leader.cancel(context, token),
        }
    }
}
