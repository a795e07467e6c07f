//! What pods are given, and when they are made anew.

use std::collections::BTreeMap;

use nokube_api::sidecar::{AppSpec, ArtifactKind, DesiredState};
use nokube_manifests::{
    Facts, PodSecurity, Settings, Volume, app_objects, is_replaced_at_once, namespace_objects,
};
use serde_json::{Value, json};

use crate::support::{container, object, objects, settings, spin, with};

/// What pods of the application are made of.
fn pods(app: &AppSpec, facts: &Facts) -> Value {
    let made = app_objects(app, &BTreeMap::new(), facts, &settings()).unwrap();
    match app.artifact {
        ArtifactKind::Container => object(&made, "Deployment")["spec"]["template"].clone(),
        ArtifactKind::Spin => {
            let mut spec = object(&made, "SpinApp")["spec"].clone();
            // The operator keeps it out of the pods.
            spec.as_object_mut().unwrap().remove("replicas");
            spec
        }
    }
}

#[test]
fn a_container_has_what_the_restricted_level_asks_for() {
    let app = with(container(), |app| {
        app.spec.storage_size = Some("1Gi".to_owned());
        app.spec.storage_path = Some("/data".to_owned());
    });
    let pod = pods(&app, &Facts::default())["spec"].clone();
    let security = &pod["securityContext"];
    assert_eq!(security["runAsNonRoot"], true);
    assert_ne!(security["runAsUser"], 0);
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    for absent in [
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "initContainers",
        "serviceAccountName",
    ] {
        assert_eq!(pod[absent], Value::Null);
    }
    let container = &pod["containers"][0];
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
    let security = &container["securityContext"];
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
    for volume in pod["volumes"].as_array().unwrap() {
        assert!(volume["emptyDir"].is_object() || volume["persistentVolumeClaim"].is_object());
    }
    for bound in ["requests", "limits"] {
        for what in ["cpu", "memory", "ephemeral-storage"] {
            assert!(
                container["resources"][bound][what].is_string(),
                "{bound} {what}"
            );
        }
    }
}

#[test]
fn a_low_port_needs_no_right() {
    let sysctls = |port: u16, probed: Option<u16>| {
        let app = with(container(), |app| {
            app.spec.container_port = port;
            app.spec.health_check_port = probed;
        });
        pods(&app, &Facts::default())["spec"]["securityContext"]["sysctls"].clone()
    };
    let none_needed = json!([{ "name": "net.ipv4.ip_unprivileged_port_start", "value": "0" }]);
    assert_eq!(sysctls(80, None), none_needed);
    assert_eq!(sysctls(8080, Some(81)), none_needed);
    assert_eq!(sysctls(1024, None), Value::Null);
}

#[test]
fn pods_are_made_anew_for_a_restart_and_a_revision_and_not_for_a_scale() {
    let plain = Facts::default();
    let restarted = Facts {
        restarted: 8,
        ..Facts::default()
    };
    for app in [spin(), container()] {
        let first = pods(&app, &plain);
        let scaled = with(app.clone(), |app| {
            app.generation += 1;
            app.spec.replicas = 5;
            app.project = "renamed".to_owned();
        });
        assert_eq!(pods(&scaled, &plain), first);
        assert_ne!(pods(&scaled, &restarted), first);
        let next = with(app, |app| app.revision += 1);
        assert_ne!(pods(&next, &plain), first);
    }
}

#[test]
fn a_spin_application_is_told_everything_as_variables_and_by_reference() {
    let app = with(spin(), |app| {
        app.spec
            .env_vars
            .insert("API_URL".to_owned(), "$(SPIN_HTTP_LISTEN_ADDR)".to_owned());
    });
    let made = objects(&app);
    assert_eq!(
        object(&made, "SpinApp")["spec"]["variables"],
        json!([{
            "name": "api_url",
            "valueFrom": { "configMapKeyRef": { "name": "api.env-3", "key": "API_URL" } },
        }])
    );
    assert_eq!(
        object(&made, "ConfigMap")["data"]["API_URL"],
        "$(SPIN_HTTP_LISTEN_ADDR)"
    );
}

#[test]
fn copies_are_counted_by_one_of_two() {
    for app in [spin(), container()] {
        let kind = if app.artifact == ArtifactKind::Spin {
            "SpinApp"
        } else {
            "Deployment"
        };
        let fixed = objects(&with(app.clone(), |app| app.spec.replicas = 3));
        assert_eq!(object(&fixed, kind)["spec"]["replicas"], 3);
        assert_eq!(
            object(&fixed, kind)["spec"]["enableAutoscaling"],
            Value::Null
        );
        assert!(
            !fixed
                .iter()
                .any(|made| made.kind == "HorizontalPodAutoscaler")
        );
        assert_eq!(
            object(&fixed, "PodDisruptionBudget")["spec"]["maxUnavailable"],
            1
        );

        let scaled = objects(&with(app.clone(), |app| {
            app.spec.enable_autoscaling = true;
            app.spec.max_replicas = 4;
        }));
        assert_eq!(object(&scaled, kind)["spec"]["replicas"], Value::Null);
        let target = &object(&scaled, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"];
        assert_eq!(
            (&target["kind"], &target["name"]),
            (&json!("Deployment"), &json!("api"))
        );

        let single = objects(&app);
        assert!(!single.iter().any(|made| made.kind == "PodDisruptionBudget"));
    }
}

#[test]
fn what_is_stopped_keeps_what_it_stored_and_serves_nothing() {
    for app in [spin(), container()] {
        let app = with(app, |app| {
            app.desired = DesiredState::Stopped;
            app.spec.storage_size = Some("1Gi".to_owned());
            app.spec.storage_path = Some("/data".to_owned());
            app.spec.env_vars.insert("A".to_owned(), "b".to_owned());
        });
        let made = objects(&app);
        let kinds: Vec<&str> = made.iter().map(|made| made.kind.as_str()).collect();
        assert!(kinds.contains(&"ConfigMap") && kinds.contains(&"PersistentVolumeClaim"));
        for gone in [
            "SpinApp",
            "HTTPRoute",
            "HorizontalPodAutoscaler",
            "PodDisruptionBudget",
        ] {
            assert!(!kinds.contains(&gone), "{gone}");
        }
        if app.artifact == ArtifactKind::Container {
            assert_eq!(object(&made, "Deployment")["spec"]["replicas"], 0);
        }
        let held: Vec<_> = made.iter().filter(|made| made.holds_data()).collect();
        assert_eq!(held.len(), 1);
    }
}

#[test]
fn storage_at_the_folder_for_scratch_takes_its_place() {
    let app = with(container(), |app| {
        app.spec.storage_size = Some("1Gi".to_owned());
        app.spec.storage_path = Some("/tmp".to_owned());
    });
    let pod = pods(&app, &Facts::default());
    let mounts = pod["spec"]["containers"][0]["volumeMounts"]
        .as_array()
        .unwrap();
    assert_eq!(mounts.len(), 1);
    assert_eq!(mounts[0]["name"], "data");
}

#[test]
fn only_a_spin_application_with_a_volume_is_replaced_at_once() {
    let stored = |app| {
        with(app, |app: &mut AppSpec| {
            app.spec.storage_path = Some("/data".to_owned())
        })
    };
    assert!(is_replaced_at_once(&stored(spin())));
    assert!(!is_replaced_at_once(&stored(container())) && !is_replaced_at_once(&spin()));
}

#[test]
fn a_volume_that_is_there_neither_shrinks_nor_changes_its_class() {
    let claim_of = |wanted: &str, there: Option<(&str, Option<&str>)>, is_bound: bool| {
        let app = with(container(), |app| {
            app.spec.storage_size = Some(wanted.to_owned());
            app.spec.storage_path = Some("/data".to_owned());
        });
        let facts = Facts {
            volume: there.map(|(size, class)| Volume {
                size: size.to_owned(),
                class: class.map(str::to_owned),
                is_bound,
            }),
            ..Facts::default()
        };
        let settings = Settings {
            storage_class: Some("fast".to_owned()),
            ..settings()
        };
        let made = app_objects(&app, &BTreeMap::new(), &facts, &settings).unwrap();
        let spec = &object(&made, "PersistentVolumeClaim")["spec"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (
            text(&spec["resources"]["requests"]["storage"]),
            text(&spec["storageClassName"]),
        )
    };
    let claim = |wanted: &str, there| claim_of(wanted, there, true);
    let is = |size: &str, class: &str| (size.to_owned(), class.to_owned());
    assert_eq!(claim("1Gi", None), is("1Gi", "fast"));
    assert_eq!(claim("1Gi", Some(("2Gi", Some("slow")))), is("2Gi", "slow"));
    assert_eq!(
        claim("3Gi", Some(("2048Mi", Some("slow")))),
        is("3Gi", "slow")
    );
    // It grows once there is something to grow.
    assert_eq!(claim_of("3Gi", Some(("2Gi", None)), false).0, "2Gi");
    // One without a class gets its first.
    assert_eq!(claim("1Gi", Some(("1Gi", None))), is("1Gi", "fast"));
    // Somebody has written it in a way of their own.
    assert_eq!(claim("1Gi", Some(("lots", None))).0, "lots");
}

#[test]
fn namespaces_have_executors_of_their_own() {
    let executor = |namespace: &str| {
        let app = with(spin(), |app| app.namespace = namespace.to_owned());
        let shared = namespace_objects(&app, PodSecurity::Baseline, &settings()).unwrap();
        let name = object(&shared, "SpinAppExecutor")["metadata"]["name"].clone();
        let used = object(&objects(&app), "SpinApp")["spec"]["executor"].clone();
        assert_eq!(name, used);
        name
    };
    assert_ne!(executor("shop-production"), executor("shop-recette"));
}

#[test]
fn one_spin_application_makes_a_namespace_baseline() {
    use ArtifactKind::{Container, Spin};
    assert_eq!(
        PodSecurity::of([Container, Container]),
        PodSecurity::Restricted
    );
    assert_eq!(PodSecurity::of([Container, Spin]), PodSecurity::Baseline);
    assert_eq!(PodSecurity::of([]), PodSecurity::Restricted);
}

#[test]
fn an_exposed_application_is_reached_from_where_the_edge_is_and_from_its_neighbours() {
    let from = |namespace: Option<&str>, networks: &[&str]| {
        let settings = Settings {
            edge_namespace: namespace.map(str::to_owned),
            edge_networks: networks.iter().map(|one| (*one).to_owned()).collect(),
            ..settings()
        };
        let made = app_objects(&container(), &BTreeMap::new(), &Facts::default(), &settings);
        object(&made.unwrap(), "NetworkPolicy")["spec"]["ingress"][0]["from"].clone()
    };
    let neighbours = json!({ "podSelector": {} });
    let edge = json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "edge" } },
    });
    let nodes = json!({ "ipBlock": { "cidr": "192.168.7.0/24" } });
    assert_eq!(from(Some("edge"), &[]), json!([neighbours, edge]));
    assert_eq!(
        from(Some("edge"), &["192.168.7.0/24"]),
        json!([neighbours, edge, nodes])
    );
    assert_eq!(from(None, &["192.168.7.0/24"]), json!([neighbours, nodes]));
    // Whoever it is, it cannot be told apart.
    assert_eq!(from(None, &[]), Value::Null);
}
