//! Reading a TOML tree so that every fault is found, each with its place.
//!
//! A reader never stops at the first fault: what could not be read is left out and noted.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::fault::{Fault, Lines};

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Node<'a, 'i> {
    pub(crate) value: &'a DeValue<'i>,
    /// Of the key when the value has one, else of the value.
    pub(crate) span: Range<usize>,
    pub(crate) path: String,
}

/// One `key = value` of a table.
pub(crate) struct Entry<'a, 'i> {
    pub(crate) key: &'a str,
    pub(crate) node: Node<'a, 'i>,
}

/// The type that a value was to have.
#[derive(Clone, Copy)]
enum Wanted {
    Table,
    Array,
    String,
    Boolean,
    Number,
}

impl Wanted {
    /// Its name, and how to write one.
    fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Table => (
                "a table",
                "write `{ key = value }`, or a `[section]` of its own",
            ),
            Self::Array => ("an array", "put it in brackets, such as [\"one\", \"two\"]"),
            Self::String => ("a string", "put it in quotes, such as \"text\""),
            Self::Boolean => ("true or false", "write true or false, without quotes"),
            Self::Number => (
                "a whole number",
                "write digits without quotes, such as 134217728",
            ),
        }
    }
}

/// Collects faults while a tree is read.
pub(crate) struct Reader<'t> {
    lines: Lines<'t>,
    faults: Vec<Fault>,
}

impl<'t> Reader<'t> {
    /// Parses `text`; syntax faults are noted and what could be read is returned.
    pub(crate) fn parse(text: &'t str) -> (Self, Spanned<DeTable<'t>>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Self {
            lines: Lines::new(text),
            faults: Vec::new(),
        };
        for error in errors {
            let (line, column) = error
                .span()
                .map_or((1, 1), |span| reader.lines.place(span.start));
            reader.faults.push(Fault {
                line,
                column,
                path: String::new(),
                message: format!("not TOML: {}", error.message()),
                remedy: "correct what stands there; https://toml.io shows how TOML is written"
                    .to_owned(),
            });
        }
        (reader, table)
    }

    /// Whether the text was TOML at all: a broken tree would yield faults that are only echoes.
    pub(crate) fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    pub(crate) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// Notes a fault at `node`.
    pub(crate) fn fault(
        &mut self,
        node: &Node<'_, '_>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.fault_at(&node.span, &node.path, message, remedy);
    }

    /// Notes a fault at a span.
    pub(crate) fn fault_at(
        &mut self,
        span: &Range<usize>,
        path: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (line, column) = self.lines.place(span.start);
        self.faults.push(Fault {
            line,
            column,
            path: path.to_owned(),
            message: message.into(),
            remedy: remedy.into(),
        });
    }

    /// The line of a node.
    pub(crate) fn line(&self, node: &Node<'_, '_>) -> usize {
        self.lines.place(node.span.start).0
    }

    fn wrong_type(&mut self, node: &Node<'_, '_>, wanted: Wanted) {
        let found = node.value.type_str();
        let (name, remedy) = wanted.told();
        self.fault(node, format!("expected {name}, found {found}"), remedy);
    }

    /// The entries of a table, in the order of the file. Not a table: noted, none.
    pub(crate) fn table<'a, 'i>(&mut self, node: &Node<'a, 'i>) -> Vec<Entry<'a, 'i>> {
        if let Some(table) = node.value.as_table() {
            entries(table, &node.path)
        } else {
            self.wrong_type(node, Wanted::Table);
            Vec::new()
        }
    }

    /// The items of an array. Not an array: noted, none.
    pub(crate) fn array<'a, 'i>(&mut self, node: &Node<'a, 'i>) -> Vec<Node<'a, 'i>> {
        let Some(array) = node.value.as_array() else {
            self.wrong_type(node, Wanted::Array);
            return Vec::new();
        };
        array
            .iter()
            .enumerate()
            .map(|(n, item)| Node {
                value: item.get_ref(),
                span: item.span(),
                path: format!("{}[{n}]", node.path),
            })
            .collect()
    }

    pub(crate) fn string(&mut self, node: &Node<'_, '_>) -> Option<String> {
        if let Some(text) = node.value.as_str() {
            Some(text.to_owned())
        } else {
            self.wrong_type(node, Wanted::String);
            None
        }
    }

    pub(crate) fn boolean(&mut self, node: &Node<'_, '_>) -> Option<bool> {
        let value = node.value.as_bool();
        if value.is_none() {
            self.wrong_type(node, Wanted::Boolean);
        }
        value
    }

    /// A whole number that is not negative.
    pub(crate) fn unsigned(&mut self, node: &Node<'_, '_>) -> Option<u64> {
        let Some(integer) = node.value.as_integer() else {
            self.wrong_type(node, Wanted::Number);
            return None;
        };
        let value = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        if value.is_none() {
            self.fault(
                node,
                "expected a whole number from 0",
                "write digits without a sign, such as 134217728",
            );
        }
        value
    }

    /// An array of strings, each with its place.
    pub(crate) fn strings<'a, 'i>(&mut self, node: &Node<'a, 'i>) -> Vec<(String, Node<'a, 'i>)> {
        self.array(node)
            .into_iter()
            .filter_map(|item| self.string(&item).map(|text| (text, item)))
            .collect()
    }
}

/// The entries of a table, in the order of the file.
pub(crate) fn entries<'a, 'i>(table: &'a DeTable<'i>, path: &str) -> Vec<Entry<'a, 'i>> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value): (&Spanned<DeString<'i>>, _)| {
            let name: &str = key.get_ref().as_ref();
            let path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            Entry {
                key: name,
                node: Node {
                    value: value.get_ref(),
                    span: key.span(),
                    path,
                },
            }
        })
        .collect();
    entries.sort_by_key(|entry| entry.node.span.start);
    entries
}
