//! Dead files: sources that nothing compiles, scripts that nothing runs.

use std::collections::BTreeSet;

use crate::{Complaint, House};

/// Complains about `.rs` files that no target reaches through its `mod` declarations, and about
/// `tests/scripts/*.txt` that no test of the same crate names.
#[must_use]
pub fn check(house: &House) -> Vec<Complaint> {
    let mut reached = BTreeSet::new();
    for root in house.packages.iter().flat_map(|package| &package.roots) {
        follow(house, root, &folder_of(root), &mut reached);
    }
    for root in apart(house) {
        follow(house, &root, &folder_of(&root), &mut reached);
    }
    let sources = house.ending_in(".rs").map(|(path, _)| path);
    let dead = sources.filter(|path| !reached.contains(*path)).map(|path| {
        Complaint::about(
            path,
            "is not compiled; declare it with `mod` where it belongs, or delete it",
        )
    });
    let scripts = house.ending_in(".txt").map(|(path, _)| path);
    let unused = scripts.filter(|path| is_script(path) && !is_run(house, path)).map(|path| {
        Complaint::about(path, "is not run; name it in a test of its crate, or delete it")
    });
    dead.chain(unused).collect()
}

/// What the packages begin with that have a workspace of their own (what we measure against, and what only
/// fuzzing needs, stays out of the house's).
fn apart(house: &House) -> impl Iterator<Item = String> {
    let manifests = house.ending_in("/Cargo.toml");
    let apart = manifests.filter(|(_, text)| text.lines().any(|line| line == "[workspace]"));
    apart.flat_map(|(path, text)| {
        let named = text.lines().filter_map(|line| line.strip_prefix("path = \""));
        let named = named.map(|rest| rest.trim_end_matches('"'));
        let roots = ["src/main.rs", "src/lib.rs"].into_iter().chain(named);
        let home = folder_of(path);
        roots.map(|root| format!("{home}/{root}")).collect::<Vec<_>>()
    })
}

fn follow(house: &House, path: &str, folder: &str, reached: &mut BTreeSet<String>) {
    let Some(text) = house.files.get(path) else { return };
    if !reached.insert(path.to_string()) {
        return;
    }
    if let Ok(file) = syn::parse_file(text) {
        follow_modules(house, &file.items, folder, reached);
    }
}

fn follow_modules(
    house: &House,
    items: &[syn::Item],
    folder: &str,
    reached: &mut BTreeSet<String>,
) {
    for item in items {
        let syn::Item::Mod(module) = item else { continue };
        let inside = format!("{folder}/{}", module.ident);
        match &module.content {
            Some((_, items)) => follow_modules(house, items, &inside, reached),
            None => {
                follow(house, &format!("{inside}.rs"), &inside, reached);
                follow(house, &format!("{inside}/mod.rs"), &inside, reached);
            }
        }
    }
}

fn is_script(path: &str) -> bool {
    folder_of(path).ends_with("/tests/scripts")
}

/// Whether a test beside the folder of scripts has the script's name between quotes, or as a name
/// of its own.
fn is_run(house: &House, script: &str) -> bool {
    let tests = format!("{}/", folder_of(&folder_of(script)));
    let name = script.rsplit('/').next().unwrap_or(script).trim_end_matches(".txt");
    house.ending_in(".rs").filter(|(path, _)| path.starts_with(&tests)).any(|(_, text)| {
        let mut words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        words.any(|word| word == name)
    })
}

fn folder_of(path: &str) -> String {
    path.rsplit_once('/').map_or("", |(folder, _)| folder).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::Package;

    fn complaints(files: &[(&str, &str)]) -> Vec<String> {
        let mut house = House::of_files(files);
        house.packages.push(Package {
            name: "synod-a".into(),
            home: "a".into(),
            dependencies: vec![],
            roots: vec!["a/src/lib.rs".into(), "a/tests/scripts.rs".into()],
        });
        check(&house).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_way_to_declare_a_module_is_followed() {
        let files = [
            ("a/src/lib.rs", "mod node; pub mod role; mod inline { mod deep; }"),
            ("a/src/node.rs", "#[cfg(test)] mod tests;"),
            ("a/src/node/tests.rs", ""),
            ("a/src/role/mod.rs", "mod leader;"),
            ("a/src/role/leader.rs", ""),
            ("a/src/inline/deep.rs", ""),
        ];
        assert_eq!(complaints(&files), [""; 0]);
    }

    #[test]
    fn a_file_that_no_module_declares_is_caught() {
        let files = [("a/src/lib.rs", "// mod old;"), ("a/src/old.rs", ""), ("a/src/b/old.rs", "")];
        let complaints = complaints(&files);
        assert!(complaints[0].starts_with("a/src/b/old.rs: is not compiled"), "{complaints:?}");
        assert!(complaints[1].starts_with("a/src/old.rs: is not compiled"), "{complaints:?}");
    }

    #[test]
    fn a_program_with_a_workspace_of_its_own_is_followed_too() {
        let files = [
            ("benches/b/Cargo.toml", "[workspace]\n\n[package]\n"),
            ("benches/b/src/main.rs", "mod used;"),
            ("benches/b/src/used.rs", ""),
            (
                "fuzz/Cargo.toml",
                "[workspace]\n\n[[bin]]\nname = \"log\"\npath = \"targets/log.rs\"\n",
            ),
            ("fuzz/src/lib.rs", "pub mod memory;"),
            ("fuzz/src/memory.rs", ""),
            ("fuzz/targets/log.rs", ""),
            ("benches/b/src/unused.rs", ""),
        ];
        let complaints = complaints(&files);
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].starts_with("benches/b/src/unused.rs"), "{complaints:?}");
    }

    #[test]
    fn a_script_that_no_test_names_is_caught() {
        let files = [
            ("a/tests/scripts.rs", "scripts! { split_vote }"),
            ("a/tests/scripts/split_vote.txt", ""),
            ("a/tests/scripts/split.txt", ""),
        ];
        assert_eq!(complaints(&files).len(), 1);
        assert!(complaints(&files)[0].starts_with("a/tests/scripts/split.txt: is not run"));
    }
}
