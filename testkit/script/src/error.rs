//! Why a script failed.

use std::path::PathBuf;

use synod_engine::Violation;

/// A script that failed. Unless told to rewrite, nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line that is no command, or one that makes no sense where it stands.
    #[error("{path}:{line}: {what}")]
    Command {
        /// Which file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// An expectation or an invariant does not hold.
    #[error("{path}:{line}: {what}")]
    Broken {
        /// Which file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
        /// What does not hold.
        what: String,
    },
    /// The commands did something else than the file says.
    #[error(
        "{path}:{line}: another outcome than written there; SYNOD_REWRITE=1 writes this one:\n{diff}"
    )]
    Differs {
        /// Which file.
        path: PathBuf,
        /// The first line that differs, counted from 1.
        line: usize,
        /// The block's lines that are gone (`-`) and new (`+`).
        diff: String,
    },
}

/// What a command came to, before file and line are known.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The command makes no sense here.
    Senseless(String),
    /// Something does not hold that must.
    Broken(String),
}

impl From<Violation> for Trouble {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation.to_string())
    }
}

impl Trouble {
    /// The same trouble, with what the commands before it in its block did.
    pub(crate) fn after(self, said: &[String]) -> Self {
        match self {
            Self::Broken(what) if !said.is_empty() => {
                Self::Broken(format!("{what}\nbefore that:\n{}", said.join("\n")))
            }
            trouble => trouble,
        }
    }

    pub(crate) fn at(self, path: PathBuf, line: usize) -> ScriptError {
        match self {
            Self::Senseless(what) => ScriptError::Command { path, line, what },
            Self::Broken(what) => ScriptError::Broken { path, line, what },
        }
    }
}
