//! Histories of every model, as files: those of the reference are read and judged, and what is no such
//! history is refused with its line.

use synod_check::recorded::{Consistency, Format, History, Kind};
use synod_check::{DEFAULT_MAX_STEPS, Verdict};

fn read(text: &str, kind: Option<Kind>) -> Result<History, synod_check::file::ReadError> {
    History::read(text.as_bytes(), Format::Synod, kind)
}

/// From when to when, what was asked, and what came back.
type Line = (u64, u64, &'static str, &'static str);

fn file(model: &str, operations: &[Line]) -> String {
    let mut text = format!("{{\"history\":\"synod\",\"version\":1,\"model\":\"{model}\"}}\n");
    for (client, (from, to, input, output)) in operations.iter().enumerate() {
        text += &format!(
            "{{\"client\":{client},\"invoked\":{from},\"input\":{input},\
             \"returned\":{{\"at\":{to},\"output\":{output}}}}}\n"
        );
    }
    text
}

/// For each model a legal history, and the answer that makes it illegal.
const EXAMPLES: [(&str, &[Line], &str); 5] = [
    (
        "register",
        &[
            (0, 1, r#"{"write":{"key":"x","value":1}}"#, r#"{"written":{}}"#),
            (2, 3, r#"{"read":{"key":"x"}}"#, r#"{"value":{"value":"1"}}"#),
        ],
        r#"{"value":{"value":null}}"#,
    ),
    (
        "cas",
        &[
            (0, 1, r#"{"write":{"value":"1"}}"#, r#"{"written":{}}"#),
            (2, 3, r#"{"cas":{"expect":"1","value":"2"}}"#, r#"{"written":{}}"#),
        ],
        r#""differs""#,
    ),
    (
        "append",
        &[
            (0, 4, r#"{"append":{"key":"l","element":"a"}}"#, r#""appended""#),
            (0, 4, r#"{"append":{"key":"l","element":"b"}}"#, r#""appended""#),
            (5, 6, r#"{"read":{"key":"l"}}"#, r#"{"list":["b","a"]}"#),
        ],
        r#"{"list":["b"]}"#,
    ),
    (
        "kv",
        &[
            (0, 1, r#"{"put":{"key":"a","value":"1"}}"#, r#"{"written":{}}"#),
            (2, 3, r#"{"put":{"key":"b","value":"2"}}"#, r#"{"written":{}}"#),
            (
                4,
                5,
                r#"{"range":{"from":"a"}}"#,
                r#"{"entries":[{"key":"a","value":"1"},{"key":"b","value":"2"}]}"#,
            ),
        ],
        r#"{"entries":[{"key":"b","value":"2"}]}"#,
    ),
    (
        "queue",
        &[
            (0, 1, r#"{"enqueue":{"key":"q","value":"1"}}"#, r#""enqueued""#),
            (2, 3, r#"{"enqueue":{"key":"q","value":"2"}}"#, r#""enqueued""#),
            (4, 5, r#"{"dequeue":{"key":"q"}}"#, r#"{"dequeued":"1"}"#),
        ],
        r#"{"dequeued":"2"}"#,
    ),
];

#[test]
fn an_example_of_every_model_is_judged() {
    assert_eq!(EXAMPLES.len() + 1, Kind::ALL.len(), "multicast is apart");
    for (model, operations, wrong) in EXAMPLES {
        let judge = |operations: &[_]| {
            let history = read(&file(model, operations), None).expect(model);
            assert_eq!(history.size().operations, operations.len());
            history.judge(Consistency::Linearizable, DEFAULT_MAX_STEPS)
        };
        assert!(judge(operations).verdict.is_ok(), "{model}");
        let mut spoiled = operations.to_vec();
        spoiled.last_mut().unwrap().3 = wrong;
        let report = judge(&spoiled);
        assert!(matches!(report.verdict, Verdict::Illegal(_)), "{model}: {}", report.verdict);
        assert!(report.story.is_some() && report.svg.unwrap().ends_with("</svg>\n"));
    }
}

/// Two processes deliver two messages in different orders.
const MULTICAST: &str = r#"{"history":"synod","version":1,"model":"multicast"}
{"process":1,"does":{"send":{"message":"a"}}}
{"process":2,"does":{"send":{"message":"b","to":[1,2]}}}
{"process":1,"does":{"deliver":{"message":"a"}}}
{"process":1,"does":{"deliver":{"message":"b"}}}
{"process":2,"does":{"deliver":{"message":"b"}}}
{"process":2,"does":{"deliver":{"message":"a"}}}
{"process":3,"does":"crash"}
"#;

#[test]
fn messages_are_judged_by_the_rules_of_messages() {
    let history = read(MULTICAST, None).expect("a history");
    let judge = |name: &str| history.judge(name.parse().unwrap(), DEFAULT_MAX_STEPS);
    assert_eq!((history.size().operations, history.size().clients), (7, 3));
    assert!(history.judge(history.usual(), 1).verdict.is_ok());
    for kept in ["reliable", "uniform", "fifo", "causal"] {
        assert!(judge(kept).verdict.is_ok(), "{kept}");
    }
    let total = judge("total");
    assert!(matches!(total.verdict, Verdict::Illegal(_)));
    assert!(total.story.unwrap().contains("\"a\", \"b\""));
    assert!(matches!(judge("linearizable").verdict, Verdict::Unknown { .. }));
    assert!(matches!(judge("session").verdict, Verdict::Unknown { .. }));
}

#[test]
fn a_register_is_judged_by_every_consistency_of_operations() {
    let (model, operations, _) = EXAMPLES[0];
    let history = read(&file(model, operations), None).expect("a history");
    for (consistency, name, _) in Consistency::ALL {
        let verdict = history.judge(consistency, DEFAULT_MAX_STEPS).verdict;
        match consistency {
            Consistency::Delivery(_) => assert!(matches!(verdict, Verdict::Unknown { .. })),
            _ => assert!(verdict.is_ok(), "{name}: {verdict}"),
        }
    }
}

#[test]
fn what_is_of_another_model_is_refused_with_its_line() {
    for (kind, name, _) in Kind::ALL {
        for (model, operations, _) in EXAMPLES {
            let fits = name == model
                || kind == Kind::Kv && ["register", "cas"].contains(&model)
                || kind == Kind::Cas && model == "register";
            let text = file(model, operations);
            match read(&text, Some(kind)) {
                Ok(_) => assert!(fits, "{model} as {name}"),
                Err(error) => {
                    assert!(!fits && error.line >= 2, "{model} as {name}: {error}");
                    assert!(error.why.contains("--model"), "{error}");
                }
            }
        }
    }
    let error = read(&file("tree", &[]), None).err().expect("no such model");
    assert!(error.line == 1 && error.why.contains("register, cas, append"), "{error}");
}
