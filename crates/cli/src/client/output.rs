//! What goes to the terminal: results on standard output, progress and errors on standard error.
#![expect(
    clippy::print_stdout,
    reason = "a command's result belongs on standard output"
)]
#![expect(
    clippy::print_stderr,
    reason = "progress and errors belong on standard error"
)]

use serde_json::{Value, json};

use super::http::ApiError;

/// How a command speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// The result: `value` as JSON, or `text` for people.
    pub(crate) fn result(self, value: &Value, text: &str) {
        if self.json {
            println!("{value}");
        } else if !text.is_empty() {
            println!("{text}");
        }
    }

    /// A list: one JSON array, or a table with a heading.
    pub(crate) fn table(self, rows: &[Value], columns: &[(&str, &str)], empty: &str) {
        if self.json {
            println!("{}", Value::from(rows.to_vec()));
        } else if rows.is_empty() {
            println!("{empty}");
        } else {
            println!("{}", table(rows, columns));
        }
    }

    /// One line of a log: a JSON object per line, or its text, with the component's name in front if it is to be told.
    pub(crate) fn log_line(self, line: &Value, component: Option<&str>) {
        if self.json {
            println!("{line}");
        } else {
            println!("{}", log_text(line, component));
        }
    }

    /// What is going on, for people who wait. Nothing in JSON mode.
    pub(crate) fn progress(self, text: &str) {
        if !self.json {
            eprintln!("{}", plain(text));
        }
    }

    /// Why it did not work.
    pub(crate) fn error(self, error: &anyhow::Error) {
        if self.json {
            let problem = error.downcast_ref::<ApiError>().and_then(ApiError::problem);
            let value = problem
                .cloned()
                .unwrap_or_else(|| json!({ "error": format!("{error:#}") }));
            eprintln!("{value}");
        } else {
            eprintln!("error: {error:#}");
        }
    }
}

/// A line of a log for people. What the platform itself says about a request names it, as its answer did.
fn log_text(line: &Value, component: Option<&str>) -> String {
    let mut text = component.map_or_else(String::new, |component| format!("[{component}] "));
    text.push_str(line["text"].as_str().unwrap_or_default());
    if let ("system", Some(id)) = (
        line["stream"].as_str().unwrap_or_default(),
        line["request_id"].as_str(),
    ) {
        text.push_str(&format!(" (request {id})"));
    }
    plain(&text)
}

/// Text without control characters: a log line must not be able to drive the terminal.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || *c == '\t')
        .collect()
}

fn table(rows: &[Value], columns: &[(&str, &str)]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            columns
                .iter()
                .map(|(_, field)| cell(&row[*field]))
                .collect()
        })
        .collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, (heading, _))| {
            cells
                .iter()
                .map(|row| row[at].chars().count())
                .chain([heading.len()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let heading: Vec<String> = columns
        .iter()
        .map(|(heading, _)| (*heading).to_owned())
        .collect();
    std::iter::once(&heading)
        .chain(&cells)
        .map(|row| {
            let padded: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(text, width)| format!("{text:width$}"))
                .collect();
            padded.join("  ").trim_end().to_owned()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_and_shows_missing_values_as_a_dash() {
        let rows = [json!({ "a": "long value", "b": 1 }), json!({ "a": "x" })];
        assert_eq!(
            table(&rows, &[("A", "a"), ("B", "b")]),
            "A           B\nlong value  1\nx           -"
        );
    }

    #[test]
    fn a_line_of_a_log_names_its_component_and_what_failed_its_request() {
        let printed = json!({ "stream": "stdout", "text": "hello", "request_id": "r-1" });
        assert_eq!(log_text(&printed, None), "hello");
        assert_eq!(log_text(&printed, Some("front")), "[front] hello");
        let failed = json!({ "stream": "system", "text": "it trapped", "request_id": "r-1" });
        assert_eq!(log_text(&failed, None), "it trapped (request r-1)");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\tc\r\n"), "a[31mb\tc");
    }
}
