//! Histories as lines of JSON, so that they outlive the program that recorded them.
//!
//! ```text
//! {"history":"synod","version":1}
//! {"client":1,"invoked":10,"input":{"put":{"key":"a","value":"1"}},"returned":{"at":20,"output":{"written":{"revision":7}}}}
//! {"client":2,"invoked":12,"input":{"cas":{"key":"a","expect":null,"value":{"hex":"ff00"}}}}
//! ```
//!
//! The first line says what this is. Each further line is one [`Operation`]: without `returned` its
//! fate is unknown. Bytes that are not text are written in hexadecimal. Lines stand in any order.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Operation;

/// The version written; the only one read.
pub const VERSION: u32 = 1;

/// Longest line in bytes.
pub const MAX_LINE_BYTES: u64 = 8 << 20;

const NAME: &str = "synod";

#[derive(Serialize, Deserialize)]
struct Header {
    history: String,
    version: u32,
}

/// Writes a history, one operation at a time.
pub struct Writer<W: Write>(W);

impl<W: Write> Writer<W> {
    /// Begins a history. Give it a buffered writer: each operation is one small write.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = Self(out);
        writer.line(&Header { history: NAME.into(), version: VERSION })?;
        Ok(writer)
    }

    /// Adds an operation.
    ///
    /// # Errors
    /// Those of the writer beneath; the file may then end in the middle of a line.
    pub fn write<I: Serialize, O: Serialize>(
        &mut self,
        operation: &Operation<I, O>,
    ) -> io::Result<()> {
        self.line(operation)
    }

    /// Flushes, and gives the writer beneath back.
    ///
    /// # Errors
    /// Those of the writer beneath.
    pub fn finish(mut self) -> io::Result<W> {
        self.0.flush()?;
        Ok(self.0)
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, value)?;
        self.0.write_all(b"\n")
    }
}

/// Reads a whole history.
///
/// # Errors
/// [`ReadError`], with the number of the line.
pub fn read<I: DeserializeOwned, O: DeserializeOwned>(
    mut from: impl BufRead,
) -> Result<Vec<Operation<I, O>>, ReadError> {
    let mut line = Vec::new();
    let header = next_line(&mut from, &mut line, 1)?.then(|| parse::<Header>(&line, 1));
    let header = header.ok_or_else(|| ReadError::at(1, "it is empty"))??;
    if (header.history.as_str(), header.version) != (NAME, VERSION) {
        let why = format!(
            "a {} history of version {}; this reads {NAME} histories of version {VERSION}",
            header.history, header.version
        );
        return Err(ReadError::at(1, why));
    }
    let mut history = Vec::new();
    for number in 2.. {
        if !next_line(&mut from, &mut line, number)? {
            break;
        }
        let operation: Operation<I, O> = parse(&line, number)?;
        if operation.returned.as_ref().is_some_and(|returned| returned.at < operation.invoked) {
            return Err(ReadError::at(number, "it returns before it is invoked"));
        }
        history.push(operation);
    }
    Ok(history)
}

/// Reads the next line, of bounded length; whether there was one.
pub(crate) fn next_line(
    from: &mut impl BufRead,
    line: &mut Vec<u8>,
    number: u64,
) -> Result<bool, ReadError> {
    line.clear();
    let read = from.by_ref().take(MAX_LINE_BYTES + 1).read_until(b'\n', line);
    let length = read.map_err(|error| ReadError::at(number, error))?;
    if length as u64 > MAX_LINE_BYTES {
        return Err(ReadError::at(number, format!("longer than {MAX_LINE_BYTES} bytes")));
    }
    Ok(length > 0)
}

fn parse<T: DeserializeOwned>(line: &[u8], number: u64) -> Result<T, ReadError> {
    serde_json::from_slice(line).map_err(|error| ReadError::at(number, error))
}

/// A file that is not, or not wholly, a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadError {
    /// The line, from 1 on.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

impl ReadError {
    pub(crate) fn at(line: u64, why: impl fmt::Display) -> Self {
        Self { line, why: why.to_string() }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the history: {}", self.line, self.why)
    }
}

impl std::error::Error for ReadError {}
