//! What the file of a history looks like, and what is no such file.

mod operations;

use operations::{append, at_revision, cas, get, unknown, written};
use synod_check::file::{ReadError, Writer, read};
use synod_check::registers::{Input, Output};

type Operations = Vec<operations::Operation>;

const HEADER: &str = "{\"history\":\"synod\",\"version\":1}\n";

fn error(text: &str) -> ReadError {
    read::<Input, Output>(text.as_bytes()).expect_err("not a history")
}

#[test]
fn each_line_is_an_operation_that_people_can_read() {
    let history: Operations = vec![
        at_revision(7, get(1..=2, Some("a\n"))),
        cas(3..=4, None, "b", written(Some(8))),
        unknown(append(5..=5, "c")),
    ];
    let mut writer = Writer::new(Vec::new()).unwrap();
    for operation in &history {
        writer.write(operation).unwrap();
    }
    let text = String::from_utf8(writer.finish().unwrap()).unwrap();
    let lines = [
        r#"{"history":"synod","version":1}"#,
        r#"{"client":3,"invoked":1,"input":{"get":{"key":"k"}},"returned":{"at":2,"output":{"value":{"value":"a\n","revision":7}}}}"#,
        r#"{"client":5,"invoked":3,"input":{"cas":{"key":"k","expect":null,"value":"b"}},"returned":{"at":4,"output":{"written":{"revision":8}}}}"#,
        r#"{"client":2,"invoked":5,"input":{"append":{"key":"k","value":"c"}}}"#,
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    assert_eq!(read(text.as_bytes()), Ok(history));
}

#[test]
fn what_is_no_history_is_refused_with_the_line() {
    let put = r#"{"client":1,"invoked":9,"input":{"put":{"key":"k","value":"v"}}"#;
    let cases = [
        (String::new(), 1),
        ("no json\n".into(), 1),
        (HEADER.replace("synod", "other"), 1),
        (HEADER.replace('1', "2"), 1),
        (format!("{HEADER}{put}}}\n{put}"), 3),
        (format!("{HEADER}{put},\"surprise\":1}}\n"), 2),
        (format!("{HEADER}{put},\"returned\":{{\"at\":8,\"output\":\"absent\"}}}}\n"), 2),
        (format!("{HEADER}{}\n", put.replace("\"v\"", "{\"hex\":\"f\"}")), 2),
        (format!("{HEADER}{}}}\n", put.replace("\"v\"", "{\"hex\":\"zz\"}")), 2),
        (format!("{HEADER}{}\n", "x".repeat(9 << 20)), 2),
    ];
    for (text, line) in cases {
        assert_eq!(error(&text).line, line, "{:.200}", text);
    }
}
