//! Who may talk to whom: nobody, but for what these policies allow. They hold where the cluster's network
//! plugin enforces them.

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nokube_api::sidecar::AppSpec;
use nokube_domain::deploy::Exposure;

use crate::app::App;
use crate::labels::{matching, pairs, shared_meta};
use crate::network::cidr::internet;
use crate::object::Object;
use crate::settings::Settings;

mod cidr;

pub(crate) use cidr::Cidr;

/// Kubernetes writes it on every namespace itself.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Where `NodeLocal DNSCache` listens on each node, by its own documents.
const NODE_LOCAL_DNS: &str = "169.254.20.10/32";

/// What cert-manager labels its solvers with, and where they listen.
const SOLVER: &str = "acme.cert-manager.io/http01-solver";
const SOLVER_PORT: i32 = 8089;

/// What holds for all pods of a namespace. Their names have no dot, those of applications' policies do.
pub(crate) fn shared_policies(app: &AppSpec, settings: &Settings) -> Vec<Object> {
    let all = Some(LabelSelector::default());
    let both = Some(vec!["Ingress".to_owned(), "Egress".to_owned()]);
    let nothing = NetworkPolicySpec {
        pod_selector: all.clone(),
        policy_types: both,
        ..NetworkPolicySpec::default()
    };
    let some = NetworkPolicySpec {
        pod_selector: all,
        policy_types: Some(vec!["Egress".to_owned()]),
        egress: Some(egress(settings)),
        ..NetworkPolicySpec::default()
    };
    let mut policies = vec![("deny-all", nothing), ("allow-egress", some)];
    policies.extend(solvers(settings).map(|spec| ("allow-acme-solvers", spec)));
    policies
        .into_iter()
        .map(|(name, spec)| {
            Object::of(&NetworkPolicy {
                metadata: shared_meta(app, settings, name),
                spec: Some(spec),
            })
        })
        .collect()
}

/// Pods that cert-manager puts beside an ingress for a moment, to show a certificate authority whose host it
/// is (ACME's HTTP-01 challenge).
fn solvers(settings: &Settings) -> Option<NetworkPolicySpec> {
    settings.certificate_issuer.as_ref()?;
    let rule = NetworkPolicyIngressRule {
        from: edge(settings),
        ports: Some(vec![port("TCP", SOLVER_PORT)]),
    };
    Some(NetworkPolicySpec {
        pod_selector: Some(matching(pairs([(SOLVER, "true".to_owned())]))),
        policy_types: Some(vec!["Ingress".to_owned()]),
        ingress: Some(vec![rule]),
        ..NetworkPolicySpec::default()
    })
}

fn egress(settings: &Settings) -> Vec<NetworkPolicyEgressRule> {
    let dns = &settings.dns;
    let pods = NetworkPolicyPeer {
        namespace_selector: Some(namespace(&dns.namespace)),
        pod_selector: Some(&dns.pods)
            .filter(|labels| !labels.is_empty())
            .map(|labels| matching(labels.clone())),
        ..NetworkPolicyPeer::default()
    };
    let both = |number: &u16| ["UDP", "TCP"].map(|protocol| port(protocol, i32::from(*number)));
    let names = NetworkPolicyEgressRule {
        to: Some(vec![pods, block(NODE_LOCAL_DNS.to_owned(), Vec::new())]),
        ports: Some(dns.ports.iter().flat_map(both).collect()),
    };
    let mut peers = vec![any_pod()];
    peers.extend(
        internet(&settings.denied_networks)
            .into_iter()
            .map(|(network, except)| block(network, except)),
    );
    let allowed = cidr::networks(&settings.allowed_networks);
    peers.extend(allowed.map(|network| block(network.to_string(), Vec::new())));
    let rest = NetworkPolicyEgressRule {
        to: Some(peers),
        ports: None,
    };
    vec![names, rest]
}

/// Who may reach one application; nothing is needed when nobody may.
pub(crate) fn app_policy(app: &App<'_>) -> Option<Object> {
    let from = match app.spec.exposure_type {
        Exposure::None => return None,
        Exposure::Internal => Some(vec![any_pod()]),
        // Without an edge, requests come from whoever can't be told apart.
        Exposure::External => edge(app.settings).map(|mut edge| {
            edge.insert(0, any_pod());
            edge
        }),
        // From anywhere.
        Exposure::NodePort => None,
    };
    let rule = NetworkPolicyIngressRule {
        from,
        ports: Some(vec![port("TCP", i32::from(app.listens_on()))]),
    };
    let policy = NetworkPolicy {
        metadata: app.meta(format!("{}.ingress", app.name())),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(matching(app.selector())),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![rule]),
            ..NetworkPolicySpec::default()
        }),
    };
    Some(Object::of(&policy))
}

/// Who passes visitors on; nothing when that is not known.
fn edge(settings: &Settings) -> Option<Vec<NetworkPolicyPeer>> {
    let pods = settings.edge_namespace.as_deref().map(any_pod_of);
    let networks = cidr::networks(&settings.edge_networks);
    let peers: Vec<_> = pods
        .into_iter()
        .chain(networks.map(|network| block(network.to_string(), Vec::new())))
        .collect();
    Some(peers).filter(|peers| !peers.is_empty())
}

/// Of the policy's own namespace.
fn any_pod() -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        pod_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    }
}

fn any_pod_of(name: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(namespace(name)),
        ..NetworkPolicyPeer::default()
    }
}

fn namespace(name: &str) -> LabelSelector {
    matching(pairs([(NAMESPACE_NAME, name.to_owned())]))
}

fn block(cidr: String, except: Vec<String>) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr,
            except: Some(except).filter(|except| !except.is_empty()),
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn port(protocol: &str, port: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(port)),
        ..NetworkPolicyPort::default()
    }
}
