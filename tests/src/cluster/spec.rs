//! Specs as the platform hands them over, of tenants that no other test has.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use nokube_api::sidecar::{AppSpec, ArtifactKind, DesiredState};
use nokube_api::spec::DeploySpec;
use nokube_domain::deploy::Spec;

static NUMBER: AtomicU64 = AtomicU64::new(1);

/// A project of somebody, with the namespace that the platform recorded for its environment.
#[derive(Debug, Clone)]
pub struct Tenant {
    owner: String,
    project_id: i64,
    project: String,
    environment: String,
}

impl Tenant {
    /// The project `name` of `owner`, which is a name that only this test uses.
    #[must_use]
    pub fn new(owner: &str, name: &str) -> Self {
        Self {
            owner: owner.to_owned(),
            project_id: i64::try_from(next()).expect("a test makes few projects"),
            project: name.to_owned(),
            environment: "production".to_owned(),
        }
    }

    /// The same project's other environment.
    #[must_use]
    pub fn in_environment(&self, environment: &str) -> Self {
        Self {
            environment: environment.to_owned(),
            ..self.clone()
        }
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> String {
        format!("{}-{}", self.project, self.environment)
    }

    /// A container image as a service of it.
    #[must_use]
    pub fn container(&self, service: &str) -> AppSpec {
        self.image(service, "good")
    }

    /// A container whose image is named `image`: kwok behaves by that.
    #[must_use]
    pub fn image(&self, service: &str, image: &str) -> AppSpec {
        AppSpec {
            deployment_id: format!("01940000-0000-7000-8000-{:012x}", next()),
            generation: 1,
            revision: 1,
            desired: DesiredState::Running,
            owner: self.owner.clone(),
            project_id: self.project_id,
            project: self.project.clone(),
            service: service.to_owned(),
            environment: self.environment.clone(),
            namespace: self.namespace(),
            image_name: format!("registry.example.org/{}/{image}:1", self.owner),
            digest: format!("sha256:{}", "a".repeat(64)),
            artifact: ArtifactKind::Container,
            spec: DeploySpec::from(&Spec::default()),
            sealed_secrets: BTreeMap::new(),
        }
    }

    /// A Spin application whose artifact has this digest.
    #[must_use]
    pub fn spin(&self, service: &str, digest: &str) -> AppSpec {
        AppSpec {
            artifact: ArtifactKind::Spin,
            digest: digest.to_owned(),
            ..self.container(service)
        }
    }
}

fn next() -> u64 {
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// The next thing that is wanted of a deployment.
pub trait Changed {
    /// The same with the next generation, changed.
    #[must_use]
    fn then(&self, change: impl FnOnce(&mut AppSpec)) -> AppSpec;
}

impl Changed for AppSpec {
    fn then(&self, change: impl FnOnce(&mut AppSpec)) -> AppSpec {
        let mut next = self.clone();
        next.generation += 1;
        change(&mut next);
        next
    }
}
