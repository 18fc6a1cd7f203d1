//! What simulated clients saw, to be judged.
//!
//! Two judges look at it. Each key is a register, and one order of the calls must explain what all saw
//! (`synod_check`). And revisions follow time: whatever key it is about, no call is answered from an older
//! state than one that was told before the call began. The second judges as the answers come.

use std::ops::Range;
use std::time::Duration;

use synod_check::registers::{Input, Output, Registers};
use synod_check::watch::{Event, Write};
use synod_check::{DEFAULT_MAX_STEPS, Operation, Return, Verdict as Judged, check};
use synod_engine::Violation;
use synod_kv::message::{Done, Revision, TxnDone, Written};
use synod_sim::{ClientId, Verdict};

use super::operation;

/// All calls of all clients, by the order of their beginnings.
#[derive(Debug, Default)]
pub(super) struct History {
    calls: Vec<Operation<Input, Output>>,
    /// The newest revision that had been told when each call began.
    floors: Vec<Revision>,
    newest: Revision,
    /// Calls that are parts of one transaction.
    txns: Vec<Range<usize>>,
    /// Calls that are no evidence: they surely did nothing, or were reads without an answer.
    void: Vec<usize>,
}

impl History {
    /// How many calls began.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// What of the calls from this one on was not answered: no write, or no read.
    pub(super) fn unanswered_since(&self, first: usize) -> Option<String> {
        let answered = |reads: bool| {
            let mut calls = self.calls[first..].iter().filter(|call| call.returned.is_some());
            calls.any(|call| matches!(call.input, Input::Get { .. }) == reads)
        };
        let missing = |what: &str| Some(format!("no {what} is answered"));
        if !answered(false) {
            return missing("write");
        }
        if answered(true) { None } else { missing("read") }
    }

    /// The newest revision that anybody was told.
    pub(super) fn newest(&self) -> Revision {
        self.newest
    }

    /// A call begins; its number. Until it returns, its fate is unknown.
    pub(super) fn invoke(&mut self, client: ClientId, now: Duration, input: Input) -> usize {
        self.calls.push(Operation::unknown(client.0.into(), nanos(now), input));
        self.floors.push(self.newest);
        self.calls.len() - 1
    }

    /// Writes begin that happen together; their numbers.
    pub(super) fn invoke_all(
        &mut self,
        client: ClientId,
        now: Duration,
        inputs: Vec<Input>,
    ) -> Range<usize> {
        let first = self.len();
        for input in inputs {
            self.invoke(client, now, input);
        }
        let calls = first..self.len();
        if calls.len() > 1 {
            self.txns.push(calls.clone());
        }
        calls
    }

    /// A read returns, at this revision of the store.
    ///
    /// # Errors
    /// If it is older than what somebody was told before.
    pub(super) fn read(
        &mut self,
        call: usize,
        now: Duration,
        revision: Revision,
        output: Output,
    ) -> Result<(), Violation> {
        self.told(call, revision, false)?;
        self.complete(call, now, output);
        Ok(())
    }

    /// Writes that happened together return.
    ///
    /// # Errors
    /// If they cannot have ended so.
    pub(super) fn written(
        &mut self,
        calls: Range<usize>,
        now: Duration,
        written: &Written,
    ) -> Result<(), Violation> {
        if let Written::Txn(done) = written
            && calls.len() > 1
        {
            return self.txn_done(calls, now, done);
        }
        let output = output_of(written);
        if let Output::Written { revision: Some(revision) } = output {
            self.told(calls.start, revision, true)?;
        }
        self.complete(calls.start, now, output);
        Ok(())
    }

    /// A transaction that did not succeed has read its keys: one of them must differ from what was
    /// expected.
    fn txn_done(
        &mut self,
        calls: Range<usize>,
        now: Duration,
        done: &TxnDone,
    ) -> Result<(), Violation> {
        let mut differs = done.succeeded;
        for (call, result) in calls.clone().zip(&done.results) {
            self.told(call, done.revision, done.succeeded)?;
            let Done::Get { entries, .. } = result else {
                let output = Output::Written { revision: Some(done.revision) };
                self.complete(call, now, output);
                continue;
            };
            let entry = entries.first().map(|(_, entry)| entry);
            let (value, revision) =
                (entry.map(|it| it.value.clone()), entry.map(|it| it.mod_revision));
            let input = &mut self.calls[call].input;
            differs |= matches!(input, Input::Cas { expect, .. } if *expect != value);
            *input = Input::Get { key: input.key().clone() };
            self.complete(call, now, Output::Value { value, revision });
        }
        if differs && done.results.len() == calls.len() {
            return Ok(());
        }
        let detail = format!("nothing differs from what calls {calls:?} expected: {done:?}");
        Err(Violation { invariant: "Linearizability", detail })
    }

    /// A call was answered by the store at this revision, which may be its own.
    fn told(&mut self, call: usize, revision: Revision, is_own: bool) -> Result<(), Violation> {
        let floor = self.floors[call];
        if revision < floor || is_own && revision == floor {
            let Operation { input, .. } = &self.calls[call];
            let detail = format!("{input} at revision {revision} began when {floor} had been told");
            return Err(Violation { invariant: "Linearizability", detail });
        }
        self.newest = self.newest.max(revision);
        Ok(())
    }

    fn complete(&mut self, call: usize, now: Duration, output: Output) {
        self.calls[call].returned = Some(Return { at: nanos(now), output });
    }

    /// Calls are known to have done nothing.
    pub(super) fn forget(&mut self, calls: impl IntoIterator<Item = usize>) {
        self.void.extend(calls);
    }

    /// The writes of which it is known what they left behind, and when.
    pub(super) fn acknowledged(&self) -> Vec<Write> {
        let written = self.calls.iter().filter_map(|call| match &call.returned.as_ref()?.output {
            Output::Written { revision: Some(revision) } => Some((&call.input, *revision)),
            Output::Written { revision: None }
            | Output::Value { .. }
            | Output::Absent
            | Output::Differs => None,
        });
        let write = |(input, revision): (&Input, Revision)| {
            let value = match input {
                Input::Put { value, .. } | Input::Cas { value, .. } => Some(value.clone()),
                Input::Delete { .. } => None,
                Input::Get { .. } | Input::Append { .. } => return None,
            };
            Some(Write { revision, key: input.key().clone(), value })
        };
        written.filter_map(write).collect()
    }

    /// Whether each transaction happened at one revision, as a whole or not at all, in all that happened.
    ///
    /// # Errors
    /// The one that did not.
    pub(super) fn judge_txns(&self, events: &[Event]) -> Result<(), Violation> {
        let mut places = vec![None; self.len()];
        for event in events {
            let serials = event.value.iter().flat_map(|value| operation::serials(value));
            // What was appended to is told again: the first time counts.
            for serial in serials.filter(|serial| *serial < self.len()) {
                places[serial].get_or_insert(event.revision);
            }
        }
        let torn = |calls: &&Range<usize>| {
            places[(*calls).clone()].windows(2).any(|pair| pair[0] != pair[1])
        };
        self.txns.iter().find(torn).map_or(Ok(()), |calls| {
            let detail = format!("calls {calls:?} happened at {:?}", &places[calls.clone()]);
            Err(Violation { invariant: "One Revision Per Transaction", detail })
        })
    }

    /// Whether one order of the calls explains what every client saw.
    pub(super) fn judge(&mut self) -> Verdict {
        self.void.sort_unstable_by(|one, other| other.cmp(one));
        for call in self.void.drain(..) {
            self.calls.swap_remove(call);
        }
        match check(&Registers, &self.calls, DEFAULT_MAX_STEPS) {
            Judged::Ok => Verdict::Sound,
            Judged::Illegal(found) => {
                let detail = found.explain(&self.calls).to_string();
                Verdict::Violated(Violation { invariant: "Linearizability", detail })
            }
            undecided @ Judged::Unknown { .. } => Verdict::Undecided(undecided.to_string()),
        }
    }
}

/// What the store says of a write, in the words of the judge.
fn output_of(written: &Written) -> Output {
    match written {
        Written::Stored { revision } | Written::Deleted { revision } => {
            Output::Written { revision: Some(*revision) }
        }
        Written::Txn(done) if done.succeeded => Output::Written { revision: Some(done.revision) },
        Written::Absent => Output::Absent,
        Written::Differs { .. } | Written::Txn(_) => Output::Differs,
    }
}

fn nanos(time: Duration) -> u64 {
    time.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn put(key: &'static str, serial: usize) -> Input {
        let value = format!("[{serial}]").into();
        Input::Put { key: Bytes::from_static(key.as_bytes()), value }
    }

    fn event(revision: Revision, key: &'static str, value: &'static str) -> Event {
        let (key, value) = (Bytes::from_static(key.as_bytes()), Some(value.into()));
        Event { revision, key, value, prev: None, is_create: true }
    }

    #[test]
    fn nobody_is_told_of_an_older_revision_than_one_told_before_it_asked() {
        let mut history = History::default();
        let early = history.invoke(ClientId(1), SECOND, put("a", 0));
        let stored = |revision| Written::Stored { revision };
        let first = history.invoke(ClientId(2), SECOND, put("b", 1));
        assert!(history.written(first..first + 1, SECOND, &stored(7)).is_ok());
        assert!(history.written(early..early + 1, SECOND, &stored(6)).is_ok(), "it began before");
        let late = history.invoke(ClientId(1), SECOND, put("a", 2));
        assert!(history.written(late..late + 1, SECOND, &stored(7)).is_err(), "that is another's");
        let key = Bytes::from_static(b"c");
        let read = history.invoke(ClientId(1), SECOND, Input::Get { key });
        let nothing = || Output::Value { value: None, revision: None };
        assert!(history.read(read, SECOND, 6, nothing()).is_err());
        assert!(history.read(read, SECOND, 7, nothing()).is_ok());
    }

    #[test]
    fn a_transaction_happens_at_once_and_fails_for_a_reason() {
        let mut history = History::default();
        let calls = history.invoke_all(ClientId(1), SECOND, vec![put("a", 0), put("b", 1)]);
        let whole = [event(1, "a", "[0]"), event(1, "b", "[1]"), event(2, "a", "[0][7]")];
        assert!(history.judge_txns(&whole).is_ok());
        assert!(history.judge_txns(&[]).is_ok(), "it may never have happened");
        assert!(history.judge_txns(&whole[..1]).is_err());
        assert!(history.judge_txns(&[event(1, "a", "[0]"), event(2, "b", "[1]")]).is_err());
        let done = TxnDone { revision: 1, succeeded: false, results: Vec::new() };
        assert!(history.written(calls, SECOND, &Written::Txn(done.into())).is_err());
    }
}
