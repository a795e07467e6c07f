//! Names and labels are such as Kubernetes takes, and nobody else's.

use std::collections::BTreeSet;

use nokube_api::sidecar::AppSpec;
use nokube_manifests::{
    Facts, Object, PodSecurity, app_objects, left_behind, namespace_objects, workload,
};
use serde_json::Value;

use crate::support::{container, object, objects, secrets, settings, spin, with};

/// As long as all names can be.
fn longest(app: AppSpec, service: usize) -> AppSpec {
    with(app, |app| {
        app.service = "s".repeat(service);
        app.project = "p".repeat(40);
        app.owner = "o".repeat(32);
        app.namespace = "n".repeat(63);
        app.project_id = i64::MAX;
        app.generation = u64::MAX;
        app.revision = u32::MAX;
        app.spec.exposure_type = "node_port".to_owned();
        app.spec.storage_size = Some("1Gi".to_owned());
        app.spec.storage_path = Some("/data".to_owned());
        app.spec.env_vars.insert("A".repeat(128), "x".to_owned());
    })
}

fn everything(app: &AppSpec) -> Vec<Object> {
    let secret = secrets(&[("KEY", "x")]);
    let mut objects = namespace_objects(app, PodSecurity::Baseline, &settings()).unwrap();
    objects.extend(app_objects(app, &secret, &Facts::default(), &settings()).unwrap());
    objects
}

fn is_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.starts_with(edge)
        && text.ends_with(edge)
        && text.chars().all(|c| edge(c) || c == '-')
}

/// A label's or annotation's key: an optional prefix, and a name.
fn is_key(key: &str) -> bool {
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    is_value(name) && !name.is_empty()
}

fn is_value(value: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    value.is_empty()
        || (value.len() <= 63
            && value.starts_with(edge)
            && value.ends_with(edge)
            && value.chars().all(|c| edge(c) || "-_.".contains(c)))
}

#[test]
fn the_longest_names_fit() {
    for app in [
        longest(container(), 63),
        longest(spin(), 52),
        spin(),
        container(),
    ] {
        for made in everything(&app) {
            assert!(made.name.len() <= 253, "{}", made.id());
            assert!(made.name.split('.').all(is_label), "{}", made.id());
            if made.kind == "Service" {
                assert!(is_label(&made.name), "{}", made.id());
            }
            let metadata = &made.body["metadata"];
            for (key, value) in metadata["labels"].as_object().unwrap() {
                assert!(
                    is_key(key) && is_value(value.as_str().unwrap()),
                    "{key} {value}"
                );
            }
            for (key, _) in metadata["annotations"].as_object().into_iter().flatten() {
                assert!(is_key(key), "{key}");
            }
            assert_eq!(metadata["name"], made.name.as_str());
            assert_eq!(metadata["namespace"].as_str(), made.namespace.as_deref());
            assert_eq!(made.body["kind"], made.kind.as_str());
            assert_eq!(made.body["apiVersion"], made.api_version.as_str());
        }
    }
}

#[test]
fn two_services_of_a_namespace_never_share_an_object() {
    // Names that could meet if suffixes were joined as names are.
    let services = [
        "api",
        "api-env",
        "api-data",
        "api-3",
        "deny-all",
        "nokube",
        "allow-egress",
        "default",
    ];
    let mut seen = BTreeSet::new();
    let shared = namespace_objects(&spin(), PodSecurity::Baseline, &settings()).unwrap();
    for id in shared.iter().map(Object::id) {
        assert!(seen.insert(id.clone()), "{id}");
    }
    for service in services {
        for app in [spin(), container()] {
            let kind = app.artifact;
            let app = with(longest(app, 1), |app| app.service = service.to_owned());
            let made = app_objects(
                &app,
                &secrets(&[("KEY", "x")]),
                &Facts::default(),
                &settings(),
            );
            for made in made.unwrap() {
                // A service is one kind of program at a time.
                let id = format!("{kind:?} {}", made.id());
                assert!(
                    !seen.contains(&made.id()) && seen.insert(id.clone()),
                    "{id}"
                );
            }
        }
    }
}

#[test]
fn what_a_namespace_has_once_is_the_same_for_each_of_its_deployments() {
    let other = with(container(), |app| {
        app.service = "other".to_owned();
        app.deployment_id = "01940000-0000-7000-8000-000000000002".to_owned();
        app.generation = 99;
        app.revision = 98;
        app.project = "renamed".to_owned();
        app.spec.replicas = 4;
    });
    let shared =
        |app: &AppSpec| namespace_objects(app, PodSecurity::Baseline, &settings()).unwrap();
    assert_eq!(shared(&spin()), shared(&other));
}

#[test]
fn everything_of_a_deployment_says_whose_it_is() {
    for app in [spin(), container()] {
        for made in everything(&app) {
            let labels = &made.body["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/managed-by"], "nokube");
            assert_eq!(labels["nokube.dev/platform"], "nokube");
            assert_eq!(labels["nokube.dev/project-id"], "1");
            assert_eq!(labels["nokube.dev/environment"], "production");
        }
        for made in objects(&app) {
            let labels = &made.body["metadata"]["labels"];
            assert_eq!(labels["nokube.dev/deployment"], app.deployment_id.as_str());
            assert_eq!(labels["app.kubernetes.io/name"], "api");
            assert_eq!(
                labels["app.kubernetes.io/instance"],
                app.deployment_id.as_str()
            );
            assert_eq!(labels["app.kubernetes.io/component"], "web");
            assert_eq!(labels["app.kubernetes.io/part-of"], "shop");
            let annotations = &made.body["metadata"]["annotations"];
            assert_eq!(annotations["nokube.dev/generation"], "7");
            assert_eq!(annotations["nokube.dev/revision"], "3");
            assert_eq!(annotations["nokube.dev/digest"], app.digest.as_str());
        }
    }
}

#[test]
fn the_same_spec_gives_the_same_objects() {
    for app in [spin(), container()] {
        assert_eq!(everything(&app), everything(&app));
    }
}

#[test]
fn a_deployments_workload_is_among_its_objects() {
    for app in [spin(), container()] {
        let workload = workload(&app);
        let made = objects(&app);
        assert_eq!(
            object(&made, workload.kind)["metadata"]["name"],
            workload.name.as_str()
        );
    }
    assert_eq!(left_behind(&spin()), [("Secret", "api.tls".to_owned())]);
}

#[test]
fn secrets_are_in_one_object_and_shown_nowhere() {
    for app in [spin(), container()] {
        let secret = secrets(&[("API_KEY", "hunter2-hunter2")]);
        let made = app_objects(&app, &secret, &Facts::default(), &settings()).unwrap();
        for made in &made {
            let base64 = "aHVudGVyMi1odW50ZXIy";
            let whole = made.body.to_string();
            assert!(!whole.contains("hunter2"), "{}", made.id());
            assert_eq!(
                whole.contains(base64),
                made.kind == "Secret",
                "{}",
                made.id()
            );
            assert!(!made.masked().to_yaml().contains(base64));
            assert!(!format!("{made:?}").contains(base64));
        }
        let masked = made
            .iter()
            .find(|made| made.kind == "Secret")
            .unwrap()
            .masked();
        assert_eq!(
            masked.body["data"]["API_KEY"],
            Value::from(nokube_manifests::MASK)
        );
    }
}
