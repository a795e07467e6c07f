//! Deployments to make objects of.

use std::collections::BTreeMap;

use nokube_api::sidecar::{AppSpec, ArtifactKind};
use nokube_keys::Secret;
use nokube_manifests::{Facts, Object, Settings, app_objects};
use serde_json::Value;

/// An ordinary Spin application, the one of the sidecar's tests.
pub(crate) fn spin() -> AppSpec {
    let text = include_str!("../../../sidecar/tests/http/spec.json").replace("\"GENERATION\"", "7");
    let mut app: AppSpec = serde_json::from_str(&text).unwrap();
    app.namespace = "shop-production".to_owned();
    app.revision = 3;
    app
}

/// An ordinary container image.
pub(crate) fn container() -> AppSpec {
    let mut app = spin();
    app.artifact = ArtifactKind::Container;
    app.spec.container_port = 8080;
    app
}

/// With `change` in it.
pub(crate) fn with(mut app: AppSpec, change: impl FnOnce(&mut AppSpec)) -> AppSpec {
    change(&mut app);
    app
}

pub(crate) fn settings() -> Settings {
    Settings {
        base_domain: "apps.example.org".to_owned(),
        platform_hosts: vec!["nokube.example.org".to_owned()],
        ..Settings::default()
    }
}

pub(crate) fn secrets(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())))
        .collect()
}

/// The objects of `app` without secrets, at an ordinary cluster.
pub(crate) fn objects(app: &AppSpec) -> Vec<Object> {
    app_objects(app, &BTreeMap::new(), &Facts::default(), &settings()).unwrap()
}

pub(crate) fn object<'a>(objects: &'a [Object], kind: &str) -> &'a Value {
    let found = objects.iter().find(|object| object.kind == kind);
    &found.unwrap_or_else(|| panic!("no {kind}")).body
}
