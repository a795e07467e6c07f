//! The figures: collected as they are measured, shown as Markdown or JSON.

use serde_json::{Value, json};

use crate::load::Measured;

/// All figures of one run.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    what: String,
    figures: Vec<(&'static str, f64, &'static str)>,
}

impl Table {
    /// Adds a line of figures: name, value, unit.
    pub(crate) fn add(&mut self, what: &str, figures: &[(&'static str, f64, &'static str)]) {
        self.rows.push(Row {
            what: what.to_owned(),
            figures: figures.to_vec(),
        });
    }

    /// Adds a load figure.
    pub(crate) fn add_load(&mut self, what: &str, measured: &Measured) {
        let millis = |percent| f64::from(measured.percentile(percent)) / 1000.0;
        self.add(
            what,
            &[
                ("rate", measured.per_second, "requests/s"),
                ("p50", millis(50.0), "ms"),
                ("p99", millis(99.0), "ms"),
                ("p99.9", millis(99.9), "ms"),
            ],
        );
    }

    /// As a Markdown table.
    pub(crate) fn markdown(&self) -> String {
        let mut text = "| what | figures |\n|---|---|\n".to_owned();
        for row in &self.rows {
            let figures: Vec<String> = row
                .figures
                .iter()
                .map(|(name, value, unit)| format!("{name} {} {unit}", rounded(*value)))
                .collect();
            text.push_str(&format!("| {} | {} |\n", row.what, figures.join(" · ")));
        }
        text
    }

    /// As the page `docs/benchmarks.md`.
    pub(crate) fn document(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        format!(
            "# Benchmarks\n\nMade by `cargo xtask bench --markdown docs/benchmarks.md` on {cores} cores, load generator \
             included. Figures are for comparing within one run; another machine gives others.\n\n{}\n\
             - *fresh*: an instance per request, as tenants' applications run. *reused*: an instance serves up to \
             1,000 requests in turn, as the platform's own components run.\n\
             - *first request*: the first one a deployed application gets, which maps its compiled module.\n\
             - *restart to answering*: from starting the process to the first `200` of `GET /health`.\n\
             - *resident memory*: `VmRSS` of each process after one login, nothing else going on.\n",
            self.markdown()
        )
    }

    /// As JSON.
    pub(crate) fn json(&self) -> String {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let figures: Vec<Value> = row
                    .figures
                    .iter()
                    .map(
                        |(name, value, unit)| json!({ "name": name, "value": value, "unit": unit }),
                    )
                    .collect();
                json!({ "what": row.what, "figures": figures })
            })
            .collect();
        format!("{:#}\n", Value::from(rows))
    }
}

fn rounded(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
