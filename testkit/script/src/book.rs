//! A script as a file: blocks of commands, and what they did.

use std::path::Path;

use crate::Subject;
use crate::error::{ScriptError, Trouble};
use crate::run::Run;

/// Between the commands of a block and what they did.
const RULE: &str = "----";

/// What commands that did nothing did.
const NOTHING: &str = "ok";

/// [`compare`], or [`rewrite`] with `SYNOD_REWRITE=1` in the environment.
///
/// # Errors
/// [`ScriptError`], with file and line.
pub fn check<S: Subject>(path: impl AsRef<Path>) -> Result<(), ScriptError> {
    if std::env::var("SYNOD_REWRITE").is_ok_and(|value| value == "1") {
        rewrite::<S>(path)
    } else {
        compare::<S>(path)
    }
}

/// Runs a script and compares what happens with what it says.
///
/// # Errors
/// [`ScriptError`], with file and line.
pub fn compare<S: Subject>(path: impl AsRef<Path>) -> Result<(), ScriptError> {
    let path = path.as_ref();
    let (text, played) = read_and_play::<S>(path)?;
    if played == text {
        return Ok(());
    }
    let (line, diff) = difference(&text, &played);
    Err(ScriptError::Differs { path: path.to_owned(), line, diff })
}

/// Runs a script and writes what happens into it. What it expects must hold even so.
///
/// # Errors
/// [`ScriptError`], with file and line; then the file is as it was.
pub fn rewrite<S: Subject>(path: impl AsRef<Path>) -> Result<(), ScriptError> {
    let path = path.as_ref();
    let (text, played) = read_and_play::<S>(path)?;
    if played == text {
        return Ok(());
    }
    std::fs::write(path, played)
        .map_err(|source| ScriptError::File { path: path.to_owned(), source })
}

/// The script as it is, and as it should be written.
fn read_and_play<S: Subject>(path: &Path) -> Result<(String, String), ScriptError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ScriptError::File { path: path.to_owned(), source })?;
    let played = play::<S>(&text).map_err(|(line, trouble)| trouble.at(path.to_owned(), line))?;
    Ok((text, played))
}

/// The script as it should be written; or the line, counted from 1, at which it fails.
fn play<S: Subject>(text: &str) -> Result<String, (usize, Trouble)> {
    let mut run = Run::<S>::new();
    let mut played = Vec::new();
    for block in blocks(text) {
        let mut said = Vec::new();
        let mut is_prose = true;
        for (number, line) in &block {
            if !line.starts_with('#') {
                is_prose = false;
                let more = run.line(line);
                said.extend(more.map_err(|trouble| (*number, trouble.after(&said)))?);
            }
        }
        let mut lines: Vec<String> = block.iter().map(|(_, line)| (*line).to_owned()).collect();
        if !is_prose {
            lines.push(RULE.to_owned());
            lines.extend(if said.is_empty() { vec![NOTHING.to_owned()] } else { said });
        }
        played.push(lines.join("\n"));
    }
    run.finish().map_err(|trouble| (text.lines().count(), trouble))?;
    Ok(format!("{}\n", played.join("\n\n")))
}

/// The comments and commands of each block, with the numbers of their lines, counted from 1.
fn blocks(text: &str) -> Vec<Vec<(usize, &str)>> {
    let lines: Vec<_> = (1..).zip(text.lines().map(str::trim_end)).collect();
    let blocks = lines.split(|(_, line)| line.is_empty()).filter(|block| !block.is_empty());
    let head = |block: &[(usize, _)]| {
        block.iter().copied().take_while(|(_, line)| *line != RULE).collect()
    };
    blocks.map(head).collect()
}

/// The first line that differs, and the lines around it that are gone and new.
fn difference(written: &str, played: &str) -> (usize, String) {
    let (old, new): (Vec<_>, Vec<_>) = (written.lines().collect(), played.lines().collect());
    let first = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = |lines: &[&str], sign| {
        let block = lines[first..].iter().take_while(|line| !line.is_empty());
        block.map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    (first + 1, rest(&old, '-') + &rest(&new, '+'))
}
