//! What commands print: tables for people, one JSON value per line for programs.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{Attribute, Cell, Table, presets};
use serde_json::{Value, json};

/// A table with these headings; framed only for people.
pub(crate) fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    if std::io::stdout().is_terminal() {
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    } else {
        table.load_style(presets::NOTHING);
    }
    table.set_header(
        headings.iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)),
    );
    table
}

/// Prints a line for people; colours only on a terminal.
macro_rules! say {
    ($($words:tt)*) => { $crate::output::write_line(format_args!($($words)*)) };
}
pub(crate) use say;

/// Prints one JSON value.
pub(crate) fn tell(value: &Value) {
    write_line(format_args!("{value}"));
}

/// Whether something that was to be told could not be written.
static IS_LOST: AtomicBool = AtomicBool::new(false);

/// Whether output was lost, to a full device for one.
pub(crate) fn is_lost() -> bool {
    let flushed = std::io::stdout().lock().flush();
    written(flushed);
    IS_LOST.load(Ordering::Relaxed)
}

/// Whoever reads may have gone (`| head`); that is no failure of the command. Whatever else is, is told in
/// the end: what a command did, it did.
fn written(result: std::io::Result<()>) {
    if result.is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe) {
        IS_LOST.store(true, Ordering::Relaxed);
    }
}

/// Writes a line.
pub(crate) fn write_line(line: std::fmt::Arguments<'_>) {
    written(writeln!(anstream::stdout().lock(), "{line}"));
}

/// Writes bytes as they are, and ends the line.
pub(crate) fn write_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.write_all(b"\n")));
}

/// Writes bytes as they are and nothing else.
pub(crate) fn write_raw(bytes: &[u8]) {
    written(std::io::stdout().lock().write_all(bytes));
}

/// Bytes as JSON: text where they are text, else an object with their hexadecimal digits.
pub(crate) fn bytes_as_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_told_in_hexadecimal() {
        assert_eq!(bytes_as_json(b"plain"), json!("plain"));
        assert_eq!(bytes_as_json(&[0xff, 0x01]), json!({ "hex": "ff01" }));
    }
}
