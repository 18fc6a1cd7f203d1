//! Idle dependencies: crates that a manifest asks for and nothing names.
//!
//! cargo-machete does this and more; this needs nothing installed.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};

use crate::house::Package;
use crate::{Complaint, House};

/// Complains about dependencies that no source of their crate names, and about workspace
/// dependencies that no crate asks for.
#[must_use]
pub fn check(house: &House) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for package in &house.packages {
        let all = names(house, package, "");
        let src = names(house, package, "src/");
        for dependency in &package.dependencies {
            let names = if dependency.dev { &all } else { &src };
            if !names.contains(&dependency.called.replace('-', "_")) {
                let what = format!("nothing names its dependency {}; strike it", dependency.called);
                complaints.push(Complaint::about(&package.home, what));
            }
        }
    }
    let asked = house.packages.iter().flat_map(|package| &package.dependencies);
    let asked: BTreeSet<_> = asked.map(|dependency| dependency.name.as_str()).collect();
    let manifest = house.files.get("Cargo.toml").map_or("", String::as_str);
    for (name, line) in workspace_dependencies(manifest).filter(|(name, _)| !asked.contains(name)) {
        let what = format!("no crate asks for {name}; strike it");
        complaints.push(Complaint::at("Cargo.toml", line, what));
    }
    complaints
}

/// Every name in the Rust sources of `package` below `folder`.
fn names(house: &House, package: &Package, folder: &str) -> BTreeSet<String> {
    let start = format!("{}/{folder}", package.home);
    let mut names = BTreeSet::new();
    for (_, text) in house.ending_in(".rs").filter(|(path, _)| path.starts_with(&start)) {
        if let Ok(tokens) = text.parse() {
            gather(tokens, &mut names);
        }
    }
    names
}

fn gather(tokens: TokenStream, names: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(name) => drop(names.insert(name.to_string())),
            TokenTree::Group(group) => gather(group.stream(), names),
            TokenTree::Literal(_) | TokenTree::Punct(_) => {}
        }
    }
}

/// The crates from outside in `[workspace.dependencies]`, each with its line.
fn workspace_dependencies(manifest: &str) -> impl Iterator<Item = (&str, usize)> {
    let lines = manifest.lines().zip(1..);
    let section = lines.skip_while(|(line, _)| *line != "[workspace.dependencies]").skip(1);
    section
        .take_while(|(line, _)| !line.starts_with('['))
        .filter_map(|(line, number)| Some((line.split_once(" = ")?.0, number)))
        .filter(|(name, _)| !name.starts_with('#') && !name.starts_with("synod-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::Dependency;

    fn complaints(dependency: &str, dev: bool, files: &[(&str, &str)]) -> Vec<String> {
        let mut house = House::of_files(files);
        house.packages.push(Package {
            name: "synod-a".into(),
            home: "core/a".into(),
            dependencies: vec![Dependency {
                name: dependency.into(),
                called: dependency.into(),
                home: None,
                dev,
            }],
            roots: vec![],
        });
        check(&house).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_dependency_that_nothing_names_is_caught() {
        let used = [("core/a/src/lib.rs", "mod b { use xxhash_rust::xxh3; }")];
        assert_eq!(complaints("xxhash-rust", false, &used), [""; 0]);
        let unused =
            [("core/a/src/lib.rs", "// xxhash_rust\n"), ("core/b/src/lib.rs", "xxhash_rust")];
        assert_eq!(complaints("xxhash-rust", false, &unused).len(), 1);
    }

    #[test]
    fn a_dependency_that_only_tests_name_is_caught() {
        let files = [("core/a/tests/a.rs", "use tempfile::tempdir;")];
        assert_eq!(complaints("tempfile", true, &files), [""; 0]);
        assert_eq!(complaints("tempfile", false, &files).len(), 1);
    }

    #[test]
    fn a_workspace_dependency_that_no_crate_asks_for_is_caught() {
        let manifest = "[workspace.dependencies]\n# edges\nused = \"1\"\nidle = { version = \"1\" }\n[a]\nb = 1\n";
        let files = [("Cargo.toml", manifest), ("core/a/src/lib.rs", "use used::a;")];
        let complaints = complaints("used", false, &files);
        assert_eq!(complaints, ["Cargo.toml:4: no crate asks for idle; strike it"]);
    }
}
