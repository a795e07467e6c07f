//! `[[trigger.http]]`.

use std::collections::{BTreeMap, BTreeSet};

use super::{HttpTrigger, Manifest};
use crate::fault::Fault;
use crate::routes::{Route, Router};
use crate::tree::{Node, Reader, entries};

pub(super) fn read(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Vec<HttpTrigger> {
    let mut triggers = Vec::new();
    let mut any = false;
    for entry in reader.table(node) {
        any = true;
        if entry.key == "http" {
            for item in reader.array(&entry.node) {
                triggers.push(read_one(reader, &item));
            }
        } else {
            reader.fault(
                &entry.node,
                format!("the trigger `{}` is not supported", entry.key),
                "only `http` triggers run here",
            );
        }
    }
    if !any {
        reader.fault(node, "has no trigger", "add `[[trigger.http]]`");
    }
    name_triggers(&mut triggers);
    triggers
}

fn read_one(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> HttpTrigger {
    let mut trigger = HttpTrigger {
        id: String::new(),
        component: String::new(),
        route: Route::Private,
        executor: None,
    };
    let (mut routed, mut assigned) = (false, false);
    for entry in reader.table(node) {
        let node = &entry.node;
        match entry.key {
            "id" => trigger.id = reader.string(node).unwrap_or_default(),
            "component" => {
                assigned = true;
                if node.value.is_table() {
                    reader.fault(
                        node,
                        "a component written inside its trigger is not supported",
                        "move it to `[component.<id>]` and name that id here",
                    );
                } else {
                    trigger.component = reader.string(node).unwrap_or_default();
                }
            }
            "route" => {
                routed = true;
                if let Some(route) = read_route(reader, node) {
                    trigger.route = route;
                }
            }
            "executor" => trigger.executor = read_executor(reader, node),
            "static_response" => reader.fault(
                node,
                "`static_response` is not supported",
                "answer from a component",
            ),
            "components" | "dependencies" => reader.fault(
                node,
                format!("`{}` of a trigger (middleware) is not supported", entry.key),
                "compose the component when it is built",
            ),
            other => reader.fault(
                node,
                format!("`{other}` is not known for an http trigger"),
                "known are id, route, component, executor",
            ),
        }
    }
    if !routed {
        reader.fault(
            node,
            "`route` is missing",
            "add `route = \"/...\"`, or `route = { private = true }`",
        );
    }
    if !assigned {
        reader.fault(node, "`component` is missing", "add `component = \"<id>\"`");
    }
    trigger
}

fn read_route(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Option<Route> {
    if node.value.is_table() {
        let mut private = None;
        for entry in reader.table(node) {
            if entry.key == "private" {
                private = reader.boolean(&entry.node);
            } else {
                reader.fault(
                    &entry.node,
                    format!("`{}` is not known for a route", entry.key),
                    "write a string, or `{ private = true }`",
                );
            }
        }
        if private != Some(true) {
            reader.fault(
                node,
                "a route is a string or `{ private = true }`",
                "write one of the two",
            );
        }
        return Some(Route::Private);
    }
    let text = reader.string(node)?;
    match Route::parse(&text) {
        Ok(route) => Some(route),
        Err(error) => {
            reader.fault(node, error.to_string(), error.remedy());
            None
        }
    }
}

fn read_executor(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Option<String> {
    let mut kind = None;
    for entry in reader.table(node) {
        let node = &entry.node;
        if entry.key == "type" {
            kind = reader.string(node);
            match kind.as_deref() {
                Some("http" | "spin") | None => {}
                Some("wagi") => reader.fault(
                    node,
                    "the executor `wagi` is not supported",
                    "build the component for wasi:http",
                ),
                Some(other) => reader.fault(
                    node,
                    format!("the executor `{other}` is not known"),
                    "only `http` is",
                ),
            }
        } else if !node.path.is_empty() {
            reader.fault(
                node,
                format!("`{}` is not known for an executor", entry.key),
                "known is type",
            );
        }
    }
    kind
}

/// Gives an id to every trigger that has none, as Spin does: after its component, else counted.
fn name_triggers(triggers: &mut [HttpTrigger]) {
    let mut ids: BTreeSet<String> = triggers.iter().map(|t| t.id.clone()).collect();
    let mut counter = 1;
    for trigger in triggers.iter_mut().filter(|t| t.id.is_empty()) {
        let mut id = format!("{}-http-trigger", trigger.component);
        while trigger.component.is_empty() || ids.contains(&id) {
            id = format!("http-trigger{counter}");
            if !ids.contains(&id) {
                break;
            }
            counter += 1;
        }
        ids.insert(id.clone());
        trigger.id = id;
    }
}

/// What can be checked only when triggers and components are both known: that components exist, that
/// ids and routes are there once.
pub(super) fn check_references(text: &str, manifest: &Manifest, faults: &mut Vec<Fault>) {
    let places = trigger_places(text);
    let mut note = |n: usize, key: &str, message: String, remedy: &str| {
        let (line, column) = places.get(n).copied().unwrap_or((0, 0));
        faults.push(Fault {
            line,
            column,
            path: format!("trigger.http[{n}].{key}"),
            message,
            remedy: remedy.to_owned(),
        });
    };
    let mut ids = BTreeMap::new();
    for (n, trigger) in manifest.triggers.iter().enumerate() {
        if !trigger.component.is_empty() && manifest.component(&trigger.component).is_none() {
            note(
                n,
                "component",
                format!("there is no component `{}`", trigger.component),
                "add `[component.<id>]` with that id, or correct the name",
            );
        }
        if ids.insert(trigger.id.as_str(), n).is_some() {
            note(
                n,
                "id",
                format!("the id `{}` is used by an earlier trigger", trigger.id),
                "leave `id` out to have one made",
            );
        }
    }
    let routes = manifest
        .triggers
        .iter()
        .map(|t| (t.component.clone(), t.route.clone()));
    let (_, duplicates) = Router::new(routes);
    for duplicate in duplicates {
        note(
            duplicate.index,
            "route",
            format!(
                "the route `{}` is a duplicate and would never be used",
                duplicate.route
            ),
            "keep one trigger for each route",
        );
    }
}

/// Line and column of each `[[trigger.http]]`.
fn trigger_places(text: &str) -> Vec<(usize, usize)> {
    let (_, root) = Reader::parse(text);
    let lines = crate::fault::Lines::new(text);
    entries(root.get_ref(), "")
        .iter()
        .filter(|entry| entry.key == "trigger")
        .filter_map(|entry| {
            entry
                .node
                .value
                .as_table()?
                .get("http")?
                .get_ref()
                .as_array()
        })
        .flat_map(|triggers| triggers.iter().map(|t| lines.place(t.span().start)))
        .collect()
}
