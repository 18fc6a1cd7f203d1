//! How a transaction is written.
//!
//! ```text
//! # a lock that nobody holds, or that I hold
//! if
//!   locks/a absent
//! then
//!   put locks/a me
//!   get --prefix config/ --limit 10
//! else
//!   get locks/a
//! ```
//!
//! One thing a line. A word with blanks, or one that begins with `--`, stands in quotes: `"two words"`,
//! with `\n`, `\t`, `\"`, `\\` and `\x41` inside. What follows `#` is for people.

use std::fmt;

use bytes::Bytes;
use synod_clerk::{Action, Compare, Relation, Span, Target, Txn};

/// The transaction that `text` describes.
pub(super) fn parse(text: &str) -> Result<Txn, Mistake> {
    let mut txn = Txn::default();
    let mut section = None;
    for (line, number) in text.lines().zip(1..) {
        let mistake = |what: String| Mistake { line: number, what };
        let words = words(line).map_err(mistake)?;
        let plain: Vec<_> = words.iter().map(|word| &word.text[..]).collect();
        match (&plain[..], section) {
            ([], _) => {}
            ([b"if"], None) => section = Some(Section::If),
            ([b"then"], None | Some(Section::If)) => section = Some(Section::Then),
            ([b"else"], Some(Section::If | Section::Then)) => section = Some(Section::Else),
            ([b"if" | b"then" | b"else"], _) => {
                return Err(mistake("`if`, `then` and `else` come in this order, once".into()));
            }
            (_, None) => {
                return Err(mistake("a transaction begins with `if` or `then`".into()));
            }
            (_, Some(Section::If)) => txn.compares.push(compare(&words).map_err(mistake)?),
            (_, Some(Section::Then)) => txn.success.push(action(&words).map_err(mistake)?),
            (_, Some(Section::Else)) => txn.failure.push(action(&words).map_err(mistake)?),
        }
    }
    match section {
        Some(Section::Then | Section::Else) => Ok(txn),
        None | Some(Section::If) => {
            let (line, what) = (text.lines().count().max(1), "there is no `then`".into());
            Err(Mistake { line, what })
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    If,
    Then,
    Else,
}

/// Where a transaction makes no sense, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Mistake {
    line: usize,
    what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// A word of a line.
struct Word {
    text: Vec<u8>,
    /// Words in quotes are never flags.
    is_quoted: bool,
}

impl Word {
    fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.text)
    }

    fn is_flag(&self, name: &str) -> bool {
        !self.is_quoted && self.text == name.as_bytes()
    }

    fn number(&self) -> Result<u64, String> {
        let text = String::from_utf8_lossy(&self.text);
        text.parse().map_err(|_| format!("`{text}` is not a number"))
    }
}

fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut letters = line.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        match letters.peek() {
            None | Some('#') => return Ok(words),
            Some('"') => {
                letters.next();
                words.push(Word { text: quoted(&mut letters)?, is_quoted: true });
                if letters.peek().is_some_and(|letter| !letter.is_whitespace()) {
                    return Err("a blank follows the closing quote".into());
                }
            }
            Some(_) => {
                let mut text = String::new();
                while let Some(letter) = letters.next_if(|letter| !letter.is_whitespace()) {
                    text.push(letter);
                }
                words.push(Word { text: text.into(), is_quoted: false });
            }
        }
    }
}

/// The rest of a word in quotes.
fn quoted(letters: &mut impl Iterator<Item = char>) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Ok(text),
            '\\' => match letters.next() {
                Some('n') => text.push(b'\n'),
                Some('t') => text.push(b'\t'),
                Some(same @ ('"' | '\\')) => text.push(same as u8),
                Some('x') => {
                    let digits: String = letters.by_ref().take(2).collect();
                    let byte = u8::from_str_radix(&digits, 16);
                    text.push(byte.map_err(|_| format!("`\\x{digits}` is not a byte"))?);
                }
                _ => return Err("after a backslash come n, t, x and two digits, \" or \\".into()),
            },
            other => text.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("a quote is not closed".into())
}

fn compare(words: &[Word]) -> Result<Compare, String> {
    let (is_prefix, words) = match words {
        [flag, rest @ ..] if flag.is_flag("--prefix") => (true, rest),
        words => (false, words),
    };
    let [key, rest @ ..] = words else { return Err("a comparison names a key".into()) };
    let keys = span(is_prefix, key);
    let plain: Vec<_> = rest.iter().map(|word| &word.text[..]).collect();
    let (relation, target) = match &plain[..] {
        [b"absent"] => (Relation::Equal, Target::Version(0)),
        [b"exists"] => (Relation::Greater, Target::Version(0)),
        [what, relation, _] => {
            let relation = match *relation {
                b"=" => Relation::Equal,
                b"!=" => Relation::NotEqual,
                b"<" => Relation::Less,
                b">" => Relation::Greater,
                _ => return Err("a comparison is one of = != < >".into()),
            };
            let operand = &rest[2];
            let target = match *what {
                b"value" => Target::Value(operand.bytes()),
                b"version" => Target::Version(operand.number()?),
                b"created" => Target::Created(operand.number()?),
                b"modified" => Target::Modified(operand.number()?),
                _ => return Err("compare value, version, created or modified".into()),
            };
            (relation, target)
        }
        _ => {
            return Err(
                "write `KEY absent`, `KEY exists`, or `KEY value|version|created|modified \
                 =|!=|<|> OPERAND`"
                    .into(),
            );
        }
    };
    Ok(Compare { keys, relation, target })
}

fn action(words: &[Word]) -> Result<Action, String> {
    let [verb, rest @ ..] = words else { return Err("nothing is to be done".into()) };
    let (mut is_prefix, mut prev, mut limit) = (false, false, None);
    let mut operands = Vec::new();
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        if word.is_flag("--prefix") {
            is_prefix = true;
        } else if word.is_flag("--prev") {
            prev = true;
        } else if word.is_flag("--limit") {
            limit = Some(rest.next().ok_or("--limit needs a number")?.number()?);
        } else if !word.is_quoted && word.text.starts_with(b"--") {
            return Err(
                "a flag is one of --prefix, --prev, --limit N; put other words in quotes".into()
            );
        } else {
            operands.push(word);
        }
    }
    match (&verb.text[..], &operands[..], limit) {
        (b"put", [key, value], None) if !is_prefix => {
            Ok(Action::Put { key: key.bytes(), value: value.bytes(), prev })
        }
        (b"get", [key], limit) if !prev => {
            Ok(Action::Get { keys: span(is_prefix, key), limit: limit.unwrap_or(u64::MAX) })
        }
        (b"delete", [key], None) => Ok(Action::Delete { keys: span(is_prefix, key), prev }),
        _ => Err("write `put KEY VALUE [--prev]`, `get [--prefix] KEY [--limit N]` or \
                  `delete [--prefix] KEY [--prev]`"
            .into()),
    }
}

fn span(is_prefix: bool, key: &Word) -> Span {
    if is_prefix { Span::prefix(key.bytes()) } else { Span::One(key.bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &'static str) -> Span {
        Span::One(key.into())
    }

    #[test]
    fn a_transaction_is_read_line_by_line() {
        let text = "
            # who holds the lock?
            if
              lock absent
              --prefix config/ modified < 9
              name value != \"a \\\"b\\\" \\x41\"   # quotes
            then
              put lock me --prev
              get --prefix config/ --limit 10
            else
              delete --prefix config/
              get lock";
        let compare = |keys, relation, target| Compare { keys, relation, target };
        let expected = Txn {
            compares: vec![
                compare(one("lock"), Relation::Equal, Target::Version(0)),
                compare(Span::prefix("config/"), Relation::Less, Target::Modified(9)),
                compare(one("name"), Relation::NotEqual, Target::Value("a \"b\" A".into())),
            ],
            success: vec![
                Action::Put { key: "lock".into(), value: "me".into(), prev: true },
                Action::Get { keys: Span::prefix("config/"), limit: 10 },
            ],
            failure: vec![
                Action::Delete { keys: Span::prefix("config/"), prev: false },
                Action::Get { keys: one("lock"), limit: u64::MAX },
            ],
        };
        assert_eq!(parse(text), Ok(expected));
        let put = Action::Put { key: "--prefix".into(), value: "".into(), prev: false };
        assert_eq!(parse("then\nput \"--prefix\" \"\"").unwrap().success, [put]);
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (text, line, what) in [
            ("", 1, "no `then`"),
            ("if\na absent", 2, "no `then`"),
            ("put a 1", 1, "begins with"),
            ("then\nput a 1\nif", 3, "in this order"),
            ("if\na version = x\nthen", 2, "not a number"),
            ("if\na size = 1\nthen", 2, "compare value"),
            ("if\na version >= 1\nthen", 2, "one of ="),
            ("if\na\nthen", 2, "absent"),
            ("then\nput a", 2, "put KEY VALUE"),
            ("then\nput a 1 --prefix", 2, "put KEY VALUE"),
            ("then\nget a --limit", 2, "needs a number"),
            ("then\nget a --all", 2, "in quotes"),
            ("then\nput a \"1", 2, "not closed"),
            ("then\nput a \"\\q\"", 2, "backslash"),
            ("then\nput a \"1\"2", 2, "blank"),
        ] {
            let mistake = parse(text).unwrap_err();
            assert!(mistake.line == line && mistake.what.contains(what), "{text:?}: {mistake}");
        }
    }
}
