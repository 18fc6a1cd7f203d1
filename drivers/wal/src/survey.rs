//! Where in a log it stands what may be lost, and what may not: for those who break logs on purpose, to see
//! that a start tells the one from the other.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::Log;
use crate::disk::Directory;
use crate::error::OpenError;
use crate::format::{BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::recovery::examine;
use crate::scan::{Image, read_whole};
use crate::segment::name;

/// The segment in which a log ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Survey {
    /// The file.
    pub file: PathBuf,
    /// The bytes of each batch in it that a later mark proves to have been synced: with any of their bits
    /// changed, the log must be refused.
    pub proven: Vec<Range<u64>>,
    /// Behind the last batch: whatever is written from here on must be cut by the next start.
    pub end: u64,
}

impl Log {
    /// Looks where the log in the directory `path`, which nobody may write meanwhile, ends; `None` if there
    /// is none. Changes nothing.
    ///
    /// # Errors
    /// [`OpenError`], as [`open`](Self::open).
    pub fn survey(path: &Path) -> Result<Option<Survey>, OpenError> {
        let failed = |doing, file: PathBuf| move |error| OpenError::Io { doing, file, error };
        let disk = match Directory::existing(path) {
            Ok(disk) => disk,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", path.to_owned())(error)),
        };
        let Some(found) = examine(&disk)? else { return Ok(None) };
        let file = path.join(name(found.current.sequence));
        let bytes = read_whole(&*found.current.file, found.current.size_bytes)
            .map_err(failed("read", file.clone()))?;
        let image = Image { bytes: &bytes, log: found.log, sequence: found.current.sequence };
        let (mut proven, mut offset) = (Vec::new(), SEGMENT_HEADER_BYTES);
        while offset < found.chain.unproven_from
            && let Some((header, _)) = image.header_at(offset)
        {
            let written = BATCH_HEADER_BYTES as u64 + u64::from(header.length);
            proven.push(offset..offset + written);
            offset += header.extent();
        }
        Ok(Some(Survey { file, proven, end: found.chain.end.offset }))
    }
}
