//! What a cluster would be given for a spec, for people to read. Secrets are not even opened for it.

use std::collections::BTreeMap;

use nokube_api::deploy::{MASKED, ManifestList};
use nokube_api::sidecar::{AppSpec, ArtifactKind};
use nokube_domain::{Environment, Faults, Namespace, ProjectId, Slug};
use nokube_keys::Secret;
use nokube_manifests::{Facts, PodSecurity, Settings, app_objects, namespace_objects};

use crate::check::SpecFault;

/// The objects of `app` as YAML, by kind and name. `neighbours` are the kinds of the other deployments in its namespace.
///
/// # Errors
/// What of the spec no object can be made of.
pub(crate) fn render(
    app: &AppSpec,
    neighbours: impl IntoIterator<Item = ArtifactKind>,
    settings: &Settings,
) -> Result<ManifestList, Vec<SpecFault>> {
    let app = &with_namespace(app);
    let pod_security = PodSecurity::of(neighbours.into_iter().chain([app.artifact]));
    let secrets: BTreeMap<String, Secret> = app
        .sealed_secrets
        .keys()
        .map(|name| (name.clone(), Secret::new(MASKED.to_owned())))
        .collect();
    let shared = namespace_objects(app, pod_security, settings).map_err(spec_faults)?;
    let own = app_objects(app, &secrets, &Facts::default(), settings).map_err(spec_faults)?;
    let manifests = shared
        .iter()
        .chain(&own)
        .map(|object| (object.id(), object.masked().to_yaml()))
        .collect();
    Ok(ManifestList { manifests })
}

/// A spec of a platform that recorded no namespace has the first one it could get.
fn with_namespace(app: &AppSpec) -> AppSpec {
    let mut app = app.clone();
    if app.namespace.is_empty()
        && let Ok(project) = Slug::parse(&app.project)
        && let Ok(environment) = Environment::parse(&app.environment)
    {
        let mut names = Namespace::candidates(&project, &environment, ProjectId(app.project_id));
        app.namespace = names
            .next()
            .map_or_else(String::new, |name| name.to_string());
    }
    app
}

fn spec_faults(faults: Faults) -> Vec<SpecFault> {
    faults
        .into_iter()
        .map(|fault| SpecFault {
            pointer: fault.pointer,
            detail: fault.detail.to_string(),
        })
        .collect()
}
