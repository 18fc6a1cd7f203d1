//! The judge of multicast: it agrees with an oracle on small histories, and finds each planted fault by
//! the name of the rule that it breaks.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_check::multicast::{Event, Rule, Step, check};
use synod_engine::Random;

fn send(process: u64, message: &str) -> Event {
    Event { process, does: Step::Send { message: Bytes::from(message.to_string()), to: None } }
}

fn deliver(process: u64, message: &str) -> Event {
    Event { process, does: Step::Deliver { message: Bytes::from(message.to_string()) } }
}

fn judge(events: &[Event], rule: Rule) -> Result<(), Rule> {
    check(events, &[rule]).map_err(|broken| broken.rule)
}

const ALL: [Rule; 7] = [
    Rule::Integrity,
    Rule::Validity,
    Rule::Agreement,
    Rule::Uniform,
    Rule::Fifo,
    Rule::Causal,
    Rule::Total,
];

/// Everybody delivers a, then b, which its sender sent after it had delivered a, then c.
fn sound() -> Vec<Event> {
    let mut events =
        vec![send(1, "a"), deliver(1, "a"), deliver(2, "a"), send(2, "b"), send(1, "c")];
    events.extend([deliver(3, "a"), deliver(3, "b"), deliver(3, "c")]);
    events.extend([deliver(1, "b"), deliver(1, "c"), deliver(2, "b"), deliver(2, "c")]);
    events
}

#[test]
fn a_sound_history_keeps_every_rule_and_each_planted_fault_is_found() {
    assert_eq!(check(&sound(), &ALL), Ok(()));
    let with = |fault: &dyn Fn(&mut Vec<Event>)| {
        let mut events = sound();
        fault(&mut events);
        events
    };
    let twice = with(&|events| events.push(deliver(3, "a")));
    assert_eq!(judge(&twice, Rule::Fifo), Err(Rule::Integrity));
    let from_nowhere = with(&|events| events.push(deliver(3, "d")));
    assert_eq!(judge(&from_nowhere, Rule::Total), Err(Rule::Integrity));
    let not_meant = with(&|events| {
        events[0].does = Step::Send { message: "a".into(), to: Some(vec![1, 2]) };
    });
    assert_eq!(judge(&not_meant, Rule::Fifo), Err(Rule::Integrity));
    let own_lost = with(&|events| events.retain(|event| *event != deliver(1, "c")));
    assert_eq!(judge(&own_lost, Rule::Validity), Err(Rule::Validity));
    let lost = with(&|events| events.retain(|event| *event != deliver(3, "c")));
    assert_eq!(judge(&lost, Rule::Agreement), Err(Rule::Agreement));
    let fifo = with(&|events| events.swap(5, 7));
    assert_eq!(judge(&fifo, Rule::Fifo), Err(Rule::Fifo));
    let causal = with(&|events| events.swap(5, 6));
    assert_eq!(judge(&causal, Rule::Fifo), Ok(()));
    assert_eq!(judge(&causal, Rule::Causal), Err(Rule::Causal));
    let total = with(&|events| events.swap(6, 7));
    assert_eq!(judge(&total, Rule::Causal), Ok(()));
    assert_eq!(judge(&total, Rule::Total), Err(Rule::Total));
}

#[test]
fn who_crashed_need_not_deliver_but_binds_uniform_agreement() {
    let crash = Event { process: 1, does: Step::Crash };
    let events = [send(1, "a"), deliver(1, "a"), crash, send(2, "b"), deliver(2, "b")];
    assert_eq!(judge(&events, Rule::Agreement), Ok(()));
    assert_eq!(judge(&events, Rule::Validity), Ok(()));
    assert_eq!(judge(&events, Rule::Uniform), Err(Rule::Uniform));
    let late = [&events[..], &[deliver(1, "b")]].concat();
    assert_eq!(judge(&late, Rule::Uniform), Err(Rule::Integrity), "the dead do nothing");
}

#[test]
fn three_that_agree_in_pairs_only_have_no_total_order() {
    let mut events = vec![send(1, "a"), send(2, "b"), send(3, "c")];
    let pairs = [(1, "a", "b"), (2, "b", "c"), (3, "c", "a")];
    events
        .extend(pairs.iter().flat_map(|(it, one, other)| [deliver(*it, one), deliver(*it, other)]));
    assert_eq!(judge(&events, Rule::Total), Err(Rule::Total));
}

/// Up to four messages that three processes send and deliver in any order.
fn random_events(random: &mut Random) -> Vec<Event> {
    let names = ["a", "b", "c", "d"];
    let count = random.between(2, 4) as usize;
    let mut events = Vec::new();
    let mut sent = Vec::new();
    let mut delivered = std::collections::BTreeSet::new();
    for _ in 0..14 {
        let process = random.below(3);
        if sent.len() < count && random.below(3) == 0 {
            events.push(send(process, names[sent.len()]));
            sent.push(names[sent.len()]);
        } else if !sent.is_empty() {
            let message = sent[random.below(sent.len() as u64) as usize];
            if delivered.insert((process, message)) {
                events.push(deliver(process, message));
            }
        }
    }
    events
}

/// The rules as they are written, looked up in all pairs.
fn keeps(events: &[Event], rule: Rule) -> bool {
    let sends: Vec<_> = places(events, |does| match does {
        Step::Send { message, .. } => Some(message.clone()),
        Step::Deliver { .. } | Step::Crash => None,
    });
    let delivers: Vec<_> = places(events, |does| match does {
        Step::Deliver { message } => Some(message.clone()),
        Step::Send { .. } | Step::Crash => None,
    });
    // What happened before what: in one process, and from a sending to its deliveries.
    let mut before = vec![vec![false; events.len()]; events.len()];
    for one in 0..events.len() {
        for other in one + 1..events.len() {
            before[one][other] = events[one].process == events[other].process;
        }
    }
    for (sent, message) in &sends {
        for (place, _) in delivers.iter().filter(|it| it.1 == *message) {
            before[*sent][*place] = true;
        }
    }
    for middle in 0..events.len() {
        for one in 0..events.len() {
            for other in 0..events.len() {
                before[one][other] |= before[one][middle] && before[middle][other];
            }
        }
    }
    let must = |one: usize, other: usize| match rule {
        Rule::Fifo => one < other && events[one].process == events[other].process,
        _ => before[one][other],
    };
    if rule == Rule::Total {
        let mut order: Vec<_> = sends.iter().map(|(_, message)| message.clone()).collect();
        return any_order(&mut order, 0, &|order| {
            let place = |message: &Bytes| order.iter().position(|other| other == message);
            (0..3).all(|process| {
                let own = delivers.iter().filter(|(at, _)| events[*at].process == process);
                own.map(|(_, message)| place(message)).is_sorted()
            })
        });
    }
    sends.iter().all(|(one, first)| {
        sends.iter().filter(|(other, _)| must(*one, *other)).all(|(_, second)| {
            (0..3).all(|process| {
                let at = |message: &Bytes| {
                    let own =
                        |it: &&(usize, Bytes)| events[it.0].process == process && it.1 == *message;
                    delivers.iter().find(own).map(|(place, _)| *place)
                };
                at(second).is_none_or(|second| at(first).is_some_and(|first| first < second))
            })
        })
    })
}

fn places(events: &[Event], of: impl Fn(&Step) -> Option<Bytes>) -> Vec<(usize, Bytes)> {
    let numbered = events.iter().enumerate();
    numbered.filter_map(|(place, event)| Some((place, of(&event.does)?))).collect()
}

fn any_order(order: &mut [Bytes], from: usize, fits: &dyn Fn(&[Bytes]) -> bool) -> bool {
    if from == order.len() {
        return fits(order);
    }
    (from..order.len()).any(|place| {
        order.swap(from, place);
        let found = any_order(order, from + 1, fits);
        order.swap(from, place);
        found
    })
}

#[test]
fn the_judge_and_the_rules_as_they_are_written_agree() {
    let mut random = Random::new(5);
    let mut counts = BTreeMap::<String, [u32; 2]>::new();
    for _ in 0..10_000 {
        let events = random_events(&mut random);
        for rule in [Rule::Fifo, Rule::Causal, Rule::Total] {
            let kept = keeps(&events, rule);
            assert_eq!(judge(&events, rule), if kept { Ok(()) } else { Err(rule) }, "{events:#?}");
            counts.entry(format!("{rule:?}")).or_default()[usize::from(kept)] += 1;
        }
    }
    assert!(counts.values().flatten().all(|count| *count > 500), "{counts:?}");
}
