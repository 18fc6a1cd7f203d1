//! What simulated clients saw, to be judged.

use std::time::Duration;

use synod_check::registers::{Input, Output, Registers};
use synod_check::{DEFAULT_MAX_STEPS, Operation, Return, Verdict, check};
use synod_engine::Violation;
use synod_sim::ClientId;

/// All calls of all clients, by the order of their beginnings.
#[derive(Debug, Default)]
pub(super) struct History {
    calls: Vec<Operation<Input, Output>>,
    /// Calls that are no evidence: they surely did nothing, or were reads without an answer.
    void: Vec<usize>,
}

impl History {
    /// How many calls began.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// A call begins; its number. Until it returns, its fate is unknown.
    pub(super) fn invoke(&mut self, client: ClientId, now: Duration, input: Input) -> usize {
        self.calls.push(Operation::unknown(client.0.into(), nanos(now), input));
        self.calls.len() - 1
    }

    /// A call returns.
    pub(super) fn complete(&mut self, call: usize, now: Duration, output: Output) {
        self.calls[call].returned = Some(Return { at: nanos(now), output });
    }

    /// A call is known to have done nothing.
    pub(super) fn forget(&mut self, call: usize) {
        self.void.push(call);
    }

    /// Whether one order of the calls explains what every client saw.
    pub(super) fn judge(&mut self) -> Result<(), Violation> {
        self.void.sort_unstable_by(|one, other| other.cmp(one));
        for call in self.void.drain(..) {
            self.calls.swap_remove(call);
        }
        let detail = match check(&Registers, &self.calls, DEFAULT_MAX_STEPS) {
            Verdict::Ok => return Ok(()),
            Verdict::Illegal(found) => found.explain(&self.calls).to_string(),
            undecided @ Verdict::Unknown { .. } => undecided.to_string(),
        };
        Err(Violation { invariant: "Linearizability", detail })
    }
}

fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}
