//! Tables that people can read: aligned columns, no lines, numbers to the right.

use std::fmt;

/// What stands where there is nothing to tell.
pub const NONE: &str = "-";

/// Rows under a heading.
#[derive(Clone, Debug)]
pub struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    #[must_use]
    pub fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { heading: heading.map(str::to_uppercase).to_vec(), rows: Vec::new() }
    }

    /// One more row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) -> &mut Self {
        debug_assert_eq!(N, self.heading.len());
        self.rows.push(cells.to_vec());
        self
    }

    /// Whether nothing stands under the heading.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().chain([&self.heading]).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    }

    fn is_numeric(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().map(|row| row[column].as_str()).filter(|it| *it != NONE);
        cells.next().is_some_and(is_number) && cells.all(is_number)
    }
}

/// A number, perhaps with a unit; a date or a version is none.
fn is_number(cell: &str) -> bool {
    let mut words = cell.split(' ');
    words.next().is_some_and(|word| word.parse::<f64>().is_ok()) && words.count() <= 1
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.heading.len().saturating_sub(1);
        for row in [&self.heading].into_iter().chain(&self.rows) {
            for (column, cell) in row.iter().enumerate() {
                let width = self.width(column);
                match (self.is_numeric(column), column == last) {
                    (true, _) => write!(f, "{cell:>width$}")?,
                    (false, true) => write!(f, "{cell}")?,
                    (false, false) => write!(f, "{cell:<width$}")?,
                }
                f.write_str(if column == last { "\n" } else { "  " })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(["version", "size"]);
        table.row(["1.0.0".to_owned(), "9 MB".to_owned()]);
        table.row(["1.10.0".to_owned(), "10 MB".to_owned()]);
        assert_eq!(table.to_string(), "VERSION   SIZE\n1.0.0     9 MB\n1.10.0   10 MB\n");
        table.row([NONE.to_owned(), NONE.to_owned()]);
        assert!(table.to_string().ends_with("1.10.0   10 MB\n-            -\n"), "{table}");
    }
}
