//! Histories of Jepsen, in both of its forms.

use synod_check::registers::{Input, Output, Registers};
use synod_check::{DEFAULT_MAX_STEPS, Evidence, Operation, Verdict, check, draw, jepsen};

fn read(text: &str) -> Vec<Operation<Input, Output>> {
    jepsen::read(text.as_bytes()).expect("a history")
}

fn judge(text: &str) -> Verdict {
    check(&Registers, &read(text), DEFAULT_MAX_STEPS)
}

/// Two writes at once; both are read, the later one never again by who saw the other after it.
const LINES: &str = "\
INFO  jepsen.util - 0\t:invoke\t:write\t1
INFO  jepsen.util - 1\t:invoke\t:write\t2
INFO  jepsen.util - :nemesis\t:info\t:start\t\"cut off\"
INFO  jepsen.util - 0\t:ok\t:write\t1
INFO  jepsen.util - 2\t:invoke\t:read\tnil
INFO  jepsen.util - 2\t:ok\t:read\t2
INFO  jepsen.util - 1\t:ok\t:write\t2
INFO  jepsen.util - 2\t:invoke\t:cas\t[2 3]
INFO  jepsen.util - 2\t:ok\t:cas\t[2 3]
INFO  jepsen.util - 0\t:invoke\t:cas\t[7 8]
INFO  jepsen.util - 0\t:fail\t:cas\t[7 8]
";

#[test]
fn a_history_of_lines_is_judged() {
    assert_eq!(read(LINES).len(), 4, "what failed and what the nemesis did are left out");
    let sound = format!("{LINES}2\t:invoke\t:read\tnil\n2\t:ok\t:read\t3\n");
    assert!(judge(&sound).is_ok());
    let stale = format!("{LINES}2\t:invoke\t:read\tnil\n2\t:ok\t:read\t2\n");
    assert!(matches!(judge(&stale), Verdict::Illegal(_)));
}

#[test]
fn what_was_never_answered_may_have_happened_at_any_time_or_never() {
    let begin = "0\t:invoke\t:write\t1\n0\t:ok\t:write\t1\n1\t:invoke\t:write\t2\n";
    for end in ["1\t:info\t:write\t2\t:timed-out\n", ""] {
        for read in [1, 2] {
            let text = format!("{begin}{end}2\t:invoke\t:read\tnil\n2\t:ok\t:read\t{read}\n");
            assert!(judge(&text).is_ok(), "{text}");
        }
    }
    let failed = format!("{begin}1\t:fail\t:write\t2\n2\t:invoke\t:read\tnil\n2\t:ok\t:read\t2\n");
    assert!(!judge(&failed).is_ok(), "what failed did not happen");
}

#[test]
fn a_history_of_maps_with_keys_is_judged_key_by_key() {
    let maps = |read: &str| {
        format!(
            "{{:process 0, :type :invoke, :f :write, :value [7 1], :index 0, :time 31}}\n\
             {{:process 0, :type :ok, :f :write, :value [7 1], :index 1}}\n\
             #jepsen.history.Op{{:process 1, :type :invoke, :f :read, :value [8 nil], :index 2}}\n\
             #jepsen.history.Op{{:process 1, :type :ok, :f :read, :value [8 {read}], :index 3}}\n\
             {{:process 0, :type :invoke, :f :cas, :value [7 [1 5]], :index 4}}\n\
             {{:process 0, :type :ok, :f :cas, :value [7 [1 5]], :index 5}}\n"
        )
    };
    let history = read(&maps("nil"));
    let keys: Vec<_> = history.iter().map(|operation| operation.input.key().clone()).collect();
    assert_eq!(keys, ["7", "8", "7"]);
    assert!(judge(&maps("nil")).is_ok());
    assert!(!judge(&maps("1")).is_ok(), "that is of the other key");
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    let first = "0\t:invoke\t:write\t1\n";
    for (line, words) in [
        ("0\t:ok", "neither a map"),
        ("0\t:invoke\t:read\tnil", "has not been answered"),
        ("1\t:ok\t:read\t1", "did not ask"),
        ("x\t:invoke\t:read\tnil", "x is no process"),
        ("1\t:done\t:read\tnil", "done is no type"),
        ("1\t:invoke\t:enqueue\t4", "no operation on a register"),
        ("1\t:invoke\t:write\tnil", "no operation on a register"),
        ("1\t:invoke\t:read\t[1", "Edn"),
        ("{:process 1, :type :invoke}", "no :f"),
    ] {
        let error = jepsen::read(format!("{first}{line}\n").as_bytes()).expect_err(line);
        assert_eq!(error.line, 2, "{error}");
        assert!(words == "Edn" || error.why.contains(words), "{line:?}: {error}");
    }
}

#[test]
fn values_nested_without_end_are_refused() {
    let deep = format!("0\t:invoke\t:write\t{}1{}\n", "[1 ".repeat(200_000), "]".repeat(200_000));
    let error = jepsen::read(deep.as_bytes()).expect_err("no value is like that");
    assert!(error.why.contains("nested too deep"), "{error}");
}

/// The picture is XML, and shows each operation and why it ends.
#[test]
fn a_violation_is_drawn() {
    // What is read last was overwritten before.
    let text = format!("{LINES}2\t:invoke\t:read\tnil\n2\t:ok\t:read\t\"<&\"\n")
        .replace("\t2\n", "\t\"<&\"\n")
        .replace("[2 3]", "[\"<&\" 3]");
    let history = read(&text);
    let Verdict::Illegal(found) = check(&Registers, &history, DEFAULT_MAX_STEPS) else {
        panic!("nobody wrote that");
    };
    let svg = draw(&found, &history);
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    let Evidence::Stuck { order, candidates, .. } = &found.evidence else { panic!("a cycle") };
    assert_eq!(svg.matches("<g>").count(), order.len() + candidates.len());
    assert_eq!(svg.matches("#f6b6b0").count(), candidates.len(), "what cannot be next");
    assert!(
        svg.contains("3. cas &quot;&lt;&amp;&quot; &quot;3&quot;")
            && svg.contains("client 1")
            && svg.contains("client 2"),
        "{svg}"
    );
    assert!(!svg.contains("\"<&"));
}
