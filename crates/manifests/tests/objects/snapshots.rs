//! What comes out, as text that was read and committed. `UPDATE=1` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::{env, fs};

use nokube_api::sidecar::{ArtifactKind, DesiredState};
use nokube_keys::Secret;
use nokube_manifests::{
    Dns, Edge, Facts, Object, PodSecurity, Settings, access_url, app_objects, namespace_objects,
};

use crate::support::{container, secrets, settings, spin, with};

fn gateway(section: Option<&str>, https_section: Option<&str>) -> Edge {
    Edge::Gateway {
        name: "public".to_owned(),
        namespace: "edge".to_owned(),
        section: section.map(str::to_owned),
        https_section: https_section.map(str::to_owned),
    }
}

fn ingress() -> Settings {
    Settings {
        edge: Edge::Ingress {
            class: "nginx".to_owned(),
        },
        edge_namespace: Some("ingress-nginx".to_owned()),
        certificate_issuer: Some("letsencrypt".to_owned()),
        storage_class: Some("fast".to_owned()),
        ..settings()
    }
}

fn https_gateway() -> Settings {
    Settings {
        edge: gateway(Some("http"), Some("https")),
        edge_namespace: Some("envoy-gateway-system".to_owned()),
        pull_secret: Some(Arc::new(Secret::new("{\"auths\":{}}".to_owned()))),
        ..settings()
    }
}

/// Each case's name, and its objects in the order they are applied in.
fn cases() -> Vec<(&'static str, Vec<Object>)> {
    let none = BTreeMap::new();
    let plain = Facts::default();
    let facts = Facts {
        restarted: 6,
        sqlite_databases: BTreeSet::from(["default".to_owned(), "orders".to_owned()]),
        key_value_stores: BTreeSet::new(),
        volume: None,
    };
    let full = |app: &mut nokube_api::sidecar::AppSpec| {
        let spec = &mut app.spec;
        spec.env_vars = [
            ("API_URL", "http://$(HOME)/no"),
            ("greeting", "a: \"b\"\n# c"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        spec.health_check_enabled = true;
        spec.liveness_check_path = "/live?deep=1".to_owned();
        spec.readiness_initial_delay = 5;
        spec.storage_size = Some("2Gi".to_owned());
        spec.storage_path = Some("/data".to_owned());
        spec.custom_domain = Some("www.example.com".to_owned());
        spec.custom_path = Some("/shop".to_owned());
        spec.enable_https = true;
    };
    let scaled = |app: &mut nokube_api::sidecar::AppSpec| {
        app.spec.enable_autoscaling = true;
        app.spec.min_replicas = 2;
        app.spec.max_replicas = 8;
    };
    let kept = secrets(&[("API_KEY", "s3cret"), ("DB_PASSWORD", "päss\nword")]);
    let worker = |app: &mut nokube_api::sidecar::AppSpec| {
        app.spec.service_type = "worker".to_owned();
        app.spec.exposure_type = "none".to_owned();
    };
    let exposed = |how: &'static str| {
        move |app: &mut nokube_api::sidecar::AppSpec| app.spec.exposure_type = how.to_owned()
    };
    let stopped = |app: &mut nokube_api::sidecar::AppSpec| app.desired = DesiredState::Stopped;
    let by_tag = |app: &mut nokube_api::sidecar::AppSpec| {
        app.image_name = "nginxinc/nginx-unprivileged:1.29".to_owned();
        app.digest = String::new();
        app.spec.replicas = 3;
        app.spec.service_port = 8000;
        app.environment = "recette".to_owned();
        app.namespace = "shop-recette".to_owned();
    };
    let app = |app, secrets, facts, settings: &Settings| {
        app_objects(&app, secrets, facts, settings).unwrap()
    };
    let no_edge = Settings {
        edge: Edge::None,
        ..settings()
    };
    let shared = |artifact, settings: &Settings| {
        namespace_objects(&spin(), PodSecurity::of([artifact]), settings).unwrap()
    };
    let denying = Settings {
        denied_networks: vec!["203.0.113.10/32".to_owned()],
        allowed_networks: vec!["10.20.0.0/16".to_owned()],
        ..https_gateway()
    };
    // A controller on the nodes' own network, and DNS as OpenShift has it.
    let by_networks = Settings {
        edge_networks: vec!["192.168.7.0/24".to_owned(), "fd00:7::/64".to_owned()],
        dns: Dns {
            namespace: "openshift-dns".to_owned(),
            pods: [("dns.operator.openshift.io/daemonset-dns", "default")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ports: vec![5353],
        },
        certificate_issuer: Some("letsencrypt".to_owned()),
        ..settings()
    };
    vec![
        (
            "namespace-by-networks",
            shared(ArtifactKind::Container, &by_networks),
        ),
        ("namespace-spin", shared(ArtifactKind::Spin, &denying)),
        (
            "namespace-ingress",
            shared(ArtifactKind::Container, &ingress()),
        ),
        (
            "namespace-containers",
            shared(ArtifactKind::Container, &settings()),
        ),
        ("spin", app(spin(), &none, &plain, &settings())),
        (
            "spin-full",
            app(with(spin(), full), &kept, &facts, &https_gateway()),
        ),
        (
            "spin-scaled",
            app(with(spin(), scaled), &none, &plain, &ingress()),
        ),
        (
            "spin-internal",
            app(
                with(spin(), exposed("internal")),
                &none,
                &plain,
                &settings(),
            ),
        ),
        (
            "spin-node-port",
            app(
                with(spin(), exposed("node_port")),
                &none,
                &plain,
                &settings(),
            ),
        ),
        (
            "spin-worker",
            app(with(spin(), worker), &none, &plain, &settings()),
        ),
        (
            "spin-stopped",
            app(
                with(with(spin(), full), stopped),
                &kept,
                &facts,
                &https_gateway(),
            ),
        ),
        ("container", app(container(), &none, &plain, &settings())),
        (
            "container-full",
            app(with(container(), full), &kept, &facts, &ingress()),
        ),
        (
            "container-by-tag",
            app(with(container(), by_tag), &none, &plain, &https_gateway()),
        ),
        (
            "container-scaled",
            app(with(container(), scaled), &none, &plain, &settings()),
        ),
        (
            "container-internal",
            app(
                with(container(), exposed("internal")),
                &none,
                &plain,
                &settings(),
            ),
        ),
        (
            "container-node-port",
            app(
                with(container(), exposed("node_port")),
                &none,
                &plain,
                &settings(),
            ),
        ),
        (
            "container-worker",
            app(with(container(), worker), &kept, &plain, &settings()),
        ),
        (
            "container-stopped",
            app(
                with(with(container(), scaled), stopped),
                &kept,
                &plain,
                &ingress(),
            ),
        ),
        (
            "container-without-edge",
            app(container(), &none, &plain, &no_edge),
        ),
    ]
}

#[test]
fn objects_are_as_they_were_read_and_committed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let update = env::var_os("UPDATE").is_some();
    let mut expected = BTreeSet::new();
    let mut differing = Vec::new();
    for (name, objects) in cases() {
        let text: String = objects
            .iter()
            .map(|object| format!("---\n{}", object.to_yaml()))
            .collect();
        let file = folder.join(format!("{name}.yaml"));
        if update {
            fs::write(&file, &text).unwrap();
        } else if fs::read_to_string(&file).ok().as_ref() != Some(&text) {
            differing.push(name);
        }
        expected.insert(format!("{name}.yaml"));
    }
    assert_eq!(differing, [""; 0], "differ; UPDATE=1 writes them anew");
    let there: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(there, expected, "files and cases differ");
}

#[test]
fn applications_answer_where_they_are_exposed() {
    let url = |app: &_, settings: &_| access_url(app, settings, None);
    let host = "api.shop.ada.apps.example.org";
    assert_eq!(
        url(&spin(), &settings()).unwrap(),
        format!("http://{host}/")
    );
    let secure = with(spin(), |app| {
        app.spec.enable_https = true;
        app.spec.custom_path = Some("/shop".to_owned());
        app.environment = "recette".to_owned();
    });
    let host = "api-recette.shop.ada.apps.example.org";
    assert_eq!(
        url(&secure, &settings()).unwrap(),
        format!("http://{host}/shop")
    );
    assert_eq!(
        url(&secure, &https_gateway()).unwrap(),
        format!("https://{host}/shop")
    );
    assert_eq!(
        url(&secure, &ingress()).unwrap(),
        format!("https://{host}/shop")
    );
    let internal = with(container(), |app| {
        app.spec.exposure_type = "internal".to_owned();
        app.spec.service_port = 8000;
    });
    assert_eq!(
        url(&internal, &settings()).unwrap(),
        "http://api.shop-production.svc:8000/"
    );
    let no_edge = Settings {
        edge: Edge::None,
        ..settings()
    };
    assert_eq!(
        url(&spin(), &no_edge).unwrap(),
        "http://api.shop-production.svc/"
    );
    for hidden in ["none", "node_port"] {
        let app = with(spin(), |app| app.spec.exposure_type = hidden.to_owned());
        assert_eq!(url(&app, &settings()), None);
    }
    let by_node = with(container(), |app| {
        app.spec.exposure_type = "node_port".to_owned();
    });
    for (address, host) in [
        ("nodes.example.org", "nodes.example.org"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "[2001:db8::7]"),
    ] {
        let settings = Settings {
            node_address: Some(address.to_owned()),
            ..settings()
        };
        assert_eq!(settings.check(), Ok(()));
        assert_eq!(url(&by_node, &settings), None, "no port was given out yet");
        assert_eq!(
            access_url(&by_node, &settings, Some(31_080)).unwrap(),
            format!("http://{host}:31080/")
        );
    }
    assert_eq!(access_url(&by_node, &settings(), Some(31_080)), None);
}

#[test]
fn the_default_settings_are_good_and_bad_ones_are_told_by_name() {
    assert_eq!(Settings::default().check(), Ok(()));
    let bad = Settings {
        platform: "A".to_owned(),
        base_domain: "x.".to_owned(),
        executor: "a b".to_owned(),
        denied_networks: vec!["10.0.0.1/8".to_owned()],
        edge_networks: vec!["nodes".to_owned()],
        dns: Dns {
            namespace: String::new(),
            pods: [("a b".to_owned(), String::new())].into(),
            ports: Vec::new(),
        },
        edge: Edge::Ingress {
            class: "-".to_owned(),
        },
        ..Settings::default()
    };
    let faults = bad.check().unwrap_err();
    let mut fields: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "base_domain",
            "denied_networks",
            "dns.namespace",
            "dns.pods",
            "dns.ports",
            "edge",
            "edge_networks",
            "executor",
            "platform"
        ]
    );
}
