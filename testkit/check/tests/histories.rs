//! Histories written by hand, each a kind of failure that services have shown, and its legal twin.

mod operations;

use operations::{
    Operation, append, at_revision, bytes, cas, delete, get, judge, put, unknown, written,
};
use synod_check::registers::{Input, Output, Registers};
use synod_check::{Evidence, Verdict, check};

fn assert_legal(history: &[Operation]) {
    let verdict = judge(history);
    if let Verdict::Illegal(found) = &verdict {
        panic!("{}", found.explain(history));
    }
    assert!(verdict.is_ok(), "{verdict}");
}

fn assert_illegal(history: &[Operation]) {
    assert!(matches!(judge(history), Verdict::Illegal(_)), "nobody noticed");
}

#[test]
fn an_empty_history_is_legal() {
    assert_legal(&[]);
}

#[test]
fn a_stale_read_is_illegal_and_a_concurrent_one_is_not() {
    assert_illegal(&[put(0..=1, "a"), put(2..=3, "b"), get(4..=5, Some("a"))]);
    assert_legal(&[put(0..=1, "a"), put(2..=9, "b"), get(4..=5, Some("a"))]);
}

#[test]
fn two_reads_during_one_write_do_not_go_back() {
    let write = [put(0..=1, "a"), put(2..=9, "b")];
    let reads = |first, second| [get(3..=4, Some(first)), get(5..=6, Some(second))];
    assert_legal(&[&write[..], &reads("a", "b")].concat());
    assert_illegal(&[&write[..], &reads("b", "a")].concat());
}

#[test]
fn a_lost_update_is_illegal() {
    assert_illegal(&[append(0..=1, "a"), append(2..=3, "b"), get(4..=5, Some("a"))]);
    assert_illegal(&[put(0..=1, "a"), get(2..=3, None)]);
}

#[test]
fn a_duplicate_append_is_illegal() {
    assert_illegal(&[append(0..=1, "a"), get(2..=3, Some("aa"))]);
    assert_legal(&[append(0..=1, "a"), append(0..=1, "a"), get(2..=3, Some("aa"))]);
}

#[test]
fn appends_in_the_wrong_order_are_illegal_unless_they_overlap() {
    assert_illegal(&[append(0..=1, "a"), append(2..=3, "b"), get(4..=5, Some("ba"))]);
    assert_legal(&[append(0..=2, "a"), append(1..=3, "b"), get(4..=5, Some("ba"))]);
}

#[test]
fn equal_times_are_concurrent() {
    assert_legal(&[put(0..=5, "a"), get(5..=9, None)]);
    assert_legal(&[get(5..=5, Some("a")), put(5..=5, "a")]);
    assert_illegal(&[put(0..=4, "a"), get(5..=9, None)]);
}

#[test]
fn only_one_of_two_equal_swaps_succeeds() {
    let swap = |value, output| cas(2..=9, Some("a"), value, output);
    assert_illegal(&[put(0..=1, "a"), swap("b", written(None)), swap("c", written(None))]);
    assert_legal(&[put(0..=1, "a"), swap("b", written(None)), swap("c", Output::Differs)]);
    assert_illegal(&[put(0..=1, "a"), swap("b", Output::Differs)]);
    assert_illegal(&[cas(0..=1, None, "b", written(None)), get(2..=3, None)]);
}

#[test]
fn a_delete_says_whether_there_was_something() {
    assert_legal(&[put(0..=1, "a"), delete(2..=3, written(None)), get(4..=5, None)]);
    assert_legal(&[delete(2..=3, Output::Absent)]);
    assert_illegal(&[put(0..=1, "a"), delete(2..=3, Output::Absent)]);
    assert_illegal(&[delete(2..=3, written(None))]);
}

#[test]
fn an_operation_of_unknown_fate_takes_effect_late_or_never_but_not_twice_or_early() {
    let lost = unknown(put(0..=0, "a"));
    assert_legal(&[lost.clone(), get(1..=2, None)]);
    assert_legal(&[lost.clone(), get(1..=2, None), get(900..=901, Some("a"))]);
    let returns = [get(1..=2, Some("a")), put(3..=4, "b"), get(5..=6, Some("a"))];
    assert_illegal(&[&[lost][..], &returns].concat());
    assert_illegal(&[unknown(put(5..=5, "a")), get(1..=2, Some("a"))]);
}

#[test]
fn a_read_of_unknown_fate_is_no_evidence() {
    assert_legal(&[put(0..=1, "a"), unknown(get(2..=2, None))]);
}

#[test]
fn an_answer_of_the_wrong_kind_is_illegal() {
    let mut odd = get(0..=1, None);
    odd.returned.as_mut().unwrap().output = written(None);
    assert_illegal(&[odd]);
}

#[test]
fn revisions_are_evidence() {
    let writes =
        |first, second| [at_revision(first, put(0..=9, "a")), at_revision(second, put(0..=9, "b"))];
    let read = [get(10..=11, Some("b"))];
    assert_legal(&[&writes(3, 7)[..], &read].concat());
    assert_illegal(&[&writes(7, 3)[..], &read].concat());
    assert_illegal(&[&writes(7, 7)[..], &read].concat());
    assert_legal(&[&writes(3, 7)[..], &[at_revision(7, read[0].clone())]].concat());
    assert_illegal(&[&writes(3, 7)[..], &[at_revision(8, read[0].clone())]].concat());
}

#[test]
fn a_revision_that_falls_between_reads_is_illegal() {
    let read = |time, revision| at_revision(revision, get(time, Some("a")));
    let lost = unknown(put(0..=0, "a"));
    assert_legal(&[lost.clone(), read(1..=2, 5), read(3..=4, 5)]);
    assert_illegal(&[lost.clone(), read(1..=2, 5), read(3..=4, 4)]);
    assert_illegal(&[lost, read(1..=2, 5), read(3..=4, 6)]);
}

#[test]
fn each_key_is_judged_alone_and_the_bad_one_is_named() {
    let of = |key: &str, mut operation: Operation| {
        operation.input = match operation.input {
            Input::Put { value, .. } => Input::Put { key: bytes(key), value },
            Input::Get { .. } => Input::Get { key: bytes(key) },
            other => other,
        };
        operation
    };
    let good = [of("good", put(0..=1, "a")), of("good", get(2..=3, Some("a")))];
    let bad =
        [of("bad", put(0..=1, "a")), of("bad", put(2..=3, "b")), of("bad", get(4..=5, Some("a")))];
    let history = [&good[..], &bad[..]].concat();
    let Verdict::Illegal(found) = judge(&history) else { panic!("nobody noticed") };
    assert_eq!(found.about, "key \"bad\"");
    let Evidence::Stuck { order, candidates, .. } = &found.evidence else { panic!("a cycle") };
    assert_eq!((&order[..], &candidates[..]), (&[2, 3][..], &[4][..]));
    let story = found.explain(&history).to_string();
    assert!(story.contains("4..5 client 3: get \"bad\" -> \"a\""), "{story}");
    assert!(story.contains("the value \"b\""), "{story}");
}

#[test]
fn a_search_that_exceeds_its_bound_is_undecided_but_a_failure_elsewhere_still_counts() {
    // A value that is written twice leaves it to the search.
    let history =
        [put(0..=1, "a"), put(2..=3, "b"), get(4..=5, Some("b")), put(6..=7, "a"), put(8..=9, "b")];
    let verdict = check(&Registers, &history, 4);
    assert!(matches!(verdict, Verdict::Unknown { .. }) && !verdict.is_ok());
    assert!(check(&Registers, &history, 5).is_ok());

    let elsewhere = Input::Get { key: bytes("z") };
    let found = Output::Value { value: Some(bytes("never written")), revision: None };
    let elsewhere = Operation::returned(1, 0..=1, elsewhere, found);
    let history = [&history[..], &[elsewhere]].concat();
    let verdict = check(&Registers, &history, 4);
    assert!(matches!(verdict, Verdict::Illegal(found) if found.about == "key \"z\""));
}
