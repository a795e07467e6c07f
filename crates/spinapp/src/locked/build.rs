//! A locked application from a manifest.
//!
//! Objects are filled in the order of their keys: Spin's are sorted, and the artifact's digest
//! depends on it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{LockedApp, LockedComponent, LockedSource, LockedTrigger, LockedVariable};
use crate::locked::WASM_CONTENT_TYPE;
use crate::manifest::{
    Application, Build, Commands, Component, ComponentContent, HttpTrigger, Manifest,
};
use crate::outbound::HostPattern;
use crate::reuse;

pub(crate) fn from_manifest(
    manifest: &Manifest,
    mut content: impl FnMut(&Component) -> ComponentContent,
) -> LockedApp {
    let components: Vec<_> = manifest
        .components
        .iter()
        .map(|component| lock_component(component, content(component)))
        .collect();
    let requires = components.iter().any(|c| !c.host_requirements.is_empty());
    LockedApp {
        must_understand: requires
            .then(|| "component_host_requirements".to_owned())
            .into_iter()
            .collect(),
        metadata: metadata(&manifest.application),
        host_requirements: BTreeMap::new(),
        variables: manifest
            .variables
            .iter()
            .map(|(name, variable)| {
                let locked = LockedVariable {
                    description: variable.description.clone(),
                    default: variable.default.clone(),
                    secret: variable.secret,
                };
                (name.clone(), locked)
            })
            .collect(),
        triggers: manifest.triggers.iter().map(lock_trigger).collect(),
        components,
    }
}

fn metadata(application: &Application) -> BTreeMap<String, Value> {
    let mut metadata = BTreeMap::new();
    put_text(&mut metadata, "name", &application.name);
    put_text(&mut metadata, "version", &application.version);
    put_text(&mut metadata, "description", &application.description);
    put_list(&mut metadata, "authors", &application.authors);
    let mut settings = Map::new();
    let mut triggers = Map::new();
    if let Some(base) = &application.http_base {
        settings.insert("base".to_owned(), json!(base));
        triggers.insert("http".to_owned(), Value::Object(settings.clone()));
    }
    settings.insert("type".to_owned(), json!("http"));
    metadata.insert("trigger".to_owned(), Value::Object(settings));
    metadata.insert("triggers".to_owned(), Value::Object(triggers));
    metadata
}

fn lock_trigger(trigger: &HttpTrigger) -> LockedTrigger {
    let mut config = Map::new();
    config.insert("component".to_owned(), json!(trigger.component));
    if let Some(executor) = &trigger.executor {
        config.insert("executor".to_owned(), json!({ "type": executor }));
    }
    config.insert("route".to_owned(), trigger.route.to_json());
    LockedTrigger {
        id: trigger.id.clone(),
        trigger_type: "http".to_owned(),
        trigger_config: Value::Object(config),
        trigger_dependencies: BTreeMap::new(),
    }
}

fn lock_component(component: &Component, content: ComponentContent) -> LockedComponent {
    let mut metadata = BTreeMap::new();
    put_text(&mut metadata, "description", &component.description);
    put_list(
        &mut metadata,
        "allowed_outbound_hosts",
        &component.allowed_outbound_hosts,
    );
    put_list(
        &mut metadata,
        "key_value_stores",
        &component.key_value_stores,
    );
    put_list(&mut metadata, "databases", &component.sqlite_databases);
    if let Some(build) = &component.build {
        metadata.insert("build".to_owned(), lock_build(build));
    }
    if let Some(reuse) = component.reuse {
        metadata.insert(reuse::KEY.to_owned(), reuse.to_json());
    }
    let chains = component
        .allowed_outbound_hosts
        .iter()
        .filter_map(|host| HostPattern::parse(host).ok())
        .any(|host| host.is_for_service_chaining());
    LockedComponent {
        id: component.id.clone(),
        metadata,
        source: LockedSource {
            content_type: WASM_CONTENT_TYPE.to_owned(),
            content: content.source,
        },
        env: component.environment.clone(),
        files: content.files,
        config: component.variables.clone(),
        host_requirements: chains
            .then(|| ("local_service_chaining".to_owned(), json!("required")))
            .into_iter()
            .collect(),
        ..LockedComponent::default()
    }
}

fn lock_build(build: &Build) -> Value {
    let mut object = Map::new();
    let command = match &build.command {
        Commands::One(line) => json!(line),
        Commands::Many(lines) => json!(lines),
    };
    object.insert("command".to_owned(), command);
    if !build.watch.is_empty() {
        object.insert("watch".to_owned(), json!(build.watch));
    }
    if let Some(workdir) = &build.workdir {
        object.insert("workdir".to_owned(), json!(workdir));
    }
    Value::Object(object)
}

fn put_text(metadata: &mut BTreeMap<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        metadata.insert(key.to_owned(), json!(text));
    }
}

fn put_list(metadata: &mut BTreeMap<String, Value>, key: &str, list: &[String]) {
    if !list.is_empty() {
        metadata.insert(key.to_owned(), json!(list));
    }
}
