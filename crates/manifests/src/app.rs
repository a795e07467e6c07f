//! A deployment whose every name and value was checked, and the host names it answers on.

use std::collections::BTreeMap;

use nokube_api::sidecar::{AppSpec, ArtifactKind, DesiredState};
use nokube_domain::build::ImageReference;
use nokube_domain::deploy::{Exposure, Spec, check_secrets};
use nokube_domain::{
    ContainerImage, DeploymentId, Digest, DnsLabel, Environment, Faults, HostLabel, Invalid,
    Namespace, ProjectId, ServiceName, Slug,
};
use nokube_keys::Secret;

use crate::settings::{Edge, HOST_BYTES, Settings};

/// SpinKube's operator puts a `SpinApp`'s name into the key of a label, `app.<name>.status`, and the name
/// part of a key has 63 characters.
const SPIN_APP_BYTES: usize = 63 - "app..status".len();
/// Ends the name of a Spin application's second `Service`, so no application's own name may.
pub(crate) const NODE_PORT_SUFFIX: &str = "-node-port";
/// Where SpinKube's operator mounts a file into each pod.
const RUNTIME_CONFIG: &str = "/runtime-config.toml";

pub(crate) struct App<'a> {
    pub(crate) given: &'a AppSpec,
    pub(crate) settings: &'a Settings,
    pub(crate) spec: Spec,
    /// As a container runtime is told of it.
    pub(crate) image: String,
    /// The platform's name for it, and the user's own. None when it is not for everyone.
    pub(crate) hosts: Vec<String>,
}

impl<'a> App<'a> {
    /// Checks `given`, by the rules of users' requests and those of a cluster.
    pub(crate) fn parse(given: &'a AppSpec, settings: &'a Settings) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        check_names(given, settings, &mut faults);
        let image = image(given, &mut faults);
        let mut reserved: Vec<&str> = settings.platform_hosts.iter().map(String::as_str).collect();
        reserved.push(&settings.base_domain);
        let spec = match given.spec.validated(&reserved) {
            Ok(spec) => {
                check_storage(given.artifact, &spec, &mut faults);
                Some(spec)
            }
            Err(wrong) => {
                for fault in wrong {
                    faults.add(format!("/spec{}", fault.pointer), fault.detail);
                }
                None
            }
        };
        let hosts = hosts(given, settings);
        if hosts.iter().any(|host| host.len() > HOST_BYTES) {
            faults.add_text(
                "/service",
                format!("makes a host name of more than {HOST_BYTES} characters"),
            );
        }
        match (spec, image) {
            (Some(spec), Some(image)) => faults.or(Self {
                given,
                settings,
                spec,
                image,
                hosts,
            }),
            _ => Err(faults),
        }
    }

    /// The same, of an application whose secrets are at hand.
    pub(crate) fn parse_with(
        given: &'a AppSpec,
        secrets: &BTreeMap<String, Secret>,
        settings: &'a Settings,
    ) -> Result<Self, Faults> {
        let mut wrong = Faults::default();
        let sizes = secrets
            .iter()
            .map(|(name, secret)| (name.as_str(), secret.expose().len()));
        check_secrets(sizes, &given.spec.env_vars, &mut wrong);
        let parsed = Self::parse(given, settings);
        if wrong.is_empty() {
            return parsed;
        }
        let mut faults = parsed.err().unwrap_or_default();
        for fault in wrong {
            let pointer = fault.pointer.replacen("/secrets", "/sealed_secrets", 1);
            faults.add(pointer, fault.detail);
        }
        Err(faults)
    }

    pub(crate) fn is_spin(&self) -> bool {
        self.given.artifact == ArtifactKind::Spin
    }

    pub(crate) fn runs(&self) -> bool {
        self.given.desired == DesiredState::Running
    }

    /// The name of most of its objects. Others have a suffix with a dot, which no service's name has.
    pub(crate) fn name(&self) -> &'a str {
        &self.given.service
    }

    /// Whether other programs are to reach it.
    pub(crate) fn is_exposed(&self) -> bool {
        self.spec.exposure_type != Exposure::None
    }

    /// The most copies there will be.
    pub(crate) fn most_replicas(&self) -> u32 {
        if self.spec.enable_autoscaling {
            self.spec.max_replicas
        } else {
            self.spec.replicas
        }
    }
}

fn check_names(app: &AppSpec, settings: &Settings, faults: &mut Faults) {
    faults.take("/deployment_id", DeploymentId::parse(&app.deployment_id));
    faults.take("/namespace", check_namespace(&app.namespace, settings));
    faults.take("/owner", DnsLabel::parse(&app.owner));
    faults.take("/project_id", ProjectId::from_i64(app.project_id));
    faults.take("/project", Slug::parse(&app.project));
    let service = faults.take("/service", ServiceName::parse(&app.service));
    let environment = faults.take("/environment", Environment::parse(&app.environment));
    if let (Some(service), Some(environment)) = (&service, &environment) {
        faults.take("/environment", HostLabel::new(service, environment));
    }
    let Some(service) = service else { return };
    if app.artifact == ArtifactKind::Spin && service.as_str().len() > SPIN_APP_BYTES {
        faults.add_text(
            "/service",
            format!(
                "may have at most {SPIN_APP_BYTES} characters for a Spin application on a cluster"
            ),
        );
    }
    if service.as_str().ends_with(NODE_PORT_SUFFIX) {
        faults.add_text(
            "/service",
            format!("must not end with {NODE_PORT_SUFFIX}, which the platform uses on a cluster"),
        );
    }
}

/// A namespace that can be a project's: the sidecar still has to ask the cluster whose it is.
fn check_namespace(name: &str, settings: &Settings) -> Result<(), Invalid> {
    Namespace::parse(name)?;
    let gateway = match &settings.edge {
        Edge::Gateway { namespace, .. } => Some(namespace.as_str()),
        Edge::Ingress { .. } | Edge::None => None,
    };
    let taken = name == settings.system_namespace
        || Some(name) == settings.edge_namespace.as_deref()
        || name == settings.dns.namespace
        || Some(name) == gateway;
    if taken {
        Err(Invalid::new("belongs to the cluster or the platform"))
    } else {
        Ok(())
    }
}

fn image(app: &AppSpec, faults: &mut Faults) -> Option<String> {
    // A container image may be known by its tag alone; what is unpacked and run as Spin never is.
    let digest = if app.digest.is_empty() && app.artifact == ArtifactKind::Container {
        Some(None)
    } else {
        faults.take("/digest", Digest::parse(&app.digest)).map(Some)
    };
    let image = ImageReference::parse(&app.image_name)
        .and_then(|reference| ContainerImage::from_reference(&reference))
        .map_err(|fault| Invalid::from(fault.to_string()));
    let image = faults.take("/image_name", image)?;
    let pulled = image.pulled(digest.as_ref().and_then(Option::as_ref));
    let pulled = faults.take("/image_name", pulled)?;
    digest.map(|_| pulled)
}

fn check_storage(artifact: ArtifactKind, spec: &Spec, faults: &mut Faults) {
    let Some(path) = &spec.storage_path else {
        return;
    };
    if spec.enable_autoscaling {
        faults.add_text(
            "/spec/enable_autoscaling",
            "is not possible with storage on a cluster: a volume belongs to one copy",
        );
    } else if spec.replicas > 1 {
        faults.add_text(
            "/spec/replicas",
            "must be 1 with storage on a cluster: a volume belongs to one copy",
        );
    }
    let hides_config = path
        .strip_prefix(RUNTIME_CONFIG)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if artifact == ArtifactKind::Spin && hides_config {
        faults.add_text(
            "/spec/storage_path",
            "is where Spin's own configuration lies",
        );
    }
}

/// The hosts of what is for everyone: the platform's name for it first.
fn hosts(app: &AppSpec, settings: &Settings) -> Vec<String> {
    if app.spec.exposure_type != Exposure::External.as_str() {
        return Vec::new();
    }
    let own = app.spec.custom_domain.clone();
    platform_host(app, settings)
        .into_iter()
        .chain(own)
        .collect()
}

/// `<service>[-<environment>].<project>.<owner>.<base domain>`.
pub(crate) fn platform_host(app: &AppSpec, settings: &Settings) -> Option<String> {
    let service = ServiceName::parse(&app.service).ok()?;
    let environment = Environment::parse(&app.environment).ok()?;
    let label = HostLabel::new(&service, &environment).ok()?;
    Some(format!(
        "{}.{}.{}.{}",
        label.as_str(),
        app.project,
        app.owner,
        settings.base_domain
    ))
}
