//! The tables of `docs/comparison.md` are what the simulator says, and what theory says.
//!
//! `SYNOD_REWRITE=1 cargo test -p synod --test comparison` writes them into the page.

use std::path::Path;
use std::process::Command;

use synod::compare::{SEEDS, Table, tables};

/// The cells of the one row of the table of this title that begins so.
#[track_caller]
fn row<'a>(tables: &'a [Table], title: &str, begins: &[&str]) -> &'a [String] {
    let table = tables.iter().find(|table| table.title == title).expect("a table of this title");
    let mut rows = table.rows.iter().filter(|row| row.iter().zip(begins).all(|(a, b)| a == b));
    let found = rows.next().unwrap_or_else(|| panic!("{title} has no row {begins:?}"));
    assert_eq!(rows.next(), None, "{begins:?} is one row");
    &found[begins.len()..]
}

/// One round trip and one sync to a majority; each other member is sent the entry, acknowledges it, and is told
/// that it is committed. A follower's user waits for one more round trip.
#[test]
fn writes_and_reads_cost_what_theory_says() {
    let tables = tables(1);
    for engine in ["raft", "paxos", "zab"] {
        for (members, name) in [(3, "3"), (5, "5")] {
            let others = members - 1;
            let cost = |what| row(&tables, "One at a time", &[name, what, engine]);
            for (what, times, messages, syncs) in [
                ("write at the leader", ["2 D + S", "3 D + S"], 3 * others, members),
                ("write at a follower", ["4 D + S", "4 D + S"], 3 * others + 2, members),
                ("read at the leader", ["2 D", "-"], 2 * others, 0),
                ("read at a follower", ["4 D", "-"], 2 * others + 2, 0),
            ] {
                let cost = cost(what);
                assert_eq!(cost[..2], times, "{engine} of {members}, {what}");
                assert_eq!(cost[2], messages.to_string(), "{engine} of {members}, {what}");
                assert_eq!(cost[4], syncs.to_string(), "{engine} of {members}, {what}");
            }
            let idle = row(&tables, "Idle", &[name, engine]);
            assert_eq!(idle[0], (20 * 2 * others).to_string(), "a heartbeat each 50 ms, answered");
            assert_eq!(idle[2], "0", "who has nothing to do writes nothing");
        }
        let alone = row(&tables, "A stream of writes", &["1, at the leader", engine]);
        let many = row(&tables, "A stream of writes", &["256, at the leader", engine]);
        let number = |cell: &String| cell.parse::<f64>().expect("a number");
        for column in [1, 3] {
            assert!(number(&many[column]) < number(&alone[column]) / 100.0, "batches share both");
        }
    }
    for engine in ["raft", "paxos"] {
        let read = row(&tables, "One at a time", &["3", "read at the leader, by lease", engine]);
        assert_eq!(read[..3], ["0", "-", "0"]);
    }
    assert_eq!(printed(&tables), told_by_the_command(), "equal seeds give equal tables, anywhere");
}

fn printed(tables: &[Table]) -> String {
    tables.iter().map(|table| format!("## {}\n\n{table}\n", table.title)).collect()
}

fn told_by_the_command() -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    let ran = command.args(["sim", "compare", "--seeds", "1"]).output().expect("it runs");
    assert!(ran.status.success(), "{ran:?}");
    String::from_utf8(ran.stdout).expect("tables are text")
}

#[test]
fn the_page_tells_what_the_simulator_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/comparison.md");
    let page = std::fs::read_to_string(&path).expect("the page is there");
    let mut told = page.clone();
    for table in tables(SEEDS) {
        let begin = format!("<!-- synod sim compare: {} -->\n", table.title);
        let at = told.find(&begin).unwrap_or_else(|| panic!("no {begin:?} in the page"));
        let at = at + begin.len();
        let end = at + told[at..].find("<!-- end -->").expect("each table has an end");
        told.replace_range(at..end, &format!("\n{table}\n"));
    }
    if std::env::var("SYNOD_REWRITE").is_ok_and(|value| value == "1") {
        std::fs::write(&path, told).expect("the page can be written");
    } else {
        assert!(
            page == told,
            "docs/comparison.md tells something else; SYNOD_REWRITE=1 writes this:\n{told}"
        );
    }
}
