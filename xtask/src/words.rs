//! Words that should not be in the repository: unfinished business, and paths of one machine.

use crate::{Complaint, House};

const ENDINGS: &[&str] = &[".rs", ".md", ".toml", ".txt", ".ci/run", ".ci/mutants"];

/// Marks of unfinished business, in halves so that this file may name them.
const UNFINISHED: &[(&str, &str)] = &[
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X"),
    ("HA", "CK"),
    ("to", "do!"),
    ("unimple", "mented!"),
];

/// Where machines keep what belongs to them, in halves too.
const MACHINE: &[(&str, &str)] =
    &[("/ho", "me/"), ("/ro", "ot/"), ("/Us", "ers/"), ("/wo", "rk/"), ("C:", "\\")];

/// Complains about each line that has such a word.
#[must_use]
pub fn check(house: &House) -> Vec<Complaint> {
    let texts = ENDINGS.iter().flat_map(|ending| house.ending_in(ending));
    texts.flat_map(|(path, text)| check_text(path, text)).collect()
}

fn check_text(path: &str, text: &str) -> Vec<Complaint> {
    let whole = |halves: &(&str, &str)| format!("{}{}", halves.0, halves.1);
    let mut complaints = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        for word in UNFINISHED.iter().map(whole).filter(|word| has_word(line, word)) {
            let what = format!("`{word}`: finish it, or write down what is missing and where");
            complaints.push(Complaint::at(path, number, what));
        }
        for place in MACHINE.iter().map(whole).filter(|place| starts_word(line, place)) {
            let what = format!("`{place}` is a path of one machine");
            complaints.push(Complaint::at(path, number, what));
        }
    }
    complaints
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(start, _)| {
        let joined = |letter: char| letter.is_alphanumeric() || letter == '_';
        !line[..start].ends_with(joined)
            && (word.ends_with('!') || !line[start + word.len()..].starts_with(joined))
    })
}

fn starts_word(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(start, _)| {
        !line[..start]
            .ends_with(|letter: char| letter.is_alphanumeric() || ".-_>/}".contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_of_unfinished_business_is_caught() {
        for (left, right) in UNFINISHED {
            assert_eq!(check_text("a.rs", &format!("// {left}{right}: later\n")).len(), 1);
            assert_eq!(check_text("a.rs", &format!("// A{left}{right}: later\n")), []);
        }
        assert_eq!(check_text("a.rs", "// the todo list\n"), []);
    }

    #[test]
    fn each_path_of_one_machine_is_caught() {
        for (left, right) in MACHINE {
            assert_eq!(check_text("a.md", &format!("see {left}{right}synod\n")).len(), 1);
        }
        assert_eq!(check_text("a.md", "see net/work/home/a and https://a/home/\n"), []);
    }

    #[test]
    fn the_line_is_told() {
        let text = format!("one\n{}{}\n", "TO", "DO");
        assert!(check_text("a.rs", &text)[0].to_string().starts_with("a.rs:2:"));
    }
}
