//! The layer rule: which crate may depend on which. The table is the whole truth.
//!
//! Reasons are in `ARCHITECTURE.md`. A pattern is a crate's folder, or a layer with a star.

use crate::{Complaint, House};

/// What each crate may be built on.
const ARROWS: &[(&str, &[&str])] = &[
    ("core/engine", &[]),
    ("core/codec", &[]),
    ("core/quorum", &["core/engine"]),
    ("core/consensus", &["core/engine", "core/quorum"]),
    ("core/log", &["core/codec", "core/consensus", "core/engine", "core/quorum"]),
    ("protocols/raft", &["core/*"]),
    ("protocols/paxos", &["core/*"]),
    ("protocols/gossip", &["core/*"]),
    ("protocols/election", &["core/*"]),
    ("protocols/zab", &["core/*", "protocols/election"]),
    ("services/kv", &["core/codec", "core/consensus", "core/engine"]),
    ("drivers/sim", &["core/*"]),
    ("drivers/wal", &["core/codec", "core/engine"]),
    ("drivers/runtime", &["core/*", "drivers/wal"]),
    ("testkit/check", &["core/*"]),
    ("testkit/script", &["core/*"]),
    ("testkit/load", &["core/*", "drivers/sim"]),
    ("testkit/stage", &["core/*"]),
    ("clients/clerk", &["core/*", "services/kv"]),
    ("servers/native", &["core/*", "services/kv", "drivers/runtime"]),
    (
        "apps/synod",
        &[
            "core/*",
            "protocols/*",
            "services/*",
            "drivers/*",
            "testkit/*",
            "clients/*",
            "servers/*",
        ],
    ),
    ("xtask", &[]),
];

/// What the tests and examples of each layer may use besides. Nobody may use an app.
const TEST_ARROWS: &[(&str, &[&str])] = &[
    ("core/*", &["core/*"]),
    ("protocols/*", &["core/*", "drivers/sim", "testkit/*"]),
    ("services/*", &["core/*", "protocols/*", "drivers/sim", "testkit/*"]),
    ("drivers/*", &["core/*", "protocols/*", "services/*", "testkit/*"]),
    ("testkit/*", &["core/*", "protocols/*", "services/*", "drivers/sim"]),
    ("clients/*", &["core/*", "protocols/*", "services/*", "drivers/*", "testkit/*", "servers/*"]),
    ("servers/*", &["core/*", "protocols/*", "services/*", "drivers/*", "testkit/*", "clients/*"]),
    ("apps/*", &["testkit/*"]),
];

/// The crates from outside that a pure crate may be built on: each allocates at most.
const PURE_OUTSIDERS: &[&str] =
    &["bytes", "imbl", "postcard", "rand_core", "rand_pcg", "serde", "xxhash-rust"];

/// The layers whose crates are pure.
pub const PURE_LAYERS: &[&str] = &["core", "protocols", "services"];

/// Complains about crates that the table does not know, arrows that it does not allow, and crates
/// that do not take part in the workspace's lints or names.
#[must_use]
pub fn check(house: &House) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for package in &house.packages {
        let home = package.home.as_str();
        let layer = home.split('/').next().unwrap_or(home);
        let expected = format!("synod-{}", home.rsplit('/').next().unwrap_or(home));
        if home.contains('/') && layer != "apps" && package.name != expected {
            let what = format!("is called {}; call it {expected}, after its folder", package.name);
            complaints.push(Complaint::about(home, what));
        }
        let manifest = house.files.get(&format!("{home}/Cargo.toml"));
        if manifest.is_some_and(|text| !text.contains("[lints]\nworkspace = true")) {
            let what = "has its own lints; write `[lints]` with `workspace = true`";
            complaints.push(Complaint::about(home, what));
        }
        let Some((_, arrows)) = ARROWS.iter().find(|(from, _)| *from == home) else {
            let what = "is not in the layer table; add it to ARROWS in xtask/src/layers.rs, \
                        with the least that it needs";
            complaints.push(Complaint::about(home, what));
            continue;
        };
        let test_arrows = TEST_ARROWS.iter().filter(|(from, _)| matches(from, home));
        let test_arrows: Vec<&str> = test_arrows.flat_map(|(_, to)| *to).copied().collect();
        for dependency in &package.dependencies {
            let what = match &dependency.home {
                Some(to) if allowed(arrows, to) => continue,
                Some(to) if dependency.dev && allowed(&test_arrows, to) => continue,
                Some(to) => format!(
                    "{} on {to}, which the layer rule does not allow; turn the arrow around, move \
                     what is needed into core, or argue for it in xtask/src/layers.rs",
                    if dependency.dev { "tests depend" } else { "depends" }
                ),
                None if dependency.dev || !PURE_LAYERS.contains(&layer) => continue,
                None if PURE_OUTSIDERS.contains(&dependency.name.as_str()) => continue,
                None => format!(
                    "is pure but depends on {}; do without, or show that it does no I/O and add it \
                     to PURE_OUTSIDERS in xtask/src/layers.rs",
                    dependency.name
                ),
            };
            complaints.push(Complaint::about(home, what));
        }
    }
    complaints
}

fn allowed(patterns: &[&str], home: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, home))
}

fn matches(pattern: &str, home: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(layer) => home.starts_with(layer),
        None => home == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::{Dependency, Package};

    fn complaints(home: &str, dependencies: Vec<Dependency>) -> Vec<String> {
        let name = format!("synod-{}", home.rsplit('/').next().unwrap());
        let package = Package { name, home: home.into(), dependencies, roots: vec![] };
        let house = House { packages: vec![package], ..House::default() };
        check(&house).iter().map(ToString::to_string).collect()
    }

    fn on(home: &str) -> Dependency {
        Dependency { home: Some(home.into()), ..outside("inside") }
    }

    fn outside(name: &str) -> Dependency {
        Dependency { name: name.into(), called: name.into(), home: None, dev: false }
    }

    fn in_tests(dependency: Dependency) -> Dependency {
        Dependency { dev: true, ..dependency }
    }

    #[test]
    fn arrows_of_the_table_pass() {
        assert_eq!(
            complaints("protocols/raft", vec![on("core/quorum"), outside("serde")]),
            [""; 0]
        );
        assert_eq!(complaints("protocols/raft", vec![in_tests(on("drivers/sim"))]), [""; 0]);
    }

    #[test]
    fn an_unknown_crate_is_told_where_to_register() {
        let complaints = complaints("protocols/nobody", vec![]);
        assert!(complaints[0].contains("add it to ARROWS"), "{complaints:?}");
    }

    #[test]
    fn an_arrow_outside_the_table_is_caught() {
        for (from, to) in [
            ("protocols/raft", "drivers/sim"),
            ("protocols/raft", "protocols/paxos"),
            ("services/kv", "protocols/raft"),
            ("core/engine", "core/codec"),
            ("drivers/sim", "protocols/raft"),
        ] {
            assert_eq!(complaints(from, vec![on(to)]).len(), 1, "{from} -> {to}");
        }
    }

    #[test]
    fn not_even_tests_may_depend_on_an_app() {
        for (from, _) in ARROWS {
            assert_ne!(complaints(from, vec![in_tests(on("apps/synod"))]), [""; 0], "{from}");
        }
    }

    #[test]
    fn a_pure_crate_on_an_impure_outsider_is_caught() {
        assert_eq!(complaints("services/kv", vec![outside("tokio")]).len(), 1);
        assert_eq!(complaints("services/kv", vec![in_tests(outside("tempfile"))]), [""; 0]);
        assert_eq!(complaints("drivers/runtime", vec![outside("tokio")]), [""; 0]);
    }

    #[test]
    fn a_crate_that_is_not_called_after_its_folder_is_caught() {
        let package = Package {
            name: "raft".into(),
            home: "protocols/raft".into(),
            dependencies: vec![],
            roots: vec![],
        };
        let house = House { packages: vec![package], ..House::default() };
        assert!(check(&house)[0].to_string().contains("call it synod-raft"));
    }

    #[test]
    fn a_crate_without_the_workspace_lints_is_caught() {
        let package = Package {
            name: "synod-raft".into(),
            home: "protocols/raft".into(),
            dependencies: vec![],
            roots: vec![],
        };
        let mut house = House::of_files(&[("protocols/raft/Cargo.toml", "[package]\n")]);
        house.packages.push(package);
        assert_eq!(check(&house).len(), 1);
    }
}
