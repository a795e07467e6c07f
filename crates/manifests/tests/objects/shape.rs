//! Whatever users write is a value: it never becomes a field, a document or another kind of value.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nokube_api::sidecar::{AppSpec, ArtifactKind, DesiredState};
use nokube_domain::Faults;
use nokube_keys::Secret;
use nokube_manifests::{
    Edge, Facts, Object, PodSecurity, Settings, app_objects, namespace_objects,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use crate::support::{container, settings, spin, with};

/// What breaks out of a text where texts are put together, and what some reader takes for no text.
const NASTY: [&str; 30] = [
    "a: b",
    "- a",
    "{a: b}",
    "[a]",
    "# a",
    "a #b",
    "&a",
    "*a",
    "!!int 1",
    "|",
    ">",
    "%YAML 1.1",
    "---",
    "...",
    "\n---\nkind: Secret",
    "\"",
    "'",
    "\\",
    "\n",
    "\t",
    "\r\n",
    "no",
    "on",
    "1e3",
    "012",
    "1:30",
    "null",
    "~",
    "$(HOME)",
    "{{ .Values }}",
];

fn text() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(NASTY.as_slice()).prop_map(str::to_owned);
    let mixed = (nasty.clone(), "\\PC{0,6}", nasty.clone()).prop_map(|(a, b, c)| a + &b + &c);
    prop_oneof![
        nasty,
        mixed,
        "\\PC{0,12}",
        any::<String>(),
        "[a-z0-9./-]{0,12}"
    ]
}

/// Mostly as it should be, so that whole deployments come out, and sometimes anything.
fn field(good: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![24 => good, 1 => text()]
}

prop_compose! {
    fn applications()(
        is_spin in any::<bool>(),
        service in field("[a-z][a-z0-9-]{0,20}[a-z0-9]"),
        project in field("[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?"),
        owner in field("[a-z0-9]{2,10}"),
        namespace in field("[a-z]([a-z0-9-]{0,10}[a-z0-9])"),
        image in field("[a-z]{1,8}(\\.[a-z]{1,4}:[1-9][0-9]{1,3})?/[a-z0-9]{1,9}(:[a-zA-Z0-9._]{1,9})?"),
        domain in prop::option::of(field("www\\.[a-z]{1,9}\\.com")),
        path in prop::option::of(field("/[a-z0-9._~-]{1,9}/?")),
        probe in field("/[a-z?&=%.;,'()@!$*+:-]{0,12}"),
        storage in prop::option::of(field("/[a-zé \"'{}#&*!|>%@`-]{1,12}")),
        variables in prop::collection::btree_map(field("[A-Z]{1,9}"), text(), 0..4),
        display_name in prop::option::of(text()),
        environment in field("[a-z][a-z0-9]{1,8}"),
        digest in field("sha256:[0-9a-f]{64}"),
        cpu in field("[1-9]00m"),
        memory in field("(128|256)Mi"),
        size in field("[1-9](\\.5)?Gi"),
        exposure in prop::sample::select(vec!["external", "internal", "node_port", "none"]),
        (https, checked, scaled, stopped) in any::<(bool, bool, bool, bool)>(),
    ) -> AppSpec {
        with(if is_spin { spin() } else { container() }, |app| {
            app.service = service;
            app.project = project;
            app.owner = owner;
            app.namespace = namespace;
            app.image_name = image;
            app.spec.custom_domain = domain;
            app.spec.custom_path = path;
            app.spec.liveness_check_path.clone_from(&probe);
            app.spec.readiness_check_path = probe;
            app.environment = environment;
            app.digest = digest;
            app.spec.cpu_limit = cpu;
            app.spec.memory_limit = memory;
            app.spec.exposure_type = exposure.to_owned();
            if stopped {
                app.desired = DesiredState::Stopped;
            }
            // A volume is of one copy.
            if scaled && storage.is_none() {
                app.spec.enable_autoscaling = true;
                app.spec.min_replicas = 2;
                app.spec.max_replicas = 4;
            }
            app.spec.storage_size = storage.as_ref().map(|_| size);
            app.spec.storage_path = storage;
            app.spec.env_vars = variables;
            app.spec.display_name = display_name;
            app.spec.enable_https = https;
            app.spec.health_check_enabled = checked;
        })
    }
}

/// The same with values that nobody could object to; names of variables stay, they are keys.
fn harmless(app: &AppSpec) -> AppSpec {
    let plain = |path: &Option<String>, good: &str| path.as_ref().map(|_| good.to_owned());
    with(app.clone(), |app| {
        app.service = "api".to_owned();
        app.project = "shop".to_owned();
        app.owner = "ada".to_owned();
        app.namespace = "shop-production".to_owned();
        app.image_name = "registry.localhost/api:1".to_owned();
        app.environment = "recette".to_owned();
        // A container that is known by its tag alone has nothing to say about a digest.
        if !app.digest.is_empty() {
            app.digest = format!("sha256:{}", "a".repeat(64));
        }
        let spec = &mut app.spec;
        spec.custom_domain = plain(&spec.custom_domain, "www.example.com");
        spec.custom_path = plain(&spec.custom_path, "/shop");
        spec.liveness_check_path = "/health".to_owned();
        spec.readiness_check_path = "/health".to_owned();
        spec.cpu_limit = "500m".to_owned();
        spec.memory_limit = "128Mi".to_owned();
        spec.storage_size = plain(&spec.storage_size, "1Gi");
        // Storage in the place of the scratch folder is one volume less, and meant to be.
        if spec.storage_path.as_deref() != Some("/tmp") {
            spec.storage_path = plain(&spec.storage_path, "/data");
        }
        for value in spec.env_vars.values_mut() {
            *value = "x".to_owned();
        }
    })
}

/// Where there is something in `value`, and of which kind.
fn shape(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                shape(item, &format!("{at}/{index}"), into);
            }
            "list"
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                shape(field, &format!("{at}/{name}"), into);
            }
            "object"
        }
    };
    into.insert(format!("{at} {kind}"));
}

fn shape_of(objects: &[Object]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (index, object) in objects.iter().enumerate() {
        shape(&object.body, &format!("{index} {}", object.kind), &mut all);
    }
    all
}

/// Clusters with each kind of edge, and with all that an operator may set.
fn clusters() -> [Settings; 4] {
    let gateway = |section: &str, https: &str| Edge::Gateway {
        name: "public".to_owned(),
        namespace: "edge".to_owned(),
        section: Some(section.to_owned()),
        https_section: Some(https.to_owned()),
    };
    [
        settings(),
        Settings {
            edge: gateway("http", "https"),
            pull_secret: Some(Arc::new(Secret::new("{}".to_owned()))),
            denied_networks: vec!["203.0.113.10/32".to_owned()],
            ..settings()
        },
        Settings {
            edge: Edge::Ingress {
                class: "nginx".to_owned(),
            },
            edge_namespace: Some("ingress-nginx".to_owned()),
            certificate_issuer: Some("letsencrypt".to_owned()),
            storage_class: Some("fast".to_owned()),
            ..settings()
        },
        Settings {
            edge: Edge::None,
            ..settings()
        },
    ]
}

/// All objects of a deployment, and those of its namespace before them.
fn all_objects(
    app: &AppSpec,
    secrets: &BTreeMap<String, Secret>,
    settings: &Settings,
) -> Result<Vec<Object>, Faults> {
    let mut objects = namespace_objects(app, PodSecurity::of([app.artifact]), settings)?;
    objects.extend(app_objects(app, secrets, &Facts::default(), settings)?);
    Ok(objects)
}

fn assert_reads_back(objects: &[Object]) {
    for object in objects {
        let text = object.to_yaml();
        // One document, or this is an error.
        let back: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(back, object.body, "{text}");
    }
    let all: Vec<String> = objects.iter().map(Object::to_yaml).collect();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&all.join("---\n")).unwrap();
    assert_eq!(documents.len(), objects.len());
}

#[test]
fn what_users_write_never_changes_the_shape_of_an_object() {
    const CASES: u32 = 512;
    let secrets = prop::collection::btree_map(field("[A-Z][A-Z0-9]{1,9}"), text(), 0..3);
    let cases = (applications(), secrets, 0..clusters().len());
    let accepted = Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig {
        source_file: Some(file!()),
        ..ProptestConfig::with_cases(CASES)
    });
    let outcome = runner.run(&cases, |(app, values, cluster)| {
        let settings = &clusters()[cluster];
        let secrets = |value: &dyn Fn(&String) -> String| -> BTreeMap<String, Secret> {
            let named = values.iter();
            named
                .map(|(name, text)| (name.clone(), Secret::new(value(text))))
                .collect()
        };
        let written = secrets(&String::clone);
        let plain = secrets(&|_| "x".to_owned());
        if let Ok(objects) = all_objects(&app, &written, settings) {
            accepted.set(accepted.get() + 1);
            assert_reads_back(&objects);
            let harmless = all_objects(&harmless(&app), &plain, settings).unwrap();
            prop_assert_eq!(shape_of(&objects), shape_of(&harmless));
        }
        Ok(())
    });
    outcome.unwrap();
    // Else it would say nothing.
    assert!(accepted.get() > CASES / 20, "{} accepted", accepted.get());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn values_are_kept_to_the_letter(value in text(), is_spin in any::<bool>()) {
        prop_assume!(!value.contains('\0'));
        let app = with(spin(), |app| {
            app.artifact = if is_spin { ArtifactKind::Spin } else { ArtifactKind::Container };
            app.spec.env_vars = BTreeMap::from([("VALUE".to_owned(), value.clone())]);
        });
        let objects = app_objects(&app, &BTreeMap::new(), &Facts::default(), &settings()).unwrap();
        assert_reads_back(&objects);
        let found: Vec<&Value> = objects
            .iter()
            .filter_map(|object| object.body["data"].get("VALUE"))
            .collect();
        prop_assert_eq!(found, [&Value::from(value)]);
    }
}
