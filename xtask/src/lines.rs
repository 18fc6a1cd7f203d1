//! How much code each replicated log is made of: `cargo xtask lines` prints it, `docs/comparison.md` tells it.
//!
//! A line counts if it is neither blank nor a comment. What is behind `#[cfg(test)]`, and everything under
//! `tests` and `examples`, counts as tests; `invariants.rs`, which no server runs, by itself.

use std::fmt::Write;

use crate::House;

/// What is counted together: a name, and how the paths of its files begin.
const PARTS: &[(&str, &[&str])] = &[
    ("Raft", &["protocols/raft/"]),
    (
        "Multi-Paxos",
        &[
            "protocols/paxos/src/multi",
            "protocols/paxos/src/ballot.rs",
            "protocols/paxos/tests/multi",
        ],
    ),
    ("ZAB", &["protocols/zab/"]),
    ("fast leader election, inside ZAB", &["protocols/election/"]),
    ("what all three are made of", &["core/log/"]),
    (
        "the contract and the one face",
        &["core/engine/", "core/quorum/", "core/consensus/", "core/codec/"],
    ),
];

/// Lines of one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lines {
    code: usize,
    invariants: usize,
    tests: usize,
}

/// A Markdown table of all parts.
#[must_use]
pub fn table(house: &House) -> String {
    let mut table = "| part | code | invariants | tests |\n|---|---|---|---|\n".to_owned();
    for (name, paths) in PARTS {
        let Lines { code, invariants, tests } = count(house, paths);
        writeln!(table, "| {name} | {code} | {invariants} | {tests} |").expect("memory takes it");
    }
    table
}

fn count(house: &House, paths: &[&str]) -> Lines {
    let mut lines = Lines::default();
    let of_part = |path: &str| paths.iter().any(|begins| path.starts_with(begins));
    for (path, text) in house.ending_in(".rs").filter(|(path, _)| of_part(path)) {
        let (code, tests) = split(text);
        if path.contains("/tests/") || path.contains("/examples/") || path.ends_with("/tests.rs") {
            lines.tests += counted(text);
        } else if path.ends_with("/invariants.rs") {
            lines.invariants += counted(code);
            lines.tests += counted(tests);
        } else {
            lines.code += counted(code);
            lines.tests += counted(tests);
        }
    }
    lines
}

/// A file without its tests, which stand at its end, and they.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len()))
}

fn counted(text: &str) -> usize {
    text.lines().map(str::trim_start).filter(|it| !it.is_empty() && !it.starts_with("//")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_do_not_count_and_tests_count_as_tests() {
        let text =
            "//! What.\n\nfn a() {\n    // why\n    b();\n}\n\n#[cfg(test)]\nmod tests {\n}\n";
        let house = House::of_files(&[
            ("protocols/raft/src/node.rs", text),
            ("protocols/raft/src/invariants.rs", text),
            ("protocols/raft/tests/paper.rs", text),
            ("protocols/zab/src/node.rs", text),
        ]);
        let raft = count(&house, &["protocols/raft/"]);
        assert_eq!(raft, Lines { code: 3, invariants: 3, tests: 3 + 3 + 6 });
        assert!(table(&house).contains("| ZAB | 3 | 0 | 3 |"));
    }
}
