//! How each part of the control plane is started, and what is in the cluster before a test is.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use serde_json::json;

use super::keeper::tied;
use super::webhook::base64;
use super::{ADMIN, Cluster};
use crate::wait::until;

pub(super) const API_SERVER: &str = "kube-apiserver";
pub(super) const CERTIFICATE: &str = "api.crt";
const CERTIFICATE_KEY: &str = "api.key";
/// What service accounts' tokens are signed with, and its public half.
const ACCOUNTS_KEY: &str = "accounts.key";
const ACCOUNTS_PUBLIC: &str = "accounts.pub";
const TOKENS: &str = "tokens.csv";
const AUDIT_POLICY: &str = "audit-policy.json";
pub(super) const AUDIT_LOG: &str = "audit.log";
const SCHEDULER: &str = "scheduler.json";
const KWOK: &str = "kwok.yaml";
pub(super) const CONTAINER_LOG: &str = "container.log";

/// Nodes; in zones of their own, so that spreading over them can be asked for.
const NODES: usize = 3;

/// SpinKube's operator listens there for the API server's questions, and can be told no other port.
const WEBHOOKS_PORT: u16 = 9443;
/// The operator's temporary folder, and where in it it looks for its certificate.
const OPERATOR: &str = "operator";
const SERVING: &str = "k8s-webhook-server/serving-certs";

/// The controllers that the cluster target and the platform's own objects rely on. Not among them: what looks after nodes,
/// which kwok does. Nobody measures pods, so autoscaling keeps to its bounds and knows no more.
const CONTROLLERS: [&str; 14] = [
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "horizontal-pod-autoscaler-controller",
    "namespace-controller",
    "persistentvolume-binder-controller",
    "persistentvolumeclaim-protection-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "statefulset-controller",
];

/// Makes keys and the files that parts read; gives the API server's certificate.
pub(super) fn write_keys(folder: &Path) -> String {
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("the folder is writable");
    };
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).expect("a certificate can be made");
    write(CERTIFICATE, &cert.pem());
    write(CERTIFICATE_KEY, &signing_key.serialize_pem());
    let serving = folder.join(OPERATOR).join(SERVING);
    std::fs::create_dir_all(&serving).expect("the folder is writable");
    for (name, text) in [
        ("tls.crt", cert.pem()),
        ("tls.key", signing_key.serialize_pem()),
    ] {
        std::fs::write(serving.join(name), text).expect("the folder is writable");
    }
    let accounts = KeyPair::generate().expect("a key can be made");
    write(ACCOUNTS_KEY, &accounts.serialize_pem());
    write(ACCOUNTS_PUBLIC, &accounts.public_key_pem());
    write(TOKENS, &format!("{ADMIN},admin,admin,\"system:masters\"\n"));
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            { "level": "Metadata", "userGroups": ["system:serviceaccounts"] },
            { "level": "None" },
        ],
    });
    write(AUDIT_POLICY, &policy.to_string());
    // The format of a container runtime, which the kubelet's readers of logs expect.
    write(
        CONTAINER_LOG,
        "2026-01-02T03:04:05.000000006Z stdout F the first line\n\
         2026-01-02T03:04:06.000000006Z stderr F the second line\n",
    );
    cert.pem()
}

pub(super) fn etcd(cluster: &Cluster) -> Command {
    let ports = &cluster.ports;
    let clients = format!("http://127.0.0.1:{}", ports.etcd);
    let peers = format!("http://127.0.0.1:{}", ports.etcd_peers);
    let mut command = tied(&cluster.tools.program("etcd"));
    command
        .arg("--data-dir")
        .arg(cluster.folder.join("etcd"))
        .args(["--listen-client-urls", &clients])
        .args(["--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers])
        .args(["--initial-advertise-peer-urls", &peers])
        .args(["--initial-cluster", &format!("default={peers}")])
        // Its data need not outlive the machine.
        .args(["--unsafe-no-fsync", "--log-level", "warn"]);
    command
}

pub(super) fn api_server(cluster: &Cluster) -> Command {
    let ports = &cluster.ports;
    let file = |name: &str| cluster.folder.join(name).display().to_string();
    let mut command = tied(&cluster.tools.program(API_SERVER));
    for (flag, value) in [
        ("etcd-servers", format!("http://127.0.0.1:{}", ports.etcd)),
        ("bind-address", "127.0.0.1".to_owned()),
        ("secure-port", ports.api.to_string()),
        // Loopback is no address for other machines, and nobody looks for it in the cluster.
        ("advertise-address", "127.0.0.1".to_owned()),
        ("endpoint-reconciler-type", "none".to_owned()),
        ("tls-cert-file", file(CERTIFICATE)),
        ("tls-private-key-file", file(CERTIFICATE_KEY)),
        ("cert-dir", file("api")),
        ("token-auth-file", file(TOKENS)),
        ("authorization-mode", "RBAC".to_owned()),
        (
            "service-account-issuer",
            "https://kubernetes.default.svc".to_owned(),
        ),
        ("service-account-signing-key-file", file(ACCOUNTS_KEY)),
        ("service-account-key-file", file(ACCOUNTS_PUBLIC)),
        ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
        // What is on by default is meant to be on: NamespaceLifecycle, LimitRanger, ServiceAccount, PodSecurity,
        // ResourceQuota, webhooks. Nodes would be tainted until a controller that is not run takes it back.
        (
            "disable-admission-plugins",
            "TaintNodesByCondition".to_owned(),
        ),
        ("kubelet-preferred-address-types", "InternalIP".to_owned()),
        ("audit-policy-file", file(AUDIT_POLICY)),
        ("audit-log-path", file(AUDIT_LOG)),
        // Megabytes: a test reads all of it, also after another has made a thousand deployments.
        ("audit-log-maxsize", "10000".to_owned()),
        ("profiling", "false".to_owned()),
    ] {
        command.arg(format!("--{flag}={value}"));
    }
    command
}

/// The parts that watch the API server, to be started once definitions are there.
pub(super) fn that_watch(cluster: &Cluster) -> [(&'static str, Command); 4] {
    let kubeconfig = cluster.kubeconfig("admin", &cluster.server(), ADMIN);
    let file = |name: &str| cluster.folder.join(name);
    let write = |name: &str, text: String| {
        std::fs::write(file(name), text).expect("the folder is writable");
    };

    let mut controllers = tied(&cluster.tools.program("kube-controller-manager"));
    controllers
        .arg("--kubeconfig")
        .arg(&kubeconfig)
        .args(["--secure-port=0", "--leader-elect=false"])
        .arg(format!("--controllers={}", CONTROLLERS.join(",")))
        .arg("--root-ca-file")
        .arg(file(CERTIFICATE))
        .arg("--service-account-private-key-file")
        .arg(file(ACCOUNTS_KEY))
        // As many as a test with a thousand deployments needs on one machine.
        .args(["--kube-api-qps=500", "--kube-api-burst=1000"])
        .args([
            "--concurrent-deployment-syncs=10",
            "--concurrent-replicaset-syncs=10",
        ])
        .arg("--concurrent-namespace-syncs=20")
        .arg("--horizontal-pod-autoscaler-sync-period=1s");

    let scheduling = json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "clientConnection": { "kubeconfig": kubeconfig, "qps": 500, "burst": 1000 },
        "leaderElection": { "leaderElect": false },
    });
    write(SCHEDULER, scheduling.to_string());
    let mut scheduler = tied(&cluster.tools.program("kube-scheduler"));
    scheduler
        .arg("--config")
        .arg(file(SCHEDULER))
        .arg("--secure-port=0");

    let options = json!({
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1", "kind": "KwokConfiguration",
        "options": {
            "manageAllNodes": true, "nodeIP": "127.0.0.1", "nodePort": cluster.ports.kubelet,
            "serverAddress": format!("127.0.0.1:{}", cluster.ports.kubelet),
            "nodeLeaseDurationSeconds": 0, "enableDebuggingHandlers": true,
            // A file that says some of them says all of them.
            "cidr": "10.128.0.0/12", "podPlayStageParallelism": 16, "nodePlayStageParallelism": 4,
            "nodeLeaseParallelism": 4, "podsOnNodeSyncParallelism": 4, "enablePodsOnNodeSyncStreamWatch": true,
        },
    });
    let logs = json!({
        "apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "ClusterLogs",
        "metadata": { "name": "all" },
        "spec": { "logs": [{ "logsFile": file(CONTAINER_LOG), "follow": true }] },
    });
    write(
        KWOK,
        format!(
            "{}\n---\n{options}\n---\n{logs}\n",
            include_str!("kwok.yaml")
        ),
    );
    let mut kwok = tied(&cluster.tools.program("kwok"));
    kwok.arg("--kubeconfig")
        .arg(&kubeconfig)
        .arg("--config")
        .arg(file(KWOK));

    let mut operator = tied(&cluster.tools.program("spin-operator"));
    operator
        .arg("--kubeconfig")
        .arg(&kubeconfig)
        .args(["--metrics-bind-address=0", "--health-probe-bind-address=0"])
        .args(["--enable-webhooks", "--zap-log-level=error"])
        .env("TMPDIR", file(OPERATOR));

    [
        ("kube-controller-manager", controllers),
        ("kube-scheduler", scheduler),
        ("kwok", kwok),
        ("spin-operator", operator),
    ]
}

/// Definitions, nodes, and what an administrator installs SpinKube with.
pub(super) async fn make_objects(cluster: &Cluster) {
    let kube = cluster.kube();
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for document in cluster.tools.definitions() {
        let _ = kube.create_yaml(definitions, &document).await;
    }
    for number in 0..NODES {
        let name = format!("node-{number}");
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": {
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                "topology.kubernetes.io/zone": format!("zone-{number}"),
            } },
        });
        let _ = kube.create("/api/v1/nodes", &node).await.expect("a node");
    }
    let runtime = json!({
        "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass",
        "metadata": { "name": "wasmtime-spin-v2" }, "handler": "spin",
    });
    let _ = kube
        .create("/apis/node.k8s.io/v1/runtimeclasses", &runtime)
        .await
        .expect("a runtime class");
    for group in ["core.spinkube.dev/v1alpha1", "gateway.networking.k8s.io/v1"] {
        let path = format!("/apis/{group}");
        until(
            &format!("{group} to be served"),
            Duration::from_secs(60),
            || async { kube.find(&path).await },
        )
        .await;
    }
}

/// Has the API server ask SpinKube's operator about its resources, as the operator's own chart does.
pub(super) async fn register_webhooks(cluster: &Cluster) {
    let kube = cluster.kube();
    let authority = base64(&cluster.certificate);
    for (kind, plural, verb) in [
        (
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
            "mutate",
        ),
        (
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
            "validate",
        ),
    ] {
        let webhook = |resource: &str| {
            let path = format!("{verb}-core-spinkube-dev-v1alpha1-{resource}");
            json!({
                "name": format!("{verb}.{resource}.kb.io"), "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
                "clientConfig": {
                    "url": format!("https://127.0.0.1:{WEBHOOKS_PORT}/{path}"), "caBundle": authority,
                },
                "rules": [{
                    "apiGroups": ["core.spinkube.dev"], "apiVersions": ["v1alpha1"],
                    "resources": [format!("{resource}s")], "operations": ["CREATE", "UPDATE"],
                }],
            })
        };
        let webhooks = ["spinapp", "spinappexecutor"].map(webhook);
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": { "name": "spin-operator" }, "webhooks": webhooks,
        });
        let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}");
        let _ = kube.create(&path, &configuration).await.expect(&path);
    }
}

/// Waits until nobody listens where SpinKube's operator will.
pub(super) async fn wait_for_webhooks_port() {
    let what = format!("port {WEBHOOKS_PORT}, SpinKube's operator's, to be free");
    until(&what, Duration::from_secs(300), || async {
        TcpListener::bind(("0.0.0.0", WEBHOOKS_PORT)).ok().map(drop)
    })
    .await;
}

/// Waits until SpinKube's operator answers the API server.
pub(super) async fn wait_for_webhooks(cluster: &Cluster) {
    let what = "SpinKube's operator to listen";
    until(what, Duration::from_secs(120), || async {
        cluster.check_parts();
        TcpStream::connect(("127.0.0.1", WEBHOOKS_PORT))
            .ok()
            .map(drop)
    })
    .await;
}

/// Waits until pods can be scheduled.
pub(super) async fn wait_for_nodes(cluster: &Cluster) {
    let kube = cluster.kube();
    until("nodes to be ready", Duration::from_secs(120), || async {
        cluster.check_parts();
        let nodes = kube.list("/api/v1/nodes").await;
        let ready = nodes.iter().filter(|node| {
            let conditions = node["status"]["conditions"].as_array();
            conditions.is_some_and(|all| {
                all.iter()
                    .any(|one| one["type"] == "Ready" && one["status"] == "True")
            })
        });
        (ready.count() == NODES).then_some(())
    })
    .await;
}
