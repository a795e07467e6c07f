//! The figures: collected as they are measured, shown as Markdown or JSON.

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use crate::load::{Measured, Round};

const BEGIN: &str = "<!-- begin: made by `cargo xtask bench` -->";
const END: &str = "<!-- end: made by `cargo xtask bench` -->";

/// All figures of one run.
#[derive(Default)]
pub(crate) struct Report {
    sections: Vec<Section>,
    notes: Vec<String>,
}

/// One table.
pub(crate) struct Section {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Cell>)>,
}

enum Cell {
    Number(f64),
    Text(String),
    Missing,
}

impl Cell {
    fn of(figure: Option<f64>) -> Self {
        figure
            .filter(|figure| figure.is_finite())
            .map_or(Self::Missing, Self::Number)
    }
}

impl Report {
    /// Something to know about the figures.
    pub(crate) fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    /// Begins a table of load figures with further columns.
    pub(crate) fn loads(&mut self, title: &str, more: &[&str]) -> &mut Section {
        let columns = [
            "connections",
            "requests/s",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "slowest ms",
            "server CPU µs",
            "generator CPU µs",
        ];
        let all = columns.iter().chain(more);
        self.section(title, all.map(|column| (*column).to_owned()))
    }

    /// The table of this title, begun when it is not there.
    pub(crate) fn loads_again(&mut self, title: &str, more: &[&str]) -> &mut Section {
        match self
            .sections
            .iter()
            .position(|section| section.title == title)
        {
            Some(at) => &mut self.sections[at],
            None => self.loads(title, more),
        }
    }

    /// Begins a table of single figures.
    pub(crate) fn figures(&mut self, title: &str) -> &mut Section {
        self.section(title, ["figures".to_owned()].into_iter())
    }

    fn section(&mut self, title: &str, columns: impl Iterator<Item = String>) -> &mut Section {
        self.sections.push(Section {
            title: title.to_owned(),
            columns: columns.collect(),
            rows: Vec::new(),
        });
        self.sections.last_mut().expect("one was just added")
    }

    /// As Markdown tables.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for section in &self.sections {
            text.push_str(&section.markdown());
        }
        for note in &self.notes {
            text.push_str(&format!("- {note}\n"));
        }
        text
    }

    /// The page with these tables between its markers; the rest of it was written by hand.
    pub(crate) fn placed_in(&self, page: &str) -> anyhow::Result<String> {
        let missing = || format!("the page has no lines {BEGIN:?} and {END:?}");
        let (before, rest) = page.split_once(BEGIN).with_context(missing)?;
        let (_, after) = rest.split_once(END).with_context(missing)?;
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Ok(format!(
            "{before}{BEGIN}\n\nOn {cores} cores, load generators included.\n\n{}\n{END}{after}",
            self.markdown()
        ))
    }

    /// As JSON: by section and row the figures by column.
    pub(crate) fn json(&self) -> String {
        let sections: Vec<Value> = self.sections.iter().map(Section::json).collect();
        let report = json!({ "sections": sections, "notes": self.notes });
        format!("{report:#}\n")
    }
}

impl Section {
    /// Adds a line of load figures, and the further columns'.
    pub(crate) fn add(
        &mut self,
        what: &str,
        connections: usize,
        measured: &Measured,
        more: &[Option<f64>],
    ) {
        let median = |figure: fn(&Round) -> f64| Cell::of(Some(measured.median(figure)));
        let mut cells = vec![
            Cell::Text(connections.to_string()),
            median(Round::rate),
            median(|round| round.outcome.p50_ms),
            median(|round| round.outcome.p99_ms),
            median(|round| round.outcome.p999_ms),
            median(|round| round.outcome.slowest_ms),
            median(Round::server_micros),
            median(Round::generator_micros),
        ];
        cells.extend(more.iter().copied().map(Cell::of));
        self.rows.push((what.to_owned(), cells));
    }

    /// Adds a line of single figures: name, value, unit.
    pub(crate) fn say(&mut self, what: &str, figures: &[(&str, f64, &str)]) {
        let words: Vec<String> = figures
            .iter()
            .map(|(name, value, unit)| format!("{name} {} {unit}", rounded(*value)))
            .collect();
        self.rows
            .push((what.to_owned(), vec![Cell::Text(words.join(" · "))]));
    }

    fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n| what |", self.title);
        for column in &self.columns {
            text.push_str(&format!(" {column} |"));
        }
        text.push_str("\n|---|");
        text.push_str(&"---|".repeat(self.columns.len()));
        for (what, cells) in &self.rows {
            text.push_str(&format!("\n| {what} |"));
            for cell in cells {
                let shown = match cell {
                    Cell::Number(value) => rounded(*value),
                    Cell::Text(words) => words.clone(),
                    Cell::Missing => String::new(),
                };
                text.push_str(&format!(" {shown} |"));
            }
        }
        text.push_str("\n\n");
        text
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|(what, cells)| {
                let mut figures = Map::new();
                figures.insert("what".to_owned(), what.clone().into());
                for (column, cell) in self.columns.iter().zip(cells) {
                    let value = match cell {
                        Cell::Number(value) => (*value).into(),
                        Cell::Text(words) => words.clone().into(),
                        Cell::Missing => Value::Null,
                    };
                    figures.insert(column.clone(), value);
                }
                Value::Object(figures)
            })
            .collect();
        json!({ "title": self.title, "rows": rows })
    }
}

fn rounded(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_put_between_the_markers_and_what_is_around_them_stays() {
        let mut report = Report::default();
        report
            .figures("Start")
            .say("restart", &[("median", 1.0, "ms")]);
        let page = format!("# By hand\n{BEGIN}\nold\n{END}\n## Findings\n");
        let placed = report.placed_in(&page).unwrap();
        assert!(placed.starts_with("# By hand\n") && placed.ends_with("## Findings\n"));
        assert!(placed.contains("| restart | median 1.00 ms |") && !placed.contains("old"));
        assert_eq!(report.placed_in(&placed).unwrap(), placed);
        assert!(report.placed_in("# No markers\n").is_err());
    }
}
