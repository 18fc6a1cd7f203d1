//! What is judged, and what comes of it.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use serde::{Deserialize, Serialize};
use synod_check::registers::Registers;
use synod_check::{DEFAULT_MAX_STEPS, check, draw, file};

use super::load::{Recorded, Seen};
use super::watchers;
use crate::exit::Exit;

/// What is said of a round, and of all of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "told", rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// One order explains all that clients saw, watchers were told it, all nodes ended with the same, and
    /// writing went on.
    Ok,
    /// Something was answered, or is held by a node, that cannot be.
    Violation(String),
    /// The judge gave up. Not to be taken for well.
    Undecided(String),
    /// All was mended, and the cluster was not well in time.
    Stalled(String),
    /// A node ended though nothing gave it reason to.
    Died(String),
}

impl Verdict {
    /// In one word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Violation(_) => "violation",
            Self::Undecided(_) => "undecided",
            Self::Stalled(_) => "stalled",
            Self::Died(_) => "died",
        }
    }

    /// What there is to be said besides.
    pub(crate) fn told(&self) -> &str {
        match self {
            Self::Ok => "",
            Self::Violation(told)
            | Self::Undecided(told)
            | Self::Stalled(told)
            | Self::Died(told) => told,
        }
    }

    /// Whether rounds after this one make sense.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self, Self::Ok | Self::Undecided(_))
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Ok => Exit::Done,
            Self::Violation(_) => Exit::Violation,
            Self::Undecided(_) => Exit::Undecided,
            Self::Stalled(_) => Exit::Stalled,
            Self::Died(_) => Exit::Fatal,
        }
    }
}

/// Judges what clients saw. If it is not well, the history is kept as `kept`, with a drawing beside it.
pub(super) fn judge(seen: &Seen, kept: &Path) -> Verdict {
    let Seen { history, torn, heard } = seen;
    let (verdict, drawing) = match (torn, check(&Registers, history, DEFAULT_MAX_STEPS)) {
        (Some(torn), _) => (Verdict::Violation(torn.clone()), None),
        (None, synod_check::Verdict::Ok) => match watchers::judge(heard, history) {
            Ok(()) => return Verdict::Ok,
            Err(told) => (Verdict::Violation(told), None),
        },
        (None, synod_check::Verdict::Illegal(found)) => {
            let told = found.explain(history).to_string();
            (Verdict::Violation(told), Some(draw(&found, history)))
        }
        (None, verdict @ synod_check::Verdict::Unknown { .. }) => {
            (Verdict::Undecided(verdict.to_string()), None)
        }
    };
    let saved = save(history, kept).and_then(|()| match drawing {
        Some(drawing) => std::fs::write(kept.with_extension("svg"), drawing),
        None => Ok(()),
    });
    let words = match saved {
        Ok(()) => format!("the history is in {}", kept.display()),
        Err(error) => format!("the history could not be kept in {}: {error}", kept.display()),
    };
    match verdict {
        Verdict::Violation(told) => Verdict::Violation(format!("{told}\n{words}")),
        Verdict::Undecided(told) => Verdict::Undecided(format!("{told}\n{words}")),
        Verdict::Ok | Verdict::Stalled(_) | Verdict::Died(_) => verdict,
    }
}

/// Writes a history where `synod check` can read it.
pub(super) fn save(history: &[Recorded], path: &Path) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let mut writer = file::Writer::new(BufWriter::new(File::create(path)?))?;
    for operation in history {
        writer.write(operation)?;
    }
    writer.finish().map(drop)
}

#[cfg(test)]
mod tests {
    use synod_check::Operation;
    use synod_check::registers::{Input, Output};

    use super::*;

    fn put(at: u64, value: &'static str) -> Recorded {
        let input = Input::Put { key: "k".into(), value: value.into() };
        Operation::returned(1, at..=at + 1, input, Output::Written { revision: Some(at) })
    }

    fn get(at: u64, value: &'static str, revision: u64) -> Recorded {
        let output = Output::Value { value: Some(value.into()), revision: Some(revision) };
        Operation::returned(2, at..=at + 1, Input::Get { key: "k".into() }, output)
    }

    #[test]
    fn an_acknowledged_write_that_is_lost_is_found_and_its_history_kept() {
        let dir = tempfile::tempdir().unwrap();
        let kept = dir.path().join("violations/round-7.jsonl");
        let sound = vec![put(10, "[1]"), put(20, "[2]"), get(30, "[2]", 20)];
        assert_eq!(judge(&Seen { history: sound.clone(), ..Seen::default() }, &kept), Verdict::Ok);
        assert!(!kept.exists());

        let lost = vec![put(10, "[1]"), put(20, "[2]"), get(30, "[1]", 10)];
        let verdict = judge(&Seen { history: lost.clone(), ..Seen::default() }, &kept);
        assert_eq!((verdict.word(), verdict.exit()), ("violation", Exit::Violation));
        let read = std::io::BufReader::new(File::open(&kept).unwrap());
        assert_eq!(file::read::<Input, Output>(read).unwrap(), lost);
        assert!(std::fs::read_to_string(kept.with_extension("svg")).unwrap().contains("<svg"));

        let torn = Some("a pair".to_owned());
        let verdict = judge(&Seen { history: sound, torn, ..Seen::default() }, &kept);
        assert_eq!(verdict.word(), "violation");
    }
}
