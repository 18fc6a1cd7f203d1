//! The judge of watches finds each fault that is planted, by the name of the rule that it breaks.

use bytes::Bytes;
use synod_check::watch::{Broken, Event, Rule, Told, Watched, Write, check_history, check_watch};

fn event(revision: u64, key: &'static str, value: Option<&'static str>) -> Event {
    let value = value.map(Bytes::from);
    Event { revision, key: key.into(), value, prev: None, is_create: false }
}

/// What happened: two keys, a transaction at revision 3, a deletion at 5.
fn history() -> Vec<Event> {
    let mut events = vec![
        event(1, "a", Some("1")),
        event(2, "b", Some("2")),
        event(3, "a", Some("3")),
        event(3, "b", Some("3")),
        event(4, "a", Some("4")),
        event(5, "a", None),
        event(6, "a", Some("6")),
    ];
    for place in 0..events.len() {
        let (before, this) = events.split_at_mut(place);
        let last = before.iter().rev().find(|event| event.key == this[0].key);
        this[0].prev = last.and_then(|event| event.value.clone());
        this[0].is_create = this[0].prev.is_none() && this[0].value.is_some();
    }
    events
}

/// A watch of everything from revision 2 on, told in batches that end with these revisions.
fn told(batches: &[u64]) -> Vec<Told> {
    let mut events: Vec<_> = history().into_iter().filter(|event| event.revision >= 2).collect();
    let mut told = Vec::new();
    for through in batches {
        let rest = events.split_off(events.partition_point(|event| event.revision <= *through));
        told.push(Told { through: *through, events: std::mem::replace(&mut events, rest) });
    }
    told
}

fn judged(told: Vec<Told>) -> Result<(), Rule> {
    let watched = Watched { from: 2, wants: &|_| true, prev: true, told };
    check_watch(&history(), &watched).map_err(|broken: Broken| broken.rule)
}

/// The same watch, with a fault planted in what it was told.
fn with(fault: impl FnOnce(&mut Vec<Told>)) -> Result<(), Rule> {
    let mut told = told(&[2, 4, 6]);
    fault(&mut told);
    judged(told)
}

#[test]
fn what_happened_is_what_may_be_told_however_it_is_cut() {
    for batches in [&[6][..], &[2, 3, 4, 5, 6], &[1, 2, 2, 4, 4, 6, 7], &[3], &[]] {
        assert_eq!(judged(told(batches)), Ok(()), "{batches:?}");
    }
}

#[test]
fn each_planted_fault_is_found_by_its_name() {
    assert_eq!(with(|told| told[0].events.insert(0, history()[0].clone())), Err(Rule::Filter));
    assert_eq!(with(|told| told[2].events.reverse()), Err(Rule::Ordered));
    assert_eq!(
        with(|told| {
            let again = told[1].events[0].clone();
            told[1].events.insert(1, again);
        }),
        Err(Rule::Unique)
    );
    assert_eq!(
        with(|told| {
            let half = told[1].events.remove(0);
            told[0].events.push(half);
            told[0].through = 3;
        }),
        Err(Rule::Atomic)
    );
    assert_eq!(with(|told| told[0].through = 4), Err(Rule::Bookmarkable), "ahead of the stream");
    assert_eq!(with(|told| drop(told[1].events.remove(0))), Err(Rule::Reliable));
    assert_eq!(with(|told| told[0].events.clear()), Err(Rule::Resumable));
    assert_eq!(
        with(|told| drop(told[2].events.pop())),
        Err(Rule::Bookmarkable),
        "the last is lost"
    );
    assert_eq!(with(|told| told[1].events[0].value = None), Err(Rule::Faithful));
    assert_eq!(with(|told| told[1].events[0].key = Bytes::from_static(b"c")), Err(Rule::Faithful));
    assert_eq!(with(|told| told[1].events[0].prev = None), Err(Rule::PrevKv));
    assert_eq!(with(|told| told[0].events[0].is_create = false), Err(Rule::IsCreate));
}

#[test]
fn a_watch_that_goes_back_after_it_was_resumed_is_found() {
    let resumed_too_early = with(|told| {
        let again = told[1].clone();
        told.insert(2, again);
    });
    assert_eq!(resumed_too_early, Err(Rule::Unique));
    let gap = with(|told| drop(told.remove(1)));
    assert_eq!(gap, Err(Rule::Reliable));
}

#[test]
fn a_history_with_a_gap_or_without_an_acknowledged_write_is_found() {
    let write = |revision, value| Write { revision, key: "a".into(), value };
    let writes = [write(1, Some("1".into())), write(5, None)];
    let judged = |compacted, history: &[Event], writes: &[Write]| {
        check_history(compacted, history, writes).map_err(|broken| broken.rule)
    };
    assert_eq!(judged(0, &history(), &writes), Ok(()));
    assert_eq!(judged(3, &history()[4..], &writes), Ok(()));
    assert_eq!(judged(0, &history()[1..], &[]), Err(Rule::Reliable));
    let mut lost = history();
    lost.remove(4);
    assert_eq!(judged(0, &lost, &[]), Err(Rule::Reliable));
    assert_eq!(judged(0, &history(), &[write(2, Some("1".into()))]), Err(Rule::Faithful));
    let mut forged = history();
    forged[4].prev = Some("1".into());
    assert_eq!(judged(0, &forged, &[]), Err(Rule::PrevKv));
    let mut forged = history();
    forged[6].is_create = false;
    assert_eq!(judged(0, &forged, &[]), Err(Rule::IsCreate));
}
