//! The purity of engines: what crates under `core/`, `protocols/` and `services/` may not name.
//!
//! Their `clippy.toml` bans the same by type where the compiler can tell; this check also sees
//! macros, floats, and a missing `no_std`. Tests inside a crate are exempt.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use crate::layers::PURE_LAYERS;
use crate::{Complaint, House};

/// Names that would let chance, time or the machine decide a result.
const BANNED: &[(&str, &str)] = &[
    ("std", "use core and alloc, so that nothing impure compiles"),
    ("HashMap", "its order differs from run to run; use BTreeMap"),
    ("HashSet", "its order differs from run to run; use BTreeSet"),
    ("RandomState", "hash seeds are chance; use core/codec's hash"),
    ("SystemTime", "time is lent by the driver; use the context's now"),
    ("thread", "engines do not know threads"),
    ("f32", "floats differ between machines; use integers"),
    ("f64", "floats differ between machines; use integers"),
    ("as_ptr", "no result may depend on an address"),
];

/// What is allowed all the same: file, name, and why.
const ALLOWED: &[(&str, &str, &str)] = &[];

/// Complains about banned names, float literals, crates that are not `no_std`, and layers without
/// the common `clippy.toml`.
#[must_use]
pub fn check(house: &House) -> Vec<Complaint> {
    let mut complaints = check_with(house, ALLOWED);
    complaints.extend(check_clippy(house));
    complaints
}

fn check_with(house: &House, allowed: &[(&str, &str, &str)]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut used = Vec::new();
    for (path, text) in house.ending_in(".rs").filter(|(path, _)| is_pure(path)) {
        let Ok(file) = syn::parse_file(text) else { continue };
        let mut names = Names::default();
        names.visit_file(&file);
        for (name, line) in names.found {
            if allowed.iter().any(|(file, allowed, _)| (*file, *allowed) == (path, name.as_str())) {
                used.push((path, name));
            } else if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
                complaints.push(Complaint::at(path, line, format!("`{name}`: {why}")));
            }
        }
        let has_code = !file.items.is_empty();
        if has_code && path.ends_with("/src/lib.rs") && !text.contains("\n#![no_std]\n") {
            if allowed.iter().any(|(file, name, _)| (*file, *name) == (path, "no_std")) {
                used.push((path, "no_std".to_string()));
            } else {
                complaints.push(Complaint::about(
                    path,
                    "lacks `#![no_std]`, which keeps what is impure from compiling",
                ));
            }
        }
    }
    for (path, name, _) in allowed {
        if !used.iter().any(|(file, used)| file == path && used == name) {
            let what =
                format!("`{name}` is allowed in xtask/src/purity.rs but not used; strike it");
            complaints.push(Complaint::about(path, what));
        }
    }
    complaints
}

/// Clippy reads only the nearest `clippy.toml`, so every pure layer has its own copy.
fn check_clippy(house: &House) -> Vec<Complaint> {
    let config = |layer: &str| house.files.get(&format!("{layer}/clippy.toml"));
    let strays = PURE_LAYERS.iter().filter(|layer| config(layer) != config(PURE_LAYERS[0]));
    let what = || format!("differs from that of {}; copy it", PURE_LAYERS[0]);
    strays.map(|layer| Complaint::about(&format!("{layer}/clippy.toml"), what())).collect()
}

fn is_pure(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.next().is_some_and(|layer| PURE_LAYERS.contains(&layer)) && parts.nth(1) == Some("src")
}

/// The names outside of tests, with their lines; a float literal counts as `f64`.
#[derive(Default)]
struct Names {
    found: Vec<(String, usize)>,
}

impl Names {
    fn tokens(&mut self, tokens: TokenStream) {
        let mut after_dot = false;
        for token in tokens {
            match &token {
                TokenTree::Ident(name) => {
                    self.found.push((name.to_string(), name.span().start().line));
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                // `pair.0.1` reads as a float after a dot.
                TokenTree::Literal(literal) if !after_dot => {
                    if syn::parse_str::<syn::LitFloat>(&literal.to_string()).is_ok() {
                        self.found.push(("f64".into(), literal.span().start().line));
                    }
                }
                TokenTree::Literal(_) | TokenTree::Punct(_) => {}
            }
            after_dot = matches!(&token, TokenTree::Punct(dot) if dot.as_char() == '.');
        }
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_ident(&mut self, name: &'ast proc_macro2::Ident) {
        self.found.push((name.to_string(), name.span().start().line));
    }

    fn visit_lit_float(&mut self, float: &'ast syn::LitFloat) {
        self.found.push(("f64".into(), float.span().start().line));
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        self.tokens(call.tokens.clone());
    }
}

fn is_test(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::ExternCrate(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "//! Pure.\n#![no_std]\n";

    fn complaints(body: &str) -> Vec<String> {
        let text = format!("{HEAD}{body}\n");
        let house = House::of_files(&[("core/a/src/lib.rs", &text)]);
        check_with(&house, &[]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_banned_name_is_caught() {
        for (name, why) in BANNED {
            let found = complaints(&format!("use a::{name};"));
            assert_eq!(found, [format!("core/a/src/lib.rs:3: `{name}`: {why}")]);
        }
    }

    #[test]
    fn impurity_is_caught_wherever_it_stands() {
        for body in [
            "fn f() { std::fs::read(\"a\"); }",
            "use std::{env, time::Instant};",
            "fn f() { println!(\"{:?}\", std::env::args()); }",
            "const SHARE: i64 = (0.5 * 8) as i64;",
            "fn f() { assert!(share > 0.5); }",
            "struct A { share: f64 }",
            "macro_rules! a { () => { std::thread::park() } }",
        ] {
            assert_ne!(complaints(body), [""; 0], "{body}");
        }
    }

    #[test]
    fn words_in_comments_strings_and_tests_are_free() {
        for body in [
            "/// No std, no HashMap.\nfn f() { g(\"std::fs f64\") }",
            "fn f() -> u8 { assert!(pair.0.1 == 1); pair.0.1 }",
            "#[cfg(test)]\nmod tests { use std::collections::HashMap; }",
        ] {
            assert_eq!(complaints(body), [""; 0], "{body}");
        }
    }

    #[test]
    fn other_layers_and_integration_tests_are_free() {
        let files =
            [("drivers/a/src/lib.rs", "use std::fs;"), ("core/a/tests/t.rs", "use std::fs;")];
        assert_eq!(check_with(&House::of_files(&files), &[]), []);
    }

    #[test]
    fn a_crate_that_is_not_no_std_is_caught() {
        let house = House::of_files(&[("services/a/src/lib.rs", "//! A.\nmod b;\n")]);
        assert!(
            check_with(&house, &[])[0]
                .to_string()
                .contains("lacks `#![no_std]`, which keeps what is impure from compiling")
        );
        assert_eq!(check_with(&house, &[("services/a/src/lib.rs", "no_std", "why")]), []);
    }

    #[test]
    fn layers_with_different_clippy_configurations_are_caught() {
        let same = ["core", "protocols", "services"].map(|layer| format!("{layer}/clippy.toml"));
        let [core, protocols, services] = same.each_ref().map(String::as_str);
        let house = House::of_files(&[(core, "a"), (protocols, "a"), (services, "a")]);
        assert_eq!(check_clippy(&house), []);
        assert_eq!(check_clippy(&House::of_files(&[(core, "a"), (services, "b")])).len(), 2);
    }

    #[test]
    fn an_allowance_that_nobody_uses_is_caught() {
        let house = House::of_files(&[("core/a/src/b.rs", "//! B.\nuse c::f64;\n")]);
        assert_eq!(check_with(&house, &[("core/a/src/b.rs", "f64", "why")]), []);
        assert_eq!(check_with(&house, &[("core/a/src/b.rs", "f32", "why")]).len(), 2);
    }
}
