//! `[component.<id>]`.

use std::collections::{BTreeMap, BTreeSet};

use super::application::texts;
use super::{Build, Commands, Component, FileMount, Variable, check_relative};
use crate::ids;
use crate::outbound::check_host_template;
use crate::reuse::Reuse;
use crate::tree::{Entry, Node, Reader};
use crate::variables::Template;
use crate::{MAX_COMPONENTS, MAX_STORES};

pub(super) fn read_all(
    reader: &mut Reader<'_>,
    node: &Node<'_, '_>,
    variables: &BTreeMap<String, Variable>,
    depth: usize,
) -> Vec<Component> {
    let mut components = Vec::new();
    let entries = reader.table(node);
    if entries.len() > MAX_COMPONENTS {
        let message = format!("{} components; {MAX_COMPONENTS} are allowed", entries.len());
        reader.fault(node, message, "make several applications of it");
        // Their names alone, so that triggers find them.
        let named = entries.into_iter().map(|entry| Component {
            id: entry.key.to_owned(),
            ..Component::default()
        });
        return named.collect();
    }
    for entry in entries {
        if let Err(message) = ids::check_kebab(entry.key) {
            reader.fault(&entry.node, message, "use an id such as `my-component`");
        }
        let mut component = Component {
            id: entry.key.to_owned(),
            ..Component::default()
        };
        let mut sourced = false;
        for field in reader.table(&entry.node) {
            sourced |= field.key == "source";
            read_field(reader, &mut component, &field, variables, depth);
        }
        if !sourced && entry.node.value.is_table() {
            reader.fault(
                &entry.node,
                "`source` is missing",
                "add `source = \"<path>.wasm\"`",
            );
        }
        components.push(component);
    }
    let labels = |of: fn(&Component) -> &[String]| {
        let all = components.iter().flat_map(of);
        all.map(String::as_str).collect::<BTreeSet<_>>().len()
    };
    let databases = labels(|component| &component.sqlite_databases);
    let stores = labels(|component| &component.key_value_stores);
    for (count, what) in [
        (databases, "SQLite databases"),
        (stores, "key-value stores"),
    ] {
        if count > MAX_STORES {
            let message = format!("{count} {what}; {MAX_STORES} are allowed");
            let remedy =
                "use one label for what belongs together, with a table or a prefix for each part";
            reader.fault(node, message, remedy);
        }
    }
    components
}

fn read_field(
    reader: &mut Reader<'_>,
    component: &mut Component,
    field: &Entry<'_, '_>,
    variables: &BTreeMap<String, Variable>,
    depth: usize,
) {
    let node = &field.node;
    match field.key {
        "source" => {
            component.source_line = reader.line(node);
            component.source = read_source(reader, node, depth);
        }
        "description" => component.description = reader.string(node).unwrap_or_default(),
        "environment" => component.environment = read_environment(reader, node),
        "files" => {
            component.files_line = reader.line(node);
            component.files = read_files(reader, node);
        }
        "exclude_files" => component.exclude_files = texts(reader, node),
        "allowed_outbound_hosts" => {
            component.allowed_outbound_hosts = read_hosts(reader, node, variables);
        }
        "sqlite_databases" => component.sqlite_databases = read_labels(reader, node),
        "key_value_stores" => component.key_value_stores = read_labels(reader, node),
        "variables" => component.variables = read_templates(reader, node, variables),
        "build" => component.build = read_build(reader, node, depth),
        "tool" => component.reuse = Reuse::read(reader, node),
        // An empty list asks for nothing; older templates write these two so.
        "allowed_http_hosts" | "ai_models"
            if node.value.as_array().is_some_and(|list| list.is_empty()) => {}
        other => {
            let (message, remedy) = refusal(other);
            reader.fault(node, message, remedy);
        }
    }
}

fn refusal(key: &str) -> (String, &'static str) {
    let remedy = match key {
        "allowed_http_hosts" => "use `allowed_outbound_hosts`, such as [\"https://example.com\"]",
        "ai_models" => "call a model's HTTP API and list its host in `allowed_outbound_hosts`",
        "dependencies" | "dependencies_inherit_configuration" => {
            "compose the component when it is built (`wac plug`), and name the result as `source`"
        }
        "targets" => "remove it",
        "profile" => "put the values to use in the component itself",
        "route" | "trigger" => "routes belong to `[[trigger.http]]`",
        "env" => "use `environment`",
        "config" => "use `variables`",
        _ => {
            return (
                format!("`{key}` is not known for a component"),
                "known are source, description, variables, environment, files, exclude_files, \
                 allowed_outbound_hosts, key_value_stores, sqlite_databases, build, tool",
            );
        }
    };
    (format!("`{key}` is not supported"), remedy)
}

fn read_source(reader: &mut Reader<'_>, node: &Node<'_, '_>, depth: usize) -> String {
    if let Some(table) = node.value.as_table() {
        let what = if table.contains_key("url") {
            "a source from a URL"
        } else if table.contains_key("registry") || table.contains_key("package") {
            "a source from a registry"
        } else {
            "a source that is a table"
        };
        reader.fault(
            node,
            format!("{what} is not supported"),
            "keep the file in the repository, or fetch it in the build command, and write its path",
        );
        return String::new();
    }
    let path = reader.string(node).unwrap_or_default();
    if node.value.is_str()
        && let Err(fault) = check_relative(&path, depth)
    {
        let message = format!("the path {path:?} {}", fault.message());
        reader.fault(node, message, fault.remedy());
    }
    path
}

fn read_environment(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for entry in reader.table(node) {
        if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
            reader.fault(
                &entry.node,
                "not the name of an environment variable",
                "it must not be empty or contain `=`",
            );
        }
        if let Some(value) = reader.string(&entry.node) {
            environment.insert(entry.key.to_owned(), value);
        }
    }
    environment
}

fn read_files(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Vec<FileMount> {
    reader
        .array(node)
        .into_iter()
        .filter_map(|item| {
            if item.value.is_table() {
                read_placement(reader, &item)
            } else {
                let pattern = reader.string(&item)?;
                check_pattern(reader, &item, &pattern);
                Some(FileMount::Pattern(pattern))
            }
        })
        .collect()
}

fn check_pattern(reader: &mut Reader<'_>, node: &Node<'_, '_>, pattern: &str) {
    if let Err(fault) = check_relative(pattern, 0) {
        let message = format!("the pattern {pattern:?} {}", fault.message());
        reader.fault(node, message, fault.remedy());
    } else if pattern.split('/').any(|part| part == "..") {
        reader.fault(
            node,
            "a pattern must not contain `..`",
            "write it as seen from the manifest's folder, such as \"assets/**/*\"",
        );
    } else if pattern == "." || pattern.ends_with("/.") {
        reader.fault(
            node,
            "a pattern must not end in `.`",
            "write `{ source = \"…\", destination = \"/\" }`, or a pattern that ends in `**/*`",
        );
    }
}

fn read_placement(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Option<FileMount> {
    let (mut source, mut destination) = (None, None);
    for entry in reader.table(node) {
        let node = &entry.node;
        match entry.key {
            "source" => {
                source = reader.string(node);
                if let Some(Err(fault)) = source.as_deref().map(|path| check_relative(path, 0)) {
                    let message = format!("the path {}", fault.message());
                    reader.fault(node, message, fault.remedy());
                }
            }
            "destination" => {
                destination = reader.string(node);
                if let Some(path) = &destination
                    && let Err(message) = check_destination(path)
                {
                    reader.fault(node, message, "write an absolute path such as \"/assets\"");
                }
            }
            other => reader.fault(
                node,
                format!("`{other}` is not known for a file mount"),
                "known are source, destination",
            ),
        }
    }
    if source.is_none() || destination.is_none() {
        reader.fault(
            node,
            "needs `source` and `destination`",
            "write `{ source = \"assets\", destination = \"/assets\" }`",
        );
    }
    Some(FileMount::Placement {
        source: source?,
        destination: destination?,
    })
}

fn check_destination(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("`destination` must begin with `/`");
    }
    if path.split('/').any(|part| part == ".." || part == ".") {
        return Err("`destination` must not contain `.` or `..`");
    }
    if path.contains('\0') {
        return Err("`destination` has a zero byte");
    }
    Ok(())
}

fn read_hosts(
    reader: &mut Reader<'_>,
    node: &Node<'_, '_>,
    variables: &BTreeMap<String, Variable>,
) -> Vec<String> {
    let hosts = reader.strings(node);
    for (host, node) in &hosts {
        let default = |name: &str| {
            variables
                .get(name)
                .map(|variable| variable.default.as_deref())
        };
        if let Err(error) = check_host_template(host, default) {
            reader.fault(node, error.to_string(), error.remedy());
        }
    }
    hosts.into_iter().map(|(host, _)| host).collect()
}

fn read_labels(reader: &mut Reader<'_>, node: &Node<'_, '_>) -> Vec<String> {
    let labels = reader.strings(node);
    for (label, node) in &labels {
        if let Err(message) = ids::check_label(label) {
            reader.fault(node, message, "use words such as `default` or `my-store`");
        }
    }
    labels.into_iter().map(|(label, _)| label).collect()
}

fn read_templates(
    reader: &mut Reader<'_>,
    node: &Node<'_, '_>,
    variables: &BTreeMap<String, Variable>,
) -> BTreeMap<String, String> {
    let mut templates = BTreeMap::new();
    for entry in reader.table(node) {
        let node = &entry.node;
        if let Err(message) = ids::check_variable(entry.key) {
            reader.fault(node, message, "use a name such as `api_key`");
        }
        let Some(text) = reader.string(node) else {
            continue;
        };
        match Template::parse(&text) {
            Err(error) => reader.fault(node, error.to_string(), error.remedy()),
            Ok(template) => {
                for name in template.variables() {
                    if !variables.contains_key(name) {
                        reader.fault(
                            node,
                            format!("there is no variable `{name}`"),
                            "declare it in `[variables]`",
                        );
                    }
                }
            }
        }
        templates.insert(entry.key.to_owned(), text);
    }
    templates
}

fn read_build(reader: &mut Reader<'_>, node: &Node<'_, '_>, depth: usize) -> Option<Build> {
    let mut command = None;
    let mut written = false;
    let mut workdir = None;
    let mut watch = Vec::new();
    for entry in reader.table(node) {
        let node = &entry.node;
        match entry.key {
            "command" => {
                written = true;
                command = if node.value.is_array() {
                    Some(Commands::Many(texts(reader, node)))
                } else {
                    reader.string(node).map(Commands::One)
                };
            }
            "workdir" => {
                workdir = reader.string(node);
                if let Some(Err(fault)) = workdir.as_deref().map(|path| check_relative(path, depth))
                {
                    let message = format!("the path {}", fault.message());
                    reader.fault(node, message, fault.remedy());
                }
            }
            "watch" => watch = texts(reader, node),
            other => reader.fault(
                node,
                format!("`{other}` is not known for a build"),
                "known are command, workdir, watch",
            ),
        }
    }
    if !written && node.value.is_table() {
        reader.fault(node, "`command` is missing", "add `command = \"…\"`");
    }
    Some(Build {
        command: command?,
        workdir,
        watch,
    })
}
