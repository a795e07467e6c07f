//! The command line. Every option is a variable of the environment too; the keys are variables alone, under
//! the names that the platform's own application knows them by.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nokube_manifests::Edge;

/// NoKube's sidecar for a cluster: makes applications run there, as the platform wants it.
#[derive(Debug, Parser)]
#[command(
    name = "nokube-sidecar",
    version,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the roles that the sidecar needs, and what binds them to its service account.
    Rbac(RbacArgs),
}

/// Who the sidecar is in its cluster.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlatformArgs {
    /// Name of this platform, among several in one cluster.
    #[arg(long, default_value = "nokube", env = "NOKUBE_PLATFORM")]
    pub(crate) platform: String,
    /// The sidecar's own namespace, which holds what is wanted.
    #[arg(long, default_value = "nokube-system", env = "NOKUBE_NAMESPACE")]
    pub(crate) namespace: String,
    /// Its service account there.
    #[arg(long, default_value = "nokube-sidecar", env = "NOKUBE_ACCOUNT")]
    pub(crate) account: String,
    /// The ClusterRole that it binds to itself in each namespace it makes.
    #[arg(long, default_value = "nokube-tenant", env = "NOKUBE_TENANT_ROLE")]
    pub(crate) tenant_role: String,
}

/// `nokube-sidecar rbac`.
#[derive(Debug, Args)]
pub(crate) struct RbacArgs {
    #[command(flatten)]
    pub(crate) platform: PlatformArgs,
    /// How to write them.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub(crate) format: Format,
}

/// How objects are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One list.
    Json,
    /// Documents one after another.
    Yaml,
}

/// Serving.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) platform: PlatformArgs,
    /// Address of the API, the blob store, /healthz, /readyz and /metrics.
    #[arg(long, default_value = "127.0.0.1:3001", env = "NOKUBE_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// Where other replicas reach this one, when it is not the pod's address and the port above.
    #[arg(long, value_name = "ADDRESS", env = "NOKUBE_ADVERTISE")]
    pub(crate) advertise: Option<SocketAddr>,
    /// The pod's address.
    #[arg(long, env = "NOKUBE_POD_IP")]
    pub(crate) pod_ip: Option<IpAddr>,
    /// The pod's name, for people who look at the lease.
    #[arg(long, default_value = "nokube-sidecar", env = "NOKUBE_POD_NAME")]
    pub(crate) pod_name: String,
    /// Base URL of the platform, for the tick and its other internal calls.
    #[arg(
        long,
        default_value = "http://127.0.0.1:3000",
        env = "NOKUBE_PLATFORM_URL"
    )]
    pub(crate) platform_url: String,
    /// The address users reach the platform at: its host is no application's.
    #[arg(long, value_name = "URL", env = "NOKUBE_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,
    /// Sources on their way to a builder, artifacts, spent tickets. Desired state is kept in the cluster.
    #[arg(long, default_value = "./data", env = "NOKUBE_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
    /// The DNS server that is asked whose a domain is; the pod's own without it.
    #[arg(long, value_name = "ADDRESS", env = "NOKUBE_DNS_SERVER")]
    pub(crate) dns_server: Option<SocketAddr>,
    /// Applications answer on `<service>.<project>.<owner>.<base domain>`.
    #[arg(long, default_value = "localhost", env = "NOKUBE_BASE_DOMAIN")]
    pub(crate) base_domain: String,
    /// What lets requests in: `gateway:<namespace>/<name>[#<section>[,<HTTPS section>]]`,
    /// `ingress:<class>` or `none`.
    #[arg(long, default_value = "none", env = "NOKUBE_EDGE", value_parser = edge)]
    pub(crate) edge: Edge,
    /// The namespace of the gateway's or ingress controller's pods: only they reach exposed applications.
    #[arg(long, env = "NOKUBE_EDGE_NAMESPACE")]
    pub(crate) edge_namespace: Option<String>,
    /// Where ports of every node are reached, for the addresses of applications that have one: a node's host
    /// name or address, or a balancer's in front of them.
    #[arg(long, value_name = "HOST", env = "NOKUBE_NODE_ADDRESS")]
    pub(crate) node_address: Option<String>,
    /// Networks of an edge that is no pod of the cluster's network, separated by commas.
    #[arg(long, value_delimiter = ',', env = "NOKUBE_EDGE_NETWORKS")]
    pub(crate) edge_networks: Vec<String>,
    /// The namespace of the pods that answer DNS.
    #[arg(long, default_value = "kube-system", env = "NOKUBE_DNS_NAMESPACE")]
    pub(crate) dns_namespace: String,
    /// Their labels, separated by commas; all pods there when it is empty.
    #[arg(long, default_value = "k8s-app=kube-dns", env = "NOKUBE_DNS_PODS", value_parser = labels)]
    pub(crate) dns_pods: Labels,
    /// Their own ports, separated by commas.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "53",
        env = "NOKUBE_DNS_PORTS"
    )]
    pub(crate) dns_ports: Vec<u16>,
    /// A cert-manager ClusterIssuer for applications with HTTPS.
    #[arg(long, env = "NOKUBE_CERTIFICATE_ISSUER")]
    pub(crate) certificate_issuer: Option<String>,
    /// Begins the name of the SpinAppExecutor that each namespace gets; the namespace ends it.
    #[arg(long, default_value = "containerd-shim-spin", env = "NOKUBE_EXECUTOR")]
    pub(crate) executor: String,
    /// The runtime class whose handler is the Spin shim.
    #[arg(long, default_value = "wasmtime-spin-v2", env = "NOKUBE_RUNTIME_CLASS")]
    pub(crate) runtime_class: String,
    /// The storage class of applications' volumes; the cluster's default without it.
    #[arg(long, env = "NOKUBE_STORAGE_CLASS")]
    pub(crate) storage_class: Option<String>,
    /// A `.dockerconfigjson`, copied into each namespace for pulling images.
    #[arg(long, value_name = "FILE", env = "NOKUBE_PULL_SECRET")]
    pub(crate) pull_secret: Option<PathBuf>,
    /// Networks that applications never reach although they look public, separated by commas.
    #[arg(long, value_delimiter = ',', env = "NOKUBE_DENIED_NETWORKS")]
    pub(crate) denied_networks: Vec<String>,
    /// Networks that applications reach although they look private, separated by commas.
    #[arg(long, value_delimiter = ',', env = "NOKUBE_ALLOWED_NETWORKS")]
    pub(crate) allowed_networks: Vec<String>,
    /// The cluster's Spin shim runs WASI 0.3.
    #[arg(
        long,
        env = "NOKUBE_SPIN_WASI_0_3",
        default_value_t = false,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set
    )]
    pub(crate) spin_wasi_0_3: bool,
    #[command(flatten)]
    pub(crate) quota: QuotaArgs,
}

/// What the deployments of one namespace may use together; unset ones keep their defaults.
#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    /// Pods of a namespace.
    #[arg(long, env = "NOKUBE_QUOTA_PODS")]
    pub(crate) quota_pods: Option<u32>,
    /// CPU set aside in a namespace.
    #[arg(long, env = "NOKUBE_QUOTA_CPU_REQUESTS")]
    pub(crate) quota_cpu_requests: Option<String>,
    /// CPU that a namespace may use.
    #[arg(long, env = "NOKUBE_QUOTA_CPU_LIMITS")]
    pub(crate) quota_cpu_limits: Option<String>,
    /// Memory set aside in a namespace.
    #[arg(long, env = "NOKUBE_QUOTA_MEMORY_REQUESTS")]
    pub(crate) quota_memory_requests: Option<String>,
    /// Memory that a namespace may use.
    #[arg(long, env = "NOKUBE_QUOTA_MEMORY_LIMITS")]
    pub(crate) quota_memory_limits: Option<String>,
    /// Volumes of a namespace.
    #[arg(long, env = "NOKUBE_QUOTA_VOLUMES")]
    pub(crate) quota_volumes: Option<u32>,
    /// Bytes of all its volumes.
    #[arg(long, env = "NOKUBE_QUOTA_STORAGE")]
    pub(crate) quota_storage: Option<String>,
    /// Services with a port of every node.
    #[arg(long, env = "NOKUBE_QUOTA_NODE_PORTS")]
    pub(crate) quota_node_ports: Option<u32>,
    /// Disk of a node that one container may fill.
    #[arg(long, env = "NOKUBE_EPHEMERAL_STORAGE")]
    pub(crate) ephemeral_storage: Option<String>,
}

/// Labels of pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Labels(pub(crate) BTreeMap<String, String>);

fn labels(text: &str) -> Result<Labels, String> {
    let label = |part: &str| {
        let (name, value) = part.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    let parts = text.split(',').filter(|part| !part.is_empty());
    let labels: Option<_> = parts.map(label).collect();
    labels
        .map(Labels)
        .ok_or_else(|| "must be labels, such as k8s-app=kube-dns".to_owned())
}

fn edge(text: &str) -> Result<Edge, String> {
    let expected = || {
        "must be gateway:<namespace>/<name>[#<section>[,<HTTPS section>]], ingress:<class> or none"
            .to_owned()
    };
    if text == "none" {
        return Ok(Edge::None);
    }
    let (kind, rest) = text.split_once(':').ok_or_else(expected)?;
    match kind {
        "ingress" if !rest.is_empty() => Ok(Edge::Ingress {
            class: rest.to_owned(),
        }),
        "gateway" => {
            let (place, sections) = rest.split_once('#').unwrap_or((rest, ""));
            let (namespace, name) = place.split_once('/').ok_or_else(expected)?;
            let (section, https_section) = sections.split_once(',').unwrap_or((sections, ""));
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Ok(Edge::Gateway {
                name: some(name).ok_or_else(expected)?,
                namespace: some(namespace).ok_or_else(expected)?,
                section: some(section),
                https_section: some(https_section),
            })
        }
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn labels_have_a_name_and_a_value_each_and_may_be_none() {
        let pairs = |text| labels(text).map(|labels| labels.0.into_iter().collect::<Vec<_>>());
        assert_eq!(pairs(""), Ok(vec![]));
        let two = [("a", "1"), ("b.c/d", "")];
        let two = two.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(pairs("b.c/d=,a=1"), Ok(two.to_vec()));
        assert!(pairs("a").is_err());
    }

    #[test]
    fn an_edge_is_a_gateway_an_ingress_or_nothing() {
        assert_eq!(edge("none"), Ok(Edge::None));
        assert_eq!(
            edge("ingress:nginx"),
            Ok(Edge::Ingress {
                class: "nginx".to_owned()
            })
        );
        assert_eq!(
            edge("gateway:edge/public#http,https"),
            Ok(Edge::Gateway {
                name: "public".to_owned(),
                namespace: "edge".to_owned(),
                section: Some("http".to_owned()),
                https_section: Some("https".to_owned()),
            })
        );
        for wrong in [
            "",
            "gateway:",
            "gateway:public",
            "gateway:/x",
            "ingress:",
            "nginx",
        ] {
            assert!(edge(wrong).is_err(), "{wrong}");
        }
    }
}
