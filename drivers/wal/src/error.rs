//! What can go wrong, and what it means for the log.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a log was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A bound cannot hold. Nothing was touched.
    #[error("the log's options contradict each other: {0}; nothing was changed")]
    Options(String),
    /// Bytes that had been synced are gone or changed, or files are missing. Nothing was changed.
    /// This node has lost what it promised: it must come back under a new incarnation.
    #[error(
        "{file} is damaged at offset {offset}: {why}; nothing was changed; restore the file, or \
         repair the node so that it joins anew", file = file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// Written by another version. Nothing was changed.
    #[error(
        "{file} has format {found}; this version reads format {known}; nothing was changed; start \
         the version that wrote it", file = file.display(), known = crate::format::FORMAT
    )]
    Version {
        /// The file.
        file: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The system refused. What was durable still is.
    #[error("cannot {doing} {file}: {error}; no durable record was lost", file = file.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        file: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
}

/// Why a batch is not durable.
#[derive(Debug, Error)]
pub enum SyncError {
    /// There is no room, and none can be made. The records that are left in the batch were not
    /// written; those that are not were synced. Sync again when there is space.
    #[error(
        "the log is full ({0}); what is left in the batch was not written; free space and sync again"
    )]
    Full(io::Error),
    /// The system refused. Which records of the batch are durable is unknown; the log takes no more.
    /// Stop the node; a new start finds out.
    #[error("cannot {doing}: {error}; the log takes no more records until it is opened again")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// Records that were to be copied forward can no longer be read. The log takes no more.
    #[error("{file} is damaged at offset {offset}: {why}; the log takes no more records", file = file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// An earlier call failed; the log takes no more records until it is opened again.
    #[error("an earlier sync failed; the log takes no more records until it is opened again")]
    Poisoned,
}
