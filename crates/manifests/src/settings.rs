//! What the operator of a cluster decides, once for all deployments. Whoever calls reads it from its
//! options; nothing here comes from a user.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use nokube_domain::{DnsLabel, Faults, Invalid, Quantity};
use nokube_keys::Secret;

/// Bytes of a host name (RFC 1035, section 2.3.4).
pub(crate) const HOST_BYTES: usize = 253;
/// Bytes of what is put before the base domain: the host's label, the project's and the owner's, each
/// with its dot. The base domain has what is left.
const APP_PREFIX_BYTES: usize = 63 + 1 + 40 + 1 + 32 + 1;
/// Bytes of a namespace after an executor's name, with the dot.
const NAMESPACE_BYTES: usize = 1 + 63;

/// The operator's settings.
#[derive(Clone)]
pub struct Settings {
    /// This platform among several in one cluster: a DNS label, the label `nokube.dev/platform`.
    pub platform: String,
    /// Where the sidecar lives; never a tenant's.
    pub system_namespace: String,
    /// The sidecar's service account in the system namespace.
    pub sidecar_account: String,
    /// The `ClusterRole` that the sidecar has in each namespace it makes, by a `RoleBinding` there.
    pub tenant_role: String,
    /// Below it are all hosts of deployments.
    pub base_domain: String,
    /// Hosts the platform itself answers on: no deployment's custom domain, beside the base domain.
    pub platform_hosts: Vec<String>,
    /// How exposed applications are reached from outside.
    pub edge: Edge,
    /// The namespace whose pods may reach exposed applications: that of the gateway or ingress
    /// controller.
    pub edge_namespace: Option<String>,
    /// Host name or address at which a port of every node is reached: a node's, or that of a balancer in
    /// front of them. Without it nobody but the operator knows where such ports are.
    pub node_address: Option<String>,
    /// Networks that may reach them, in CIDR form: those of nodes, for a controller on their own
    /// network. Without these and a namespace everything may, since then the policy can't tell who it is.
    pub edge_networks: Vec<String>,
    /// Who answers DNS.
    pub dns: Dns,
    /// A cert-manager `ClusterIssuer`, for an [`Edge::Ingress`].
    pub certificate_issuer: Option<String>,
    /// Begins the name of the `SpinAppExecutor` made in each namespace; see [`Settings::executor_of`].
    pub executor: String,
    /// The runtime class of its pods: the one whose handler is the Spin shim.
    pub runtime_class: String,
    /// The storage class of volumes; the cluster's default without it.
    pub storage_class: Option<String>,
    /// A `.dockerconfigjson`, copied into each namespace for pulling images.
    pub pull_secret: Option<Arc<Secret>>,
    /// Networks that applications never reach although they look public, in CIDR form: addresses of
    /// the API server and the nodes where those have public ones.
    pub denied_networks: Vec<String>,
    /// Networks that applications reach although they look private, in CIDR form.
    pub allowed_networks: Vec<String>,
    /// What one namespace may use.
    pub quota: Quota,
}

/// What lets requests in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edge {
    /// A Gateway of the Gateway API, to which routes are attached.
    Gateway {
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: String,
        /// The listener for plain HTTP; every listener that lets the route in without it.
        section: Option<String>,
        /// The listener for HTTPS, whose certificates are the operator's matter. Applications with
        /// `enable_https` are attached to it, and plain HTTP redirects to it.
        https_section: Option<String>,
    },
    /// An ingress controller.
    Ingress {
        /// Its class.
        class: String,
    },
    /// Nothing: exposed applications are reached within the cluster alone.
    None,
}

/// The pods that answer DNS. What `NodeLocal DNSCache` has on each node is known without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Their namespace.
    pub namespace: String,
    /// Their labels; all pods of the namespace when there is none.
    pub pods: BTreeMap<String, String>,
    /// The pods' own ports, which need not be their Service's.
    pub ports: Vec<u16>,
}

impl Default for Dns {
    /// As most clusters have it.
    fn default() -> Self {
        Self {
            namespace: "kube-system".to_owned(),
            pods: BTreeMap::from([("k8s-app".to_owned(), "kube-dns".to_owned())]),
            ports: vec![53],
        }
    }
}

/// What one namespace may use: the figures of its `ResourceQuota` and `LimitRange`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Pods.
    pub pods: u32,
    /// CPU set aside for all pods together.
    pub cpu_requests: String,
    /// CPU that all pods together may use.
    pub cpu_limits: String,
    /// Memory set aside for all pods together.
    pub memory_requests: String,
    /// Memory that all pods together may use.
    pub memory_limits: String,
    /// Volumes.
    pub volumes: u32,
    /// Bytes of all volumes together.
    pub storage: String,
    /// Services with a port of every node.
    pub node_ports: u32,
    /// Disk of a node that one container may fill: logs, its writable folders.
    pub ephemeral_storage: String,
}

impl Default for Quota {
    /// Room for about twenty small applications, with some of it spare for rolling updates.
    fn default() -> Self {
        Self {
            pods: 50,
            cpu_requests: "8".to_owned(),
            cpu_limits: "32".to_owned(),
            memory_requests: "8Gi".to_owned(),
            memory_limits: "16Gi".to_owned(),
            volumes: 10,
            storage: "50Gi".to_owned(),
            node_ports: 5,
            ephemeral_storage: "1Gi".to_owned(),
        }
    }
}

impl Default for Settings {
    /// A cluster as SpinKube's and this project's own instructions make it. For previews where there is
    /// no cluster, and what options leave out.
    fn default() -> Self {
        Self {
            platform: "nokube".to_owned(),
            system_namespace: "nokube-system".to_owned(),
            sidecar_account: "nokube-sidecar".to_owned(),
            tenant_role: "nokube-tenant".to_owned(),
            base_domain: "localhost".to_owned(),
            platform_hosts: Vec::new(),
            edge: Edge::Gateway {
                name: "nokube".to_owned(),
                namespace: "nokube-system".to_owned(),
                section: None,
                https_section: None,
            },
            edge_namespace: None,
            node_address: None,
            edge_networks: Vec::new(),
            dns: Dns::default(),
            certificate_issuer: None,
            executor: "containerd-shim-spin".to_owned(),
            runtime_class: "wasmtime-spin-v2".to_owned(),
            storage_class: None,
            pull_secret: None,
            denied_networks: Vec::new(),
            allowed_networks: Vec::new(),
            quota: Quota::default(),
        }
    }
}

impl Settings {
    /// Name of the `SpinAppExecutor` of a namespace. SpinKube's operator 0.6 lets one end only when no `SpinApp` of any
    /// namespace names it, so two namespaces that shared a name would wait for each other's applications.
    #[must_use]
    pub fn executor_of(&self, namespace: &str) -> String {
        format!("{}.{namespace}", self.executor)
    }

    /// Whether they can be worked with at all, asked once when they are read.
    ///
    /// # Errors
    /// Every fault, by the field's name.
    pub fn check(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        let labels = [
            ("platform", Some(&self.platform)),
            ("system_namespace", Some(&self.system_namespace)),
            ("edge_namespace", self.edge_namespace.as_ref()),
            ("dns.namespace", Some(&self.dns.namespace)),
        ];
        for (field, label) in labels {
            if let Some(label) = label {
                faults.take(field, DnsLabel::parse(label));
            }
        }
        let (edge_name, edge_namespace) = match &self.edge {
            Edge::Gateway {
                name, namespace, ..
            } => (Some(name), Some(namespace)),
            Edge::Ingress { class } => (Some(class), None),
            Edge::None => (None, None),
        };
        let names = [
            ("sidecar_account", Some(&self.sidecar_account)),
            ("tenant_role", Some(&self.tenant_role)),
            ("executor", Some(&self.executor)),
            ("runtime_class", Some(&self.runtime_class)),
            ("certificate_issuer", self.certificate_issuer.as_ref()),
            ("storage_class", self.storage_class.as_ref()),
            ("edge", edge_name),
            ("edge", edge_namespace),
            ("base_domain", Some(&self.base_domain)),
        ];
        for (field, name) in names {
            if let Some(name) = name {
                faults.take(field, subdomain(name));
            }
        }
        if let Some(address) = &self.node_address
            && address.parse::<IpAddr>().is_err()
        {
            faults.take("node_address", subdomain(address));
        }
        if self.base_domain.len() > HOST_BYTES - APP_PREFIX_BYTES {
            faults.add_text(
                "base_domain",
                format!(
                    "may have at most {} characters",
                    HOST_BYTES - APP_PREFIX_BYTES
                ),
            );
        }
        if self.executor.len() > HOST_BYTES - NAMESPACE_BYTES {
            faults.add_text(
                "executor",
                format!(
                    "may have at most {} characters",
                    HOST_BYTES - NAMESPACE_BYTES
                ),
            );
        }
        for (field, networks) in [
            ("denied_networks", &self.denied_networks),
            ("allowed_networks", &self.allowed_networks),
            ("edge_networks", &self.edge_networks),
        ] {
            for network in networks {
                faults.take(field, crate::network::Cidr::parse(network));
            }
        }
        let quota = &self.quota;
        for (field, quantity) in [
            ("quota.cpu_requests", &quota.cpu_requests),
            ("quota.cpu_limits", &quota.cpu_limits),
            ("quota.memory_requests", &quota.memory_requests),
            ("quota.memory_limits", &quota.memory_limits),
            ("quota.storage", &quota.storage),
            ("quota.ephemeral_storage", &quota.ephemeral_storage),
        ] {
            faults.take(field, Quantity::parse(quantity));
        }
        for (name, value) in &self.dns.pods {
            faults.take("dns.pods", label(name, value));
        }
        if self.dns.ports.is_empty() || self.dns.ports.contains(&0) {
            faults.add_text("dns.ports", "must be ports, at least one");
        }
        faults.or(())
    }
}

/// A name of most objects (RFC 1123, section 2.1): labels with dots between them.
fn subdomain(name: &str) -> Result<(), Invalid> {
    if name.len() <= HOST_BYTES && name.split('.').all(|label| DnsLabel::parse(label).is_ok()) {
        Ok(())
    } else {
        Err(Invalid::new(
            "must be lower-case letters, digits and inner hyphens, with single dots between them",
        ))
    }
}

/// A label as Kubernetes has it: a name, perhaps below a domain, and a value.
fn label(name: &str, value: &str) -> Result<(), Invalid> {
    let is_word = |text: &str| {
        let is_end = |letter: Option<char>| letter.is_some_and(|one| one.is_ascii_alphanumeric());
        text.len() <= 63
            && is_end(text.chars().next())
            && is_end(text.chars().next_back())
            && text
                .chars()
                .all(|one| one.is_ascii_alphanumeric() || "-_.".contains(one))
    };
    let (domain, word) = name
        .split_once('/')
        .map_or((None, name), |(domain, word)| (Some(domain), word));
    let is_label = domain.is_none_or(|domain| subdomain(domain).is_ok())
        && is_word(word)
        && (value.is_empty() || is_word(value));
    if is_label {
        Ok(())
    } else {
        Err(Invalid::new(
            "must be labels of pods, such as k8s-app=kube-dns",
        ))
    }
}
