//! The decision log: every draw of a run, from which it can be replayed without drawing again.
//!
//! A seed alone rots: one more draw in the code shifts all later ones. The log keeps the draws of
//! each stream apart, as distances from the calmest result, so that a log with some of them set to
//! 0, or cut off, is the log of a calmer run: that is how a failure is shrunk.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use crate::dice::{Dice, Streams, mix};
use crate::plan::Chance;

const FORMAT: &str = "synod decisions, format 2";

/// The draws of one run, stream by stream.
///
/// As text: a line with the format's version, one with the run's configuration in the words of who
/// made it, one with the seed (engines draw from it), one with what it came to, and one per stream. There, `7x3` stands for
/// three draws of 7. Without any draws it is the log of the calmest run of its seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// What ran, in the words of who ran it; one line.
    pub config: String,
    /// The seed from which the engines' own chance comes.
    pub seed: u64,
    /// The [name](crate::Verdict::name) of what the run came to.
    pub ended: String,
    /// The draws of each stream, in the order of [`STREAMS`](Self::STREAMS).
    pub streams: [Vec<u64>; 6],
}

impl Decisions {
    /// How many draws are not the calmest: how much of a story there is to tell.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.streams.iter().flatten().filter(|draw| **draw != 0).count()
    }

    /// The names of the streams.
    pub const STREAMS: [&'static str; 6] =
        ["setup", "network", "disk", "process", "apps", "clients"];
}

impl Streams {
    /// The streams of a run, and the seed that counts.
    pub(crate) fn of(chance: &Chance, seed: u64) -> (Self, u64) {
        let stream = |number: usize| match chance {
            Chance::Drawn => Dice::new(mix(seed, number as u64)),
            Chance::Recorded => Dice::recording(mix(seed, number as u64)),
            Chance::Replayed(log) => Dice::replaying(log.streams[number].clone()),
        };
        let streams = Self {
            setup: stream(0),
            network: stream(1),
            disk: stream(2),
            process: stream(3),
            apps: stream(4),
            clients: stream(5),
        };
        let seed = match chance {
            Chance::Replayed(log) => log.seed,
            Chance::Drawn | Chance::Recorded => seed,
        };
        (streams, seed)
    }

    /// What was drawn, if it was recorded.
    pub(crate) fn decisions(&self, config: &str, seed: u64, ended: String) -> Option<Decisions> {
        let Self { setup, network, disk, process, apps, clients } = self;
        let [setup, network, disk, process, apps, clients] =
            [setup, network, disk, process, apps, clients].map(Dice::recorded);
        let streams = [setup?, network?, disk?, process?, apps?, clients?];
        let config = config.replace('\n', " ");
        Some(Decisions { config, seed, ended, streams: streams.map(<[u64]>::to_vec) })
    }
}

impl fmt::Display for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, seed, ended, .. } = self;
        writeln!(f, "{FORMAT}\nconfig {config}\nseed {seed}\nended {ended}")?;
        for (name, draws) in Self::STREAMS.iter().zip(&self.streams) {
            write!(f, "{name}")?;
            for run in draws.chunk_by(|a, b| a == b) {
                match run.len() {
                    1 => write!(f, " {}", run[0])?,
                    times => write!(f, " {}x{times}", run[0])?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl FromStr for Decisions {
    type Err = DecisionsError;

    fn from_str(text: &str) -> Result<Self, DecisionsError> {
        let mut lines = text.lines();
        let format = lines.next().unwrap_or_default();
        if format != FORMAT {
            return Err(DecisionsError::Format(format.to_owned()));
        }
        let mut line = |name: &'static str| {
            let line = lines.next().ok_or(DecisionsError::Missing(name))?;
            let rest = line.strip_prefix(name).ok_or(DecisionsError::Missing(name))?;
            Ok::<_, DecisionsError>(rest.trim())
        };
        let config = line("config")?.to_owned();
        let seed = number("seed", line("seed")?)?;
        let ended = line("ended")?.to_owned();
        let mut streams: [Vec<u64>; 6] = Default::default();
        for (name, draws) in Self::STREAMS.into_iter().zip(&mut streams) {
            for word in line(name)?.split_whitespace() {
                let (value, times) = word.split_once('x').unwrap_or((word, "1"));
                let times = number(name, times)?;
                if draws.len() as u64 + times > MAX_DRAWS {
                    return Err(DecisionsError::TooLong { stream: name });
                }
                draws.extend((0..times).map(|_| 0));
                let (value, from) = (number(name, value)?, draws.len() - times as usize);
                draws[from..].fill(value);
            }
        }
        Ok(Self { config, seed, ended, streams })
    }
}

/// More draws than any run makes.
const MAX_DRAWS: u64 = 1 << 30;

fn number(stream: &'static str, word: &str) -> Result<u64, DecisionsError> {
    word.parse().map_err(|source| DecisionsError::Number { stream, word: word.to_owned(), source })
}

/// Text that is not a decision log. Nothing was run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecisionsError {
    /// Another format, or none.
    #[error("the first line is {0:?}; this version reads {FORMAT:?}")]
    Format(String),
    /// A line is missing or out of place.
    #[error("the line {0:?} is missing or out of place")]
    Missing(&'static str),
    /// A number that is none.
    #[error("line {stream:?}: {word:?} is not a number")]
    Number {
        /// Which line.
        stream: &'static str,
        /// What stands there.
        word: String,
        /// Why it is no number.
        source: ParseIntError,
    },
    /// More draws than any run makes.
    #[error("line {stream:?} has more than {MAX_DRAWS} draws")]
    TooLong {
        /// Which line.
        stream: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_comes_back_from_its_text_and_damage_is_named() {
        let streams = [vec![1, 2, 2, 2], vec![], vec![u64::MAX], vec![0; 500], vec![3], vec![]];
        let (config, ended) = ("toy nodes=3".to_owned(), "safety: Leader Completeness".to_owned());
        let log = Decisions { config, seed: 7, ended, streams };
        let text = log.to_string();
        assert!(text.contains("\nsetup 1 2x3\n") && text.contains("\nprocess 0x500\n"));
        assert_eq!(text.parse(), Ok(log));
        for (good, bad) in [
            ("format 2", "format 9"),
            ("seed 7", "seed seven"),
            ("ended", "end"),
            ("network", "net"),
            ("0x500", "0x99999999999"),
            ("2x3", "2x"),
        ] {
            let damaged = text.replace(good, bad);
            assert!(damaged.parse::<Decisions>().is_err(), "{bad}");
        }
    }
}
