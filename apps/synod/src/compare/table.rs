//! A table, for Markdown and for programs.

use std::fmt;

use serde_json::{Map, Value};

/// A table of the comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What it shows.
    pub title: &'static str,
    /// The names of its columns.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this head, its columns as they are printed.
    pub(super) fn new(title: &'static str, head: &str) -> Self {
        let columns = head.split(" | ").map(str::to_owned).collect();
        Self { title, columns, rows: Vec::new() }
    }

    /// Its rows as objects.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let object = |row: &Vec<String>| {
            let cells = self.columns.iter().cloned().zip(row.iter().cloned().map(Value::String));
            Value::Object(cells.collect::<Map<_, _>>())
        };
        self.rows.iter().map(object).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} |", self.columns.join(" | "))?;
        writeln!(f, "{}|", "|---".repeat(self.columns.len()))?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}

/// So much of it each, with this many digits behind the point, and none that say nothing.
pub(super) fn per(sum: u64, count: u64, digits: usize) -> String {
    let text = format!("{:.digits$}", sum as f64 / count as f64);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// The value that so many percent of these, in their order, do not exceed.
pub(super) fn quantile<T: Copy>(sorted: &[T], percent: usize) -> T {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_the_same_for_people_and_for_programs() {
        let mut table = Table::new("Names", "node | name");
        table.rows.push(vec!["1".into(), "a".into()]);
        assert_eq!(table.to_string(), "| node | name |\n|---|---|\n| 1 | a |\n");
        assert_eq!(table.as_json().to_string(), r#"[{"name":"a","node":"1"}]"#);
    }

    #[test]
    fn no_digits_that_say_nothing() {
        assert_eq!([per(60, 10, 1), per(64, 10, 1), per(1200, 1, 0)], ["6", "6.4", "1200"]);
        assert_eq!([0, 50, 90, 100].map(|percent| quantile(&[1, 2, 3], percent)), [1, 2, 2, 3]);
    }
}
