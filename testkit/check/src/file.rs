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
#[serde(deny_unknown_fields)]
struct Header {
    history: String,
    version: u32,
    /// What the operations are; those of a key-value store if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
}

/// Writes a history, one operation at a time.
pub struct Writer<W: Write>(W);

impl<W: Write> Writer<W> {
    /// Begins a history. Give it a buffered writer: each operation is one small write.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W) -> io::Result<Self> {
        Self::with_header(out, None)
    }

    /// The same, of another model.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn of_model(out: W, model: &str) -> io::Result<Self> {
        Self::with_header(out, Some(model.into()))
    }

    fn with_header(out: W, model: Option<String>) -> io::Result<Self> {
        let mut writer = Self(out);
        writer.line(&Header { history: NAME.into(), version: VERSION, model })?;
        Ok(writer)
    }

    /// Adds an operation, or whatever else a line of such a history is.
    ///
    /// # Errors
    /// Those of the writer beneath; the file may then end in the middle of a line.
    pub fn write(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.line(line)
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

/// Reads a whole history of operations.
///
/// # Errors
/// [`ReadError`], with the number of the line.
pub fn read<I: DeserializeOwned, O: DeserializeOwned>(
    from: impl BufRead,
) -> Result<Vec<Operation<I, O>>, ReadError> {
    Reader::new(from)?.operations_of(|_| Ok(()))
}

/// A history of which the first line has been read.
pub struct Reader<R> {
    from: R,
    model: Option<String>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// [`ReadError`] if it does not begin a history.
    pub fn new(mut from: R) -> Result<Self, ReadError> {
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
        Ok(Self { from, model: header.model })
    }

    /// What the first line calls the model, if it does.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Reads all operations, each of which must pass.
    ///
    /// # Errors
    /// [`ReadError`], with the number of the line.
    pub fn operations_of<I, O>(
        self,
        pass: impl Fn(&Operation<I, O>) -> Result<(), String>,
    ) -> Result<Vec<Operation<I, O>>, ReadError>
    where
        I: DeserializeOwned,
        O: DeserializeOwned,
    {
        self.lines(|operation: &Operation<I, O>| {
            let end = operation.returned.as_ref();
            if end.is_some_and(|returned| returned.at < operation.invoked) {
                return Err("it returns before it is invoked".into());
            }
            pass(operation)
        })
    }

    /// Reads all lines, each of which must pass.
    ///
    /// # Errors
    /// [`ReadError`], with the number of the line.
    pub fn lines<T: DeserializeOwned>(
        mut self,
        pass: impl Fn(&T) -> Result<(), String>,
    ) -> Result<Vec<T>, ReadError> {
        let mut lines = Vec::new();
        let mut line = Vec::new();
        for number in 2.. {
            if !next_line(&mut self.from, &mut line, number)? {
                break;
            }
            let parsed = parse(&line, number)?;
            pass(&parsed).map_err(|why| ReadError::at(number, why))?;
            lines.push(parsed);
        }
        Ok(lines)
    }
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
