//! What commands print: tables for people, one JSON value per line for programs.

use std::io::{IsTerminal, Write};

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

/// Writes a line. Whoever reads may have gone (`| head`); that is no failure of the command.
pub(crate) fn write_line(line: std::fmt::Arguments<'_>) {
    writeln!(anstream::stdout().lock(), "{line}").ok();
}

/// Writes bytes as they are, and ends the line; like [`write_line`] otherwise.
pub(crate) fn write_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.write_all(b"\n")).ok();
}

/// Writes bytes as they are and nothing else; like [`write_line`] otherwise.
pub(crate) fn write_raw(bytes: &[u8]) {
    std::io::stdout().lock().write_all(bytes).ok();
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
