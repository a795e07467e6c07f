//! What can be wrong in a locked application that comes from outside.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{ContentRef, LockedApp, LockedComponent, LockedTrigger, WASM_CONTENT_TYPE};
use crate::fault::{Fault, Faults};
use crate::ids;
use crate::outbound::check_host_template;
use crate::reuse::{self, Reuse};
use crate::routes::Route;
use crate::variables::Template;
use crate::{MAX_COMPONENTS, MAX_STORES};

const UNDERSTOOD: [&str; 2] = ["host_requirements", "component_host_requirements"];
const SUPPORTED: [&str; 1] = ["local_service_chaining"];

struct Checker<'a> {
    app: &'a LockedApp,
    faults: Vec<Fault>,
}

pub(super) fn check(app: &LockedApp) -> Result<(), Faults> {
    let mut checker = Checker {
        app,
        faults: Vec::new(),
    };
    checker.application();
    checker.triggers();
    checker.components();
    Faults::none_or(checker.faults, ())
}

/// Whether a path is `a/b/c` and nothing else: safe to join to a folder.
pub(super) fn is_plain_path(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Whether a text is `sha256:` and 64 lower-case hexadecimal digits.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

impl Checker<'_> {
    fn fault(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.faults.push(Fault::unplaced(path, message, ""));
    }

    fn application(&mut self) {
        for field in &self.app.must_understand {
            if !UNDERSTOOD.contains(&field.as_str()) {
                self.fault("must_understand", format!("`{field}` is not known here"));
            }
        }
        self.requirements("host_requirements", &self.app.host_requirements);
        for name in self.app.variables.keys() {
            if let Err(message) = ids::check_variable(name) {
                self.fault(format!("variables.{name}"), message);
            }
        }
    }

    fn requirements(&mut self, path: &str, requirements: &BTreeMap<String, Value>) {
        for (name, value) in requirements {
            if !SUPPORTED.contains(&name.as_str()) && value.as_str() != Some("optional") {
                self.fault(path, format!("the feature `{name}` is not supported"));
            }
        }
    }

    fn triggers(&mut self) {
        let mut ids = BTreeSet::new();
        for trigger in &self.app.triggers {
            let path = format!("triggers.{}", trigger.id);
            if !ids.insert(trigger.id.as_str()) {
                self.fault(&path, "the id is there twice");
            }
            if trigger.trigger_type == "http" {
                self.http_trigger(&path, trigger);
            } else {
                self.fault(
                    &path,
                    format!("the trigger `{}` is not supported", trigger.trigger_type),
                );
            }
            if !trigger.trigger_dependencies.is_empty() {
                self.fault(
                    &path,
                    "middleware (`trigger_dependencies`) is not supported",
                );
            }
        }
    }

    fn http_trigger(&mut self, path: &str, trigger: &LockedTrigger) {
        let Some(config) = trigger.trigger_config.as_object() else {
            self.fault(path, "`trigger_config` is not an object");
            return;
        };
        let mut routed = false;
        for (key, value) in config {
            match key.as_str() {
                "component" => {}
                "route" => {
                    routed = true;
                    if let Err(error) = Route::from_json(value) {
                        self.fault(path, error.to_string());
                    }
                }
                "executor" => {
                    let kind = value.get("type").and_then(Value::as_str);
                    if !value.is_null() && !matches!(kind, Some("http" | "spin")) {
                        self.fault(path, "only the executor `http` is supported");
                    }
                }
                other => self.fault(path, format!("`{other}` is not supported")),
            }
        }
        if !routed {
            self.fault(path, "`route` is missing");
        }
        if self.app.component(trigger.component()).is_none() {
            self.fault(
                path,
                format!("there is no component `{}`", trigger.component()),
            );
        }
    }

    fn components(&mut self) {
        let count = self.app.components.len();
        if count > MAX_COMPONENTS {
            // Of so many, the faults would be as many.
            let message = format!("{count} components; {MAX_COMPONENTS} are allowed");
            return self.fault("components", message);
        }
        self.stores("databases", |component| component.sqlite_databases());
        self.stores("key_value_stores", |component| component.key_value_stores());
        let mut ids = BTreeSet::new();
        for component in &self.app.components {
            let path = format!("components.{}", component.id);
            if let Err(message) = ids::check_kebab(&component.id) {
                self.fault(&path, message);
            }
            if !ids.insert(component.id.as_str()) {
                self.fault(&path, "the id is there twice");
            }
            self.source(&path, component);
            self.metadata(&path, component);
            self.files(&path, component);
            self.config(&path, component);
            self.requirements(
                &format!("{path}.host_requirements"),
                &component.host_requirements,
            );
            for (name, map) in [
                ("dependencies", &component.dependencies),
                ("trigger_dependencies", &component.trigger_dependencies),
            ] {
                if !map.is_empty() {
                    self.fault(&path, format!("`{name}` is not supported"));
                }
            }
            if let Some(name) = component
                .env
                .keys()
                .find(|name| name.is_empty() || name.contains(['=', '\0']))
            {
                self.fault(format!("{path}.env"), format!("{name:?} is not a name"));
            }
        }
    }

    fn stores(&mut self, key: &str, labels: fn(&LockedComponent) -> Vec<&str>) {
        let all: BTreeSet<&str> = self.app.components.iter().flat_map(labels).collect();
        if all.len() > MAX_STORES {
            let message = format!("{} labels in `{key}`; {MAX_STORES} are allowed", all.len());
            self.fault("components", message);
        }
    }

    fn source(&mut self, path: &str, component: &LockedComponent) {
        let path = format!("{path}.source");
        if component.source.content_type != WASM_CONTENT_TYPE {
            let kind = &component.source.content_type;
            self.fault(&path, format!("the type {kind:?} is not supported"));
        }
        self.content(&path, &component.source.content);
    }

    fn content(&mut self, path: &str, content: &ContentRef) {
        if let Some(digest) = &content.digest
            && !is_digest(digest)
        {
            self.fault(
                path,
                "the digest is not `sha256:` and 64 hexadecimal digits",
            );
        }
        if content.source.is_none() && content.inline.is_none() && content.digest.is_none() {
            self.fault(path, "has no content");
        }
    }

    fn metadata(&mut self, path: &str, component: &LockedComponent) {
        for (key, value) in &component.metadata {
            let path = format!("{path}.metadata.{key}");
            match key.as_str() {
                "description" | "build" => {}
                "allowed_outbound_hosts" | "databases" | "key_value_stores" => {
                    self.list(&path, key, value);
                }
                reuse::KEY => {
                    if let Err(message) = Reuse::from_json(value) {
                        self.fault(&path, message);
                    }
                }
                "allowed_http_hosts" | "ai_models"
                    if value.as_array().is_some_and(Vec::is_empty) => {}
                _ => self.fault(&path, format!("`{key}` is not supported")),
            }
        }
    }

    fn list(&mut self, path: &str, key: &str, value: &Value) {
        let texts: Option<Vec<&str>> = value
            .as_array()
            .and_then(|list| list.iter().map(Value::as_str).collect());
        let Some(texts) = texts else {
            self.fault(path, "is not a list of texts");
            return;
        };
        for text in texts {
            let checked = if key == "allowed_outbound_hosts" {
                check_host_template(text, |name| {
                    self.app.variables.get(name).map(|v| v.default.as_deref())
                })
                .map_err(|error| error.to_string())
            } else {
                ids::check_label(text)
            };
            if let Err(message) = checked {
                self.fault(path, message);
            }
        }
    }

    fn files(&mut self, path: &str, component: &LockedComponent) {
        let mut paths = BTreeSet::new();
        for file in &component.files {
            let path = format!("{path}.files.{:?}", file.path);
            // A folder mounted as a whole (`/`) occurs where the content is local: Spin's loader.
            let is_mount = file.content.source.is_some() && file.path == "/";
            if !is_mount && !is_plain_path(&file.path) {
                self.fault(&path, "the path leaves the component's files");
            }
            if !paths.insert(file.path.as_str()) {
                self.fault(&path, "the path is there twice");
            }
            self.content(&path, &file.content);
        }
        for file in &component.files {
            let is_folder = file
                .path
                .match_indices('/')
                .filter(|(at, _)| *at > 0)
                .find(|(at, _)| paths.contains(&file.path[..*at]));
            if let Some((at, _)) = is_folder {
                let folder = &file.path[..at];
                self.fault(
                    format!("{path}.files.{folder:?}"),
                    "is a file and a folder at once",
                );
            }
        }
    }

    fn config(&mut self, path: &str, component: &LockedComponent) {
        for (name, text) in &component.config {
            let path = format!("{path}.config.{name}");
            if let Err(message) = ids::check_variable(name) {
                self.fault(&path, message);
            }
            match Template::parse(text) {
                Err(error) => self.fault(&path, error.to_string()),
                Ok(template) => {
                    for used in template.variables() {
                        if !self.app.variables.contains_key(used) {
                            self.fault(&path, format!("there is no variable `{used}`"));
                        }
                    }
                }
            }
        }
    }
}
