//! The one table that comes out: figures, and goals as ratios between figures of this run.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::Fault;
use super::machine::Facts;

/// A goal about a ratio.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Goal {
    fn is_met_by(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
        }
    }

    const fn sign(self) -> (char, f64) {
        match self {
            Self::AtLeast(least) => ('≥', least),
            Self::AtMost(most) => ('≤', most),
        }
    }
}

enum Verdict {
    Figure,
    Judged { goal: Goal, of: &'static str, ratio: f64 },
    Skipped,
}

struct Row {
    id: &'static str,
    what: String,
    figure: String,
    verdict: Verdict,
}

/// What was measured so far.
pub struct Report {
    facts: Facts,
    rows: Vec<Row>,
}

impl Report {
    /// An empty one, about this machine.
    pub const fn new(facts: Facts) -> Self {
        Self { facts, rows: Vec::new() }
    }

    /// A figure without a goal.
    pub fn figure(&mut self, id: &'static str, what: impl Into<String>, figure: impl Into<String>) {
        self.rows.push(Row { id, what: what.into(), figure: figure.into(), verdict: Verdict::Figure });
    }

    /// A figure with a goal about `ratio`; `of` says what it is a ratio of, or the unit of a plain limit.
    pub fn goal(
        &mut self,
        id: &'static str,
        what: impl Into<String>,
        figure: impl Into<String>,
        (goal, of): (Goal, &'static str),
        ratio: f64,
    ) {
        let verdict = Verdict::Judged { goal, of, ratio };
        self.rows.push(Row { id, what: what.into(), figure: figure.into(), verdict });
    }

    /// Something that could not be measured, and why.
    pub fn skip(&mut self, id: &'static str, what: impl Into<String>, why: impl Into<String>) {
        self.rows.push(Row { id, what: what.into(), figure: why.into(), verdict: Verdict::Skipped });
    }

    /// The facts and the table, as Markdown.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header(["id", "what", "figure", "goal", "ratio", "met"]);
        for row in &self.rows {
            let (goal, ratio, met) = row.verdict.words();
            table.add_row([row.id.to_owned(), row.what.clone(), row.figure.clone(), goal, ratio, met.to_owned()]);
        }
        if let Some(column) = table.column_mut(4) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!("{}\n\n{table}\n\n{}", self.facts, self.summary())
    }

    /// The same as a JSON document.
    ///
    /// # Errors
    /// When a figure is no number that JSON has.
    pub fn json(&self) -> Result<String, Fault> {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        Ok(serde_json::to_string_pretty(&json!({ "machine": self.facts.json(), "measurements": rows }))?)
    }

    fn summary(&self) -> String {
        let judged = self.rows.iter().filter_map(|row| match row.verdict {
            Verdict::Judged { goal, ratio, .. } => Some(goal.is_met_by(ratio)),
            Verdict::Figure | Verdict::Skipped => None,
        });
        let (met, missed): (Vec<_>, Vec<_>) = judged.partition(|met| *met);
        format!("{} goals met, {} missed", met.len(), missed.len())
    }
}

impl Row {
    fn json(&self) -> Value {
        let (id, what, figure) = (self.id, &self.what, &self.figure);
        match self.verdict {
            Verdict::Figure => json!({ "id": id, "what": what, "figure": figure }),
            Verdict::Skipped => json!({ "id": id, "what": what, "skipped": figure }),
            Verdict::Judged { goal, ratio, .. } => {
                let (text, _, _) = self.verdict.words();
                json!({
                    "id": id, "what": what, "figure": figure, "goal": text, "ratio": ratio, "met": goal.is_met_by(ratio),
                })
            }
        }
    }
}

impl Verdict {
    fn words(&self) -> (String, String, &'static str) {
        match *self {
            Self::Figure => (String::new(), String::new(), ""),
            Self::Skipped => (String::new(), String::new(), "skipped"),
            Self::Judged { goal, of, ratio } => {
                let (sign, limit) = goal.sign();
                let met = if goal.is_met_by(ratio) { "met" } else { "missed" };
                (format!("{sign} {limit} {of}").trim_end().to_owned(), format!("{ratio:.2}"), met)
            }
        }
    }
}
