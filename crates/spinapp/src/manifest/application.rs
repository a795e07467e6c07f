//! `[application]` and `[variables]`.

use std::collections::BTreeMap;

use super::{Application, Variable};
use crate::ids;
use crate::tree::{Node, Reader};

pub(super) fn read(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Application {
    let mut application = Application::default();
    let mut named = false;
    for entry in reader.table(node) {
        let node = &entry.node;
        match entry.key {
            "name" => {
                named = true;
                application.name = reader.string(node).unwrap_or_default();
                if application.name.is_empty() && node.value.is_str() {
                    reader.fault(node, "must not be empty", "write a name such as \"shop\"");
                }
            }
            "version" => application.version = reader.string(node).unwrap_or_default(),
            "description" => application.description = reader.string(node).unwrap_or_default(),
            "authors" => {
                application.authors = texts(reader, node);
            }
            "trigger" => application.http_base = read_trigger_settings(reader, node),
            "tool" => {
                // Settings of other tools: Spin ignores them, and so do we.
                reader.table(node);
            }
            "targets" => reader.fault(
                node,
                "`targets` (environments to check against) is not supported",
                "remove it",
            ),
            other => reader.fault(
                node,
                format!("`{other}` is not known in [application]"),
                "known are name, version, description, authors, trigger, tool",
            ),
        }
    }
    if !named {
        reader.fault(node, "`name` is missing", "add `name = \"…\"`");
    }
    application
}

fn read_trigger_settings(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Option<String> {
    let mut base = None;
    for entry in reader.table(node) {
        let node = &entry.node;
        if entry.key != "http" {
            reader.fault(
                node,
                format!("the trigger `{}` is not supported", entry.key),
                "only `http` triggers run here",
            );
            continue;
        }
        for entry in reader.table(node) {
            let node = &entry.node;
            if entry.key != "base" {
                reader.fault(node, format!("`{}` is not known", entry.key), "remove it");
                continue;
            }
            let text = reader.string(node);
            if text.as_deref().is_some_and(|text| text != "/") {
                reader.fault(
                    node,
                    "`base` is no longer supported, as in Spin 3 and later",
                    "put it in front of each `route`",
                );
            }
            base = text;
        }
    }
    base
}

pub(super) fn read_variables(
    reader: &mut Reader<'_>,
    node: &Node<'_, '_>,
) -> BTreeMap<String, Variable> {
    let mut variables = BTreeMap::new();
    for entry in reader.table(node) {
        if let Err(message) = ids::check_variable(entry.key) {
            reader.fault(&entry.node, message, "use a name such as `api_key`");
        }
        let variable = read_variable(reader, &entry.node);
        variables.insert(entry.key.to_owned(), variable);
    }
    variables
}

fn read_variable(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Variable {
    let mut variable = Variable::default();
    let mut required = false;
    let mut has_default = false;
    if !node.value.is_table() {
        reader.fault(
            node,
            format!("expected a table, found {}", node.value.type_str()),
            "write `{ default = \"…\" }` or `{ required = true }`",
        );
        return variable;
    }
    for entry in reader.table(node) {
        let node = &entry.node;
        match entry.key {
            "description" => variable.description = reader.string(node),
            "required" => required = reader.boolean(node).unwrap_or_default(),
            "default" => {
                has_default = true;
                variable.default = reader.string(node);
            }
            "secret" => variable.secret = reader.boolean(node).unwrap_or_default(),
            other => reader.fault(
                node,
                format!("`{other}` is not known for a variable"),
                "known are default, required, secret, description",
            ),
        }
    }
    if required && has_default {
        reader.fault(
            node,
            "has a `default` and is `required`",
            "keep one of the two",
        );
    }
    if !required && !has_default {
        reader.fault(
            node,
            "has neither a `default` nor `required = true`",
            "add one of the two",
        );
    }
    variable
}

/// The strings of an array.
pub(super) fn texts(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Vec<String> {
    reader
        .strings(node)
        .into_iter()
        .map(|(text, _)| text)
        .collect()
}
