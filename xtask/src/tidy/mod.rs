//! `cargo xtask tidy`: the house rules that neither the compiler nor clippy knows.
//!
//! A rule reads files and returns faults; it changes nothing and asks nobody. All faults are shown at once, each with
//! its place and what to do.

mod arrows;
mod documents;
mod interfaces;
mod places;
mod released;
mod source;
mod sql;
mod unused;
mod words;

use std::fmt;
use std::fs;

use anyhow::{Context, bail};

use crate::layout::Layout;
use crate::process;
use crate::report::step;

/// A file of the checkout that is text.
#[derive(Debug, Clone)]
struct TextFile {
    /// Relative to the checkout, with slashes.
    path: String,
    text: String,
}

/// A broken rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    path: String,
    /// From 1; 0 means the whole file.
    line: usize,
    message: String,
}

/// Reads the checkout and lists what breaks a rule.
pub(crate) fn run(layout: &Layout) -> anyhow::Result<()> {
    step("tidy");
    let files = read_files(layout)?;
    let mut faults: Vec<Fault> = [
        arrows::check,
        documents::check,
        interfaces::check,
        places::check,
        released::check,
        source::check,
        sql::check,
        unused::check,
        words::check,
    ]
    .iter()
    .flat_map(|rule| rule(&files))
    .collect();
    faults.sort();
    for fault in &faults {
        println!("  {fault}");
    }
    match faults.len() {
        0 => Ok(()),
        1 => bail!("tidy found a fault"),
        count => bail!("tidy found {count} faults"),
    }
}

/// What Git tracks or would track: neither build results nor ignored files.
fn read_files(layout: &Layout) -> anyhow::Result<Vec<TextFile>> {
    let list = process::read(process::command("git").current_dir(&layout.root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))
    .context("listing the files of the checkout")?;
    let mut files = vec![];
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        // Deleted but still tracked, or not text: nothing to read.
        if let Ok(text) = fs::read_to_string(layout.root.join(path)) {
            files.push(TextFile {
                path: path.to_owned(),
                text,
            });
        }
    }
    Ok(files)
}

impl TextFile {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Lines with their numbers.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    fn fault(&self, line: usize, message: impl Into<String>) -> Fault {
        Fault {
            path: self.path.clone(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path, self.message),
            line => write!(formatter, "{}:{line}: {}", self.path, self.message),
        }
    }
}

#[cfg(test)]
fn file(path: &str, text: &str) -> TextFile {
    TextFile {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_says_where_it_is() {
        let file = file("a/b.rs", "");
        assert_eq!(file.fault(3, "no").to_string(), "a/b.rs:3: no");
        assert_eq!(file.fault(0, "no").to_string(), "a/b.rs: no");
    }
}
