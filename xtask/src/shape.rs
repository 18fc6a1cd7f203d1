//! The shape of source files: what they open with, and how long they and their functions are.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::{Complaint, House};

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 80;

/// Complains about files that do not say what they are for, and about files and functions that grew
/// too long to be read in one go.
#[must_use]
pub fn check(house: &House) -> Vec<Complaint> {
    house.ending_in(".rs").flat_map(|(path, text)| check_file(path, text)).collect()
}

fn check_file(path: &str, text: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    if !text.starts_with("//! ") {
        let what = "does not open with a `//!` that says what it is for and where to read next";
        complaints.push(Complaint::at(path, 1, what));
    }
    let lines = text.lines().count();
    if lines > MAX_FILE_LINES {
        let what = format!("has {lines} lines; split it by concept, at most {MAX_FILE_LINES}");
        complaints.push(Complaint::about(path, what));
    }
    match syn::parse_file(text) {
        Ok(file) => Functions { path, complaints: &mut complaints }.visit_file(&file),
        Err(error) => complaints.push(Complaint::at(path, error.span().start().line, error)),
    }
    complaints
}

struct Functions<'a> {
    path: &'a str,
    complaints: &'a mut Vec<Complaint>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let lines = block.span().end().line + 1 - first;
        if lines > MAX_FUNCTION_LINES {
            let name = &signature.ident;
            let what =
                format!("{name} has {lines} lines; carve it up, at most {MAX_FUNCTION_LINES}");
            self.complaints.push(Complaint::at(self.path, first, what));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        check_file("a.rs", text).iter().map(ToString::to_string).collect()
    }

    fn function(lines: usize) -> String {
        format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    #[test]
    fn a_file_without_a_module_doc_is_caught() {
        assert_eq!(complaints("//! What it is.\n"), [""; 0]);
        for text in ["", "fn f() {}\n", "// not a doc\n", "//!\n"] {
            assert!(complaints(text)[0].starts_with("a.rs:1:"), "{text:?}");
        }
    }

    #[test]
    fn a_long_file_is_caught() {
        let lines = |count| format!("//! Long.\n{}", "\n".repeat(count - 1));
        assert_eq!(complaints(&lines(MAX_FILE_LINES)), [""; 0]);
        assert!(complaints(&lines(MAX_FILE_LINES + 1))[0].contains("split it by concept"));
    }

    #[test]
    fn a_long_function_is_caught_wherever_it_stands() {
        let longest = function(MAX_FUNCTION_LINES);
        let longer = function(MAX_FUNCTION_LINES + 1);
        for (before, after) in
            [("", ""), ("impl A {\n", "}"), ("trait A {\n", "}"), ("mod a {\n", "}")]
        {
            let file = |function: &str| format!("//! Long.\n{before}{function}{after}\n");
            assert_eq!(complaints(&file(&longest)), [""; 0], "{before}");
            assert!(complaints(&file(&longer))[0].contains("long has 81 lines"), "{before}");
        }
    }

    #[test]
    fn braces_in_strings_and_comments_do_not_end_a_function() {
        let body = format!("let a = \"}}\"; // }}\n{}", "step();\n".repeat(MAX_FUNCTION_LINES));
        assert_eq!(complaints(&format!("//! Long.\nfn f() {{\n{body}}}\n")).len(), 1);
    }
}
