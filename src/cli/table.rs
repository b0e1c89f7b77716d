//! Lists: a table for people, tab-separated lines for programs. Both are the same data.

use comfy_table::{ContentArrangement, Table as Grid, presets};

use super::text::{escape_field, escape_untrusted, wrapped};

/// One cell, in the words of a person and in those of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    human: String,
    plain: String,
}

impl Cell {
    /// Different words for the two: `2m ago` and the time itself.
    pub fn two(human: impl Into<String>, plain: impl Into<String>) -> Self {
        Self { human: human.into(), plain: plain.into() }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        let text = text.into();
        Self { human: text.clone(), plain: text }
    }
}

/// Rows under a header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    empty: &'static str,
}

impl Table {
    /// A table without rows; `empty` is what a person reads when there are none.
    pub fn new<const N: usize>(header: [&'static str; N], empty: &'static str) -> Self {
        Self { header: header.into(), rows: Vec::new(), empty }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        self.rows.push(cells.into());
    }

    /// Columns that fit the width, wrapped inside their cells when they must be.
    pub fn for_people(&self, width: Option<u16>, strong: impl Fn(&str) -> String) -> String {
        if self.rows.is_empty() {
            return format!("{}\n", self.empty);
        }
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        match width {
            Some(width) => grid.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => grid.set_content_arrangement(ContentArrangement::Disabled),
        };
        grid.set_header(self.header.clone());
        for row in &self.rows {
            grid.add_row(row.iter().map(|cell| escape_untrusted(&cell.human)).collect::<Vec<_>>());
        }
        let mut out = String::new();
        for (place, line) in grid.lines().enumerate() {
            let line = line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned();
            out.push_str(&if place == 0 { strong(&line) } else { line });
            out.push('\n');
        }
        out
    }

    /// Rows for a person as they come one by one, without columns that would need all of them.
    pub fn one_line(&self) -> String {
        let line = |row: &Vec<Cell>| {
            let cells = row.iter().map(|cell| escape_untrusted(&cell.human)).filter(|cell| !cell.is_empty());
            cells.collect::<Vec<_>>().join("  ")
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// One line a row, cells apart by tabs, nothing cut, no header.
    pub fn for_programs(&self) -> String {
        let line = |row: &Vec<Cell>| row.iter().map(|cell| escape_field(&cell.plain)).collect::<Vec<_>>().join("\t");
        self.rows.iter().map(|row| line(row) + "\n").collect()
    }
}

/// Names and values under one another, for one thing.
pub fn facts(pairs: &[(&str, String)]) -> String {
    let widest = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    pairs.iter().map(|(name, value)| format!("{name:widest$}  {value}\n")).collect()
}

/// The same, with sentences in lines that fit the terminal.
pub fn facts_within(width: Option<u16>, pairs: &[(&str, String)]) -> String {
    let widest = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let pairs: Vec<(&str, String)> =
        pairs.iter().map(|(name, value)| (*name, wrapped(value, width, widest + 2))).collect();
    facts(&pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(["NAME", "SINCE"], "nothing");
        table.row(["a\tb\u{1b}[31m".into(), Cell::two("2m ago", "2026-11-23T11:58:00Z")]);
        table.row(["longer name".into(), "now".into()]);
        table
    }

    #[test]
    fn people_get_columns_and_nothing_dangerous() {
        assert_eq!(
            sample().for_people(None, str::to_owned),
            "NAME            SINCE\na\\tb\\u{1b}[31m  2m ago\nlonger name     now\n"
        );
        assert_eq!(Table::new(["X"], "nothing waits").for_people(Some(80), str::to_owned), "nothing waits\n");
    }

    #[test]
    fn facts_fit_the_width_under_their_names() {
        let pairs = [("note", "one two three four five six seven eight nine".to_owned()), ("a", "b".to_owned())];
        assert_eq!(
            facts_within(Some(40), &pairs),
            "note  one two three four five six seven\n      eight nine\na     b\n"
        );
        assert_eq!(facts_within(None, &pairs), facts(&pairs));
    }

    #[test]
    fn programs_get_whole_fields() {
        assert_eq!(sample().for_programs(), "a\\tb\\u{1b}[31m\t2026-11-23T11:58:00Z\nlonger name\tnow\n");
        assert_eq!(Table::new(["X"], "nothing").for_programs(), "");
    }
}
