//! A container image, run with as little as a pod can have.

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, HTTPGetAction, Lifecycle,
    LifecycleHandler, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements,
    SeccompProfile, SecurityContext, SleepAction, Sysctl, TopologySpreadConstraint, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::Facts;
use crate::app::App;
use crate::config::Config;
use crate::labels::matching;
use crate::object::Object;
use crate::pod::{ProbeOf, seconds};
use crate::service::PORT_NAME;
use crate::storage::Storage;

/// Whom every container runs as, whatever its image says: many images say root, or a name, which
/// Kubernetes can't tell from root's. The number is that of `nonroot` in the usual small images.
const USER: i64 = 65_532;
/// The one folder that can be written without storage.
const SCRATCH: &str = "/tmp";
const SCRATCH_SIZE: &str = "256Mi";
/// Requests that are on their way when a pod ends still arrive: it goes on answering until every node
/// and the edge had time to hear of it. Slept by the kubelet, since not every image has a `sleep`.
const BEFORE_STOP_SECONDS: i64 = 5;
/// Then it has this long, those seconds included, to answer what it began.
const GRACE_SECONDS: i64 = 30;
/// A rollout that gets no further for this long (Kubernetes' own default) and its probes has failed.
const PROGRESS_SECONDS: u32 = 600;
/// Ports below need a right that containers don't have, unless the pod asks for none to be needed.
const FIRST_FREE_PORT: u16 = 1024;
/// What earlier revisions were, the platform knows itself.
const KEPT_REPLICA_SETS: i32 = 2;

pub(crate) fn object(app: &App<'_>, config: &Config<'_>, facts: &Facts) -> Object {
    let spec = &app.spec;
    let replicas = match (app.runs(), spec.enable_autoscaling) {
        (false, _) => Some(0),
        (true, false) => Some(seconds(spec.replicas)),
        // The autoscaler's.
        (true, true) => None,
    };
    let deployment = Deployment {
        metadata: app.meta(app.name()),
        spec: Some(DeploymentSpec {
            replicas,
            selector: matching(app.selector()),
            strategy: Some(strategy(app)),
            progress_deadline_seconds: Some(seconds(PROGRESS_SECONDS.saturating_add(probing(app)))),
            revision_history_limit: Some(KEPT_REPLICA_SETS),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(app.pod_labels()),
                    annotations: Some(app.pod_annotations(facts)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(app, config)),
            },
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    };
    Object::of(&deployment)
}

/// Seconds that probing may take before a copy counts as ready.
fn probing(app: &App<'_>) -> u32 {
    let spec = &app.spec;
    if !spec.health_check_enabled {
        return 0;
    }
    let failing = spec
        .health_check_period
        .saturating_mul(spec.health_check_failure_threshold);
    spec.readiness_initial_delay.saturating_add(failing)
}

/// The new copies first, then the old ones go. A volume has one copy at a time, so that one goes first.
fn strategy(app: &App<'_>) -> DeploymentStrategy {
    if app.spec.storage_path.is_some() {
        return DeploymentStrategy {
            type_: Some("Recreate".to_owned()),
            ..DeploymentStrategy::default()
        };
    }
    DeploymentStrategy {
        type_: Some("RollingUpdate".to_owned()),
        rolling_update: Some(RollingUpdateDeployment {
            max_surge: Some(IntOrString::Int(1)),
            max_unavailable: Some(IntOrString::Int(0)),
        }),
    }
}

fn pod(app: &App<'_>, config: &Config<'_>) -> PodSpec {
    let storage = Storage::of(app);
    let scratch = storage
        .as_ref()
        .is_none_or(|storage| storage.path != SCRATCH);
    let mut volumes: Vec<Volume> = storage.iter().map(Storage::volume).collect();
    let mut mounts: Vec<VolumeMount> = storage.iter().map(Storage::mount).collect();
    if scratch {
        volumes.push(Volume {
            name: "scratch".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource {
                size_limit: Some(Quantity(SCRATCH_SIZE.to_owned())),
                ..EmptyDirVolumeSource::default()
            }),
            ..Volume::default()
        });
        mounts.push(VolumeMount {
            name: "scratch".to_owned(),
            mount_path: SCRATCH.to_owned(),
            ..VolumeMount::default()
        });
    }
    PodSpec {
        automount_service_account_token: Some(false),
        // Else the addresses of all services of the namespace are in the environment.
        enable_service_links: Some(false),
        security_context: Some(pod_security(app)),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        topology_spread_constraints: Some(spread(app)),
        containers: vec![container(app, config, mounts)],
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

fn pod_security(app: &App<'_>) -> PodSecurityContext {
    let ports = [Some(app.spec.container_port), app.spec.health_check_port];
    let low = ports
        .into_iter()
        .flatten()
        .any(|port| port < FIRST_FREE_PORT);
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(runtime_default()),
        sysctls: low.then(|| {
            vec![Sysctl {
                name: "net.ipv4.ip_unprivileged_port_start".to_owned(),
                value: "0".to_owned(),
            }]
        }),
        ..PodSecurityContext::default()
    }
}

fn runtime_default() -> SeccompProfile {
    SeccompProfile {
        type_: "RuntimeDefault".to_owned(),
        ..SeccompProfile::default()
    }
}

fn container(app: &App<'_>, config: &Config<'_>, mounts: Vec<VolumeMount>) -> Container {
    let port = ContainerPort {
        name: Some(PORT_NAME.to_owned()),
        container_port: i32::from(app.spec.container_port),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let sleeps = Lifecycle {
        pre_stop: Some(LifecycleHandler {
            sleep: Some(SleepAction {
                seconds: BEFORE_STOP_SECONDS,
            }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    };
    let checked = app.spec.health_check_enabled;
    let environment = config.environment();
    Container {
        name: app.name().to_owned(),
        image: Some(app.image.clone()),
        // A tag may have moved since the node pulled it; and what a node has, whoever pulled it there, is only run by who
        // may pull it. A digest that is there already costs one question.
        image_pull_policy: Some("Always".to_owned()),
        env_from: (!environment.is_empty()).then_some(environment),
        ports: app.is_exposed().then(|| vec![port]),
        lifecycle: app.is_exposed().then_some(sleeps),
        liveness_probe: checked.then(|| probe(app, app.liveness())),
        readiness_probe: checked.then(|| probe(app, app.readiness())),
        resources: Some(ResourceRequirements {
            requests: Some(app.requests()),
            limits: Some(app.limits()),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            privileged: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            seccomp_profile: Some(runtime_default()),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn probe(app: &App<'_>, probe: ProbeOf) -> Probe {
    let port = app
        .spec
        .health_check_port
        .unwrap_or(app.spec.container_port);
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(probe.path),
            port: IntOrString::Int(i32::from(port)),
            ..HTTPGetAction::default()
        }),
        initial_delay_seconds: Some(probe.initial_delay_seconds),
        period_seconds: Some(probe.period_seconds),
        timeout_seconds: Some(probe.timeout_seconds),
        failure_threshold: Some(probe.failure_threshold),
        ..Probe::default()
    }
}

/// Copies are on different nodes and in different zones as far as there are any.
fn spread(app: &App<'_>) -> Vec<TopologySpreadConstraint> {
    ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        .into_iter()
        .map(|key| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(matching(app.selector())),
            // Copies of the revision that goes don't count.
            match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
            ..TopologySpreadConstraint::default()
        })
        .collect()
}
