//! What is bad is refused with every fault, and nothing is made of it.

use std::collections::{BTreeMap, BTreeSet};

use nokube_api::sidecar::{AppSpec, ArtifactKind};
use nokube_domain::Faults;
use nokube_manifests::{Dns, Edge, Facts, PodSecurity, Settings, app_objects, namespace_objects};

use crate::support::{container, secrets, settings, spin, with};

fn refused(app: &AppSpec) -> Vec<String> {
    let pointers = |faults: Faults| faults.into_iter().map(|fault| fault.pointer).collect();
    let faults = app_objects(app, &BTreeMap::new(), &Facts::default(), &settings()).unwrap_err();
    // No namespace is made for it either.
    let shared = namespace_objects(app, PodSecurity::Baseline, &settings()).unwrap_err();
    assert_eq!(faults, shared);
    pointers(faults)
}

fn one(app: AppSpec, change: impl FnOnce(&mut AppSpec)) -> String {
    let faults = refused(&with(app, change));
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.into_iter().next().unwrap()
}

#[test]
fn every_fault_is_told_at_once() {
    let app = with(container(), |app| {
        app.deployment_id = "../../etc".to_owned();
        app.namespace = "kube-system".to_owned();
        app.owner = "Ada".to_owned();
        app.project_id = 0;
        app.project = "a/b".to_owned();
        app.image_name = "; rm -rf".to_owned();
        app.digest = "sha256:short".to_owned();
        app.spec.memory_limit = "1e9Gi".to_owned();
        app.spec.custom_domain = Some("x.apps.example.org".to_owned());
        app.spec.custom_path = Some("/../etc".to_owned());
        app.spec.readiness_check_path = "/../..".to_owned();
        app.spec.storage_path = Some("/data/../etc".to_owned());
        app.spec.storage_size = Some("1e9Gi".to_owned());
        app.spec.env_vars.insert("A=B".to_owned(), String::new());
    });
    let mut faults = refused(&app);
    faults.sort();
    assert_eq!(
        faults,
        [
            "/deployment_id",
            "/digest",
            "/image_name",
            "/namespace",
            "/owner",
            "/project",
            "/project_id",
            "/spec/custom_domain",
            "/spec/custom_path",
            "/spec/env_vars/A=B",
            "/spec/memory_limit",
            "/spec/readiness_check_path",
            "/spec/storage_path",
            "/spec/storage_size",
        ]
    );
}

#[test]
fn namespaces_of_the_cluster_and_the_platform_are_nobodys() {
    for taken in [
        "",
        "default",
        "kube-system",
        "kube-x",
        "nokube-system",
        "A",
        "a.b",
        "a/../b",
        &"a".repeat(64),
    ] {
        let pointer = one(spin(), |app| app.namespace = taken.to_owned());
        assert_eq!(pointer, "/namespace", "{taken}");
    }
    let at_edge = Settings {
        edge: Edge::Gateway {
            name: "g".to_owned(),
            namespace: "edge".to_owned(),
            section: None,
            https_section: None,
        },
        edge_namespace: Some("proxies".to_owned()),
        dns: Dns {
            namespace: "names".to_owned(),
            ..Dns::default()
        },
        ..settings()
    };
    for taken in ["edge", "proxies", "names"] {
        let app = with(spin(), |app| app.namespace = taken.to_owned());
        assert!(namespace_objects(&app, PodSecurity::Baseline, &at_edge).is_err());
    }
}

#[test]
fn hosts_of_the_platform_are_nobodys() {
    for taken in [
        "apps.example.org",
        "x.apps.example.org",
        "example.org",
        "nokube.example.org",
        "api.shop-production.svc.cluster.local",
        "a.localhost",
        "10.0.0.1",
        "*.example.com",
    ] {
        let pointer = one(spin(), |app| {
            app.spec.custom_domain = Some(taken.to_owned())
        });
        assert_eq!(pointer, "/spec/custom_domain", "{taken}");
    }
}

#[test]
fn images_that_no_registry_has_are_refused() {
    for bad in [
        "",
        "; rm -rf",
        "a b:1",
        "$(id)",
        "-v",
        "a/../b",
        "a:b:c",
        "A/B",
        "a@sha256:x",
    ] {
        assert_eq!(
            one(container(), |app| app.image_name = bad.to_owned()),
            "/image_name",
            "{bad}"
        );
    }
}

#[test]
fn only_a_container_image_may_be_known_by_its_tag_alone() {
    assert_eq!(one(spin(), |app| app.digest = String::new()), "/digest");
    let by_tag = with(container(), |app| app.digest = String::new());
    assert!(app_objects(&by_tag, &BTreeMap::new(), &Facts::default(), &settings()).is_ok());
}

#[test]
fn quantities_that_are_none_are_refused() {
    for bad in [
        "1e9Gi",
        "-1",
        "1 Gi",
        "1gi",
        "0x10",
        "",
        "1Gi\n",
        "∞",
        "99999999999999999999",
    ] {
        let pointer = one(spin(), |app| app.spec.memory_limit = bad.to_owned());
        assert_eq!(pointer, "/spec/memory_limit", "{bad:?}");
    }
}

#[test]
fn ten_thousand_variables_are_refused() {
    let pointer = one(spin(), |app| {
        app.spec.env_vars = (0..10_000)
            .map(|n| (format!("NAME_{n}"), "x".to_owned()))
            .collect();
    });
    assert_eq!(pointer, "/spec/env_vars");
}

#[test]
fn names_of_variables_and_secrets_are_those_of_an_environment() {
    for bad in [
        "A=B",
        "",
        "1A",
        "A-B",
        "a.b",
        "A B",
        "SPIN_VARIABLE_X",
        "KUBERNETES_PORT",
        "é",
    ] {
        let pointer = one(spin(), |app| {
            app.spec.env_vars.insert(bad.to_owned(), String::new());
        });
        assert_eq!(pointer, format!("/spec/env_vars/{bad}"));
        let secret = secrets(&[(bad, "x")]);
        let faults = app_objects(&spin(), &secret, &Facts::default(), &settings()).unwrap_err();
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.clone()).collect();
        assert_eq!(pointers, [format!("/sealed_secrets/{bad}")]);
    }
}

#[test]
fn names_that_do_not_fit_a_cluster_are_refused() {
    let long = "s".repeat(53);
    assert_eq!(one(spin(), |app| app.service = long.clone()), "/service");
    let fits = with(container(), |app| app.service = long.clone());
    assert!(app_objects(&fits, &BTreeMap::new(), &Facts::default(), &settings()).is_ok());
    assert_eq!(
        one(spin(), |app| app.service = "a-node-port".to_owned()),
        "/service"
    );
    assert_eq!(one(spin(), |app| app.service = "1a".to_owned()), "/service");
}

#[test]
fn a_volume_belongs_to_one_copy() {
    let stored = |app: &mut AppSpec| {
        app.spec.storage_size = Some("1Gi".to_owned());
        app.spec.storage_path = Some("/data".to_owned());
    };
    for kind in [ArtifactKind::Spin, ArtifactKind::Container] {
        let app = || with(with(spin(), stored), |app| app.artifact = kind);
        assert_eq!(one(app(), |app| app.spec.replicas = 2), "/spec/replicas");
        assert_eq!(
            one(app(), |app| app.spec.enable_autoscaling = true),
            "/spec/enable_autoscaling"
        );
    }
    assert_eq!(
        one(with(spin(), stored), |app| {
            app.spec.storage_path = Some("/runtime-config.toml".to_owned());
        }),
        "/spec/storage_path"
    );
}

#[test]
fn labels_of_stores_become_files_only_when_they_are_plain() {
    for bad in ["../x", "", "a/b", "a b", &"a".repeat(64)] {
        let facts = Facts {
            sqlite_databases: BTreeSet::from([bad.to_owned()]),
            ..Facts::default()
        };
        let faults = app_objects(&spin(), &BTreeMap::new(), &facts, &settings()).unwrap_err();
        assert!(faults.has("/digest"), "{bad}");
    }
}
