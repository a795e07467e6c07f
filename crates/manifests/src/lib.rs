//! A deployment as objects of a cluster.
//!
//! A spec and the operator's settings in, objects out: no I/O, no clock, no cluster. The sidecar applies
//! what comes out and removes what no longer does; a preview shows it. The same input always gives the
//! same objects, so applying them again changes nothing.
//!
//! What is not here: whether a namespace may be used (the sidecar asks the cluster whose it is), what
//! is there, and what became of it.

use std::collections::{BTreeMap, BTreeSet};

use nokube_api::sidecar::{AppSpec, ArtifactKind};
use nokube_domain::Faults;
use nokube_keys::Secret;

mod app;
mod config;
mod deployment;
pub mod labels;
mod namespace;
mod network;
mod object;
mod pod;
mod route;
mod scaling;
mod service;
mod settings;
mod spin_app;
mod storage;
mod yaml;

pub use object::{MASK, Object};
pub use settings::{Dns, Edge, Quota, Settings};

use app::App;

/// The one field manager of everything that is made here.
pub const FIELD_MANAGER: &str = "nokube";

/// What the pods of a namespace may do (the Pod Security level that is enforced there).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodSecurity {
    /// Containers alone: theirs is written by us in full.
    Restricted,
    /// At least one Spin application, whose pods are written by SpinKube's operator.
    Baseline,
}

impl PodSecurity {
    /// The level that lets all of these run: what a namespace holds, or is to hold.
    #[must_use]
    pub fn of(artifacts: impl IntoIterator<Item = ArtifactKind>) -> Self {
        if artifacts.into_iter().any(|kind| kind == ArtifactKind::Spin) {
            Self::Baseline
        } else {
            Self::Restricted
        }
    }
}

/// What a target knows of an application beside its spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The generation in which a restart was asked for last; 0 when never. Its pods are made anew when
    /// it changes, and not when anything else of the generation does (such as the number of copies).
    pub restarted: u64,
    /// Labels of SQLite databases that the Spin application's components are granted.
    pub sqlite_databases: BTreeSet<String>,
    /// Labels of key-value stores that they are granted.
    pub key_value_stores: BTreeSet<String>,
    /// The volume that the deployment has already.
    pub volume: Option<Volume>,
}

/// A volume that is there. Kubernetes lets it grow, where its class can, and never shrink or change its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// What was asked for, as a quantity.
    pub size: String,
    /// Its storage class, when it has one.
    pub class: Option<String>,
    /// There is something behind it. Before that it can't even grow.
    pub is_bound: bool,
}

impl Default for Facts {
    /// For whoever did not look into the artifact: the one label that Spin has by itself.
    fn default() -> Self {
        Self {
            restarted: 0,
            sqlite_databases: BTreeSet::from(["default".to_owned()]),
            key_value_stores: BTreeSet::from(["default".to_owned()]),
            volume: None,
        }
    }
}

/// The object whose pods serve an application, for its status. A Spin application's pods are those of a
/// `Deployment` of the same name, which SpinKube's operator makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// `SpinApp` or `Deployment`.
    pub kind: &'static str,
    /// Its name in the application's namespace.
    pub name: String,
}

/// What all deployments of a project's environment share, in the order to apply it in: the namespace
/// first, then what lets the sidecar work in it, then the rest. The same for each of them.
///
/// `pod_security` is that of everything the namespace holds, see [`PodSecurity::of`].
///
/// # Errors
/// What is wrong with `app`, each fault with a JSON pointer into it.
pub fn namespace_objects(
    app: &AppSpec,
    pod_security: PodSecurity,
    settings: &Settings,
) -> Result<Vec<Object>, Faults> {
    App::parse(app, settings)?;
    Ok(namespace::objects(app, pod_security, settings))
}

/// What one deployment needs, in the order to apply it in. Of a stopped one, what stays: its volume,
/// configuration and policy, and a container's `Deployment` with no copies.
///
/// Configuration and secrets are objects of one revision (their names end with it). Those of an earlier
/// revision must stay until its last pod is gone.
///
/// # Errors
/// What is wrong with `app`, each fault with a JSON pointer into it.
pub fn app_objects(
    app: &AppSpec,
    secrets: &BTreeMap<String, Secret>,
    facts: &Facts,
    settings: &Settings,
) -> Result<Vec<Object>, Faults> {
    let app = App::parse_with(app, secrets, settings)?;
    let mut faults = Faults::default();
    spin_app::check_stores(facts, &mut faults);
    faults.or(())?;
    let config = config::Config::new(&app, secrets);
    let mut objects = config.objects(&app);
    let storage = storage::Storage::of(&app);
    objects.extend(storage.and_then(|storage| storage.object(&app, facts.volume.as_ref())));
    // Who may reach the pods is settled before there are any.
    objects.extend(network::app_policy(&app));
    objects.extend(service::object(&app));
    match app.given.artifact {
        ArtifactKind::Container => objects.push(deployment::object(&app, &config, facts)),
        // A `SpinApp` can't have no copies.
        ArtifactKind::Spin if app.runs() => objects.push(spin_app::object(&app, &config, facts)),
        ArtifactKind::Spin => {}
    }
    if app.runs() {
        objects.extend(scaling::autoscaler(&app));
        objects.extend(scaling::disruption_budget(&app));
        objects.extend(route::objects(&app));
    }
    Ok(objects)
}

/// Whether a cluster can have `app` at all: what [`namespace_objects`] and [`app_objects`] would find, without secrets and
/// without a look into its artifact.
///
/// # Errors
/// What is wrong with `app`, each fault with a JSON pointer into it.
pub fn check(app: &AppSpec, settings: &Settings) -> Result<(), Faults> {
    App::parse(app, settings).map(|_| ())
}

/// Objects that others make for a deployment and leave behind when it is removed, as (kind, name) in its
/// namespace: the certificate's `Secret` that cert-manager makes for an Ingress.
#[must_use]
pub fn left_behind(app: &AppSpec) -> Vec<(&'static str, String)> {
    vec![("Secret", route::certificate_secret(&app.service))]
}

/// Where a deployment answers, when it is exposed. With a port of every node that is known once the
/// cluster has given one out (`node_port`), and where the settings say where nodes are.
#[must_use]
pub fn access_url(app: &AppSpec, settings: &Settings, node_port: Option<u16>) -> Option<String> {
    route::access_url(app, settings, node_port)
}

/// What serves a deployment.
#[must_use]
pub fn workload(app: &AppSpec) -> Workload {
    Workload {
        kind: match app.artifact {
            ArtifactKind::Spin => "SpinApp",
            ArtifactKind::Container => "Deployment",
        },
        name: app.service.clone(),
    }
}

/// Whether what serves an application must be gone before another revision of it starts: SpinKube's
/// operator always starts new pods first, and a volume belongs to one. (A container's `Deployment` says
/// so itself.)
#[must_use]
pub fn is_replaced_at_once(app: &AppSpec) -> bool {
    app.artifact == ArtifactKind::Spin && app.spec.storage_path.is_some()
}
