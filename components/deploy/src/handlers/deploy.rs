//! `POST /deploy`: a release.

use nokube_domain::build::ImageReference;
use nokube_domain::deploy::Desired;
use nokube_domain::{DeploymentId, Environment, HostLabel, ProjectId, ProjectRole, ServiceName};
use nokube_guest::db::Tx;
use nokube_guest::platform::{self, project_for};
use nokube_guest::{Audit, Caller, Ctx, Error, FieldFault, Response, once};
use serde_json::json;

use super::deployments::visible;
use crate::change::{Circumstances, Configuration};
use crate::error::DeployError;
use crate::request::DeployRequest;
use crate::settings::{PlatformHosts, max_deployments, sealing_key};
use crate::sidecar::hand_over_now;
use crate::store::deployments::{
    DeploymentRow, NewDeployment, Wanted, deployment_count_of_project, deployment_find_by_name,
    deployment_insert, deployment_label_is_taken, deployment_want_revision,
};
use crate::store::images::{ImageRow, image_find_by_build, image_find_by_name};
use crate::store::revisions::{NewRevision, configuration_of, revision_insert, revision_newest};
use crate::view::deployment_answer;

/// `POST /deploy`.
pub(crate) async fn create_deployment(
    mut cx: Ctx,
    caller: Caller,
) -> Result<Response, DeployError> {
    let request = DeployRequest::from_fields(cx.fields().await?)?;
    let db = platform::open(&cx).await?;
    let mut accepted = None;
    let response = once(&cx, &db, &caller, async |tx| {
        let row = release(&cx, tx, &caller, request).await?;
        accepted = Some(row.id);
        let location = format!("/api/v1/deployments/{}", row.id);
        Ok::<_, DeployError>(deployment_answer(&cx, 202, &row)?.location(location))
    })
    .await?;
    if let Some(id) = accepted {
        hand_over_now(&cx, &db, id).await;
    }
    Ok(response)
}

/// Where a release goes.
struct Place {
    project: ProjectId,
    service: ServiceName,
    environment: Environment,
    host_label: HostLabel,
}

async fn release(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    request: DeployRequest,
) -> Result<DeploymentRow, DeployError> {
    let mut faults = request.faults;
    if let Some(project) = request.project_id {
        project_for(tx, caller, project, ProjectRole::Developer).await?;
    }
    let place = match (
        request.project_id,
        request.service,
        request.environment,
        request.host_label,
    ) {
        (Some(project), Some(service), Some(environment), Some(host_label)) => Some(Place {
            project,
            service,
            environment,
            host_label,
        }),
        _ => None,
    };
    let present = match &place {
        Some(place) => {
            deployment_find_by_name(tx, place.project, &place.service, &place.environment).await?
        }
        None => None,
    };
    let id = match &present {
        Some(row) if row.desired() == Desired::Deleted => return Err(DeployError::BeingDeleted),
        Some(row) => row.id,
        None => DeploymentId::new(cx.now(), cx.random()),
    };
    let before = match &present {
        Some(row) => present_configuration(row)?,
        None => Configuration::default(),
    };
    let hosts = PlatformHosts::from_variables(cx);
    let circumstances = Circumstances {
        cx,
        caller,
        platform_hosts: &hosts.names(),
        sealing_key: &sealing_key(cx)?,
        deployment: id,
    };
    let configuration = before.changed(request.change, &circumstances, &mut faults)?;
    let named = Named {
        build: request.build_id,
        image: request.image,
    };
    let image = named.resolve(tx, caller, &mut faults).await?;
    let (Some(place), Some(image), true) = (place, image, faults.is_empty()) else {
        return Err(Error::Invalid(faults).into());
    };
    let digest = deployable(&image)?;
    let revision = match &present {
        Some(row) => revision_newest(tx, row.id).await? + 1,
        None => 1,
    };
    store(
        cx,
        tx,
        &place,
        id,
        present.as_ref(),
        &configuration,
        revision,
    )
    .await?;
    let image_name = image.full_name();
    let new = NewRevision {
        deployment: id,
        revision,
        kind: "deploy",
        build_id: Some(&image.id.to_string()),
        image_name: &image_name,
        digest: &digest,
        configuration: &configuration,
        rolled_back_to: None,
        now: cx.now(),
    };
    revision_insert(tx, caller, &new).await?;
    let detail = json!({
        "service_name": place.service.as_str(), "environment": place.environment.as_str(),
        "revision": revision, "image_name": image_name, "digest": digest,
    });
    audit(
        cx,
        tx,
        caller,
        "deployment.deploy",
        id,
        place.project,
        detail,
    )
    .await?;
    visible(tx, caller, id).await
}

/// Makes the deployment want `revision`, which is its first when it is new.
async fn store(
    cx: &Ctx,
    tx: &Tx,
    place: &Place,
    id: DeploymentId,
    present: Option<&DeploymentRow>,
    configuration: &Configuration,
    revision: u32,
) -> Result<(), DeployError> {
    let wanted = wanted(configuration);
    let Some(row) = present else {
        let limit = max_deployments(cx)?;
        if deployment_count_of_project(tx, place.project).await? >= limit {
            return Err(DeployError::TooMany(limit));
        }
        if deployment_label_is_taken(tx, place.project, &place.host_label).await? {
            return Err(DeployError::HostTaken {
                label: place.host_label.as_str().to_owned(),
            });
        }
        let new = NewDeployment {
            id,
            project_id: place.project,
            service: &place.service,
            environment: &place.environment,
            host_label: &place.host_label,
            wanted,
            now: cx.now(),
        };
        return Ok(deployment_insert(tx, &new).await?);
    };
    let running = Some(Desired::Running);
    if deployment_want_revision(tx, row, revision, &wanted, running, cx.now()).await? {
        Ok(())
    } else {
        Err(DeployError::ChangedMeanwhile)
    }
}

/// What a revision's configuration wants of the deployment's own row.
pub(super) fn wanted(configuration: &Configuration) -> Wanted<'_> {
    Wanted {
        custom_domain: configuration.spec.custom_domain.as_deref(),
        replicas: configuration.spec.replicas,
    }
}

/// What a deployment is configured as, scaling included.
pub(super) fn present_configuration(row: &DeploymentRow) -> Result<Configuration, Error> {
    let mut configuration = configuration_of(&row.spec, &row.secrets)?;
    configuration.spec.replicas = row.replicas;
    Ok(configuration)
}

/// The image of a request: a build, a name, or both when they agree.
struct Named {
    build: Option<nokube_domain::BuildId>,
    image: Option<ImageReference>,
}

impl Named {
    /// The build that is meant. A build that the caller may not see does not exist.
    async fn resolve(
        &self,
        tx: &Tx,
        caller: &Caller,
        faults: &mut Vec<FieldFault>,
    ) -> Result<Option<ImageRow>, DeployError> {
        let fault = |pointer: &str, detail: &str| FieldFault {
            pointer: pointer.to_owned(),
            detail: detail.to_owned(),
            r#in: None,
        };
        if let Some(build) = self.build {
            let found = image_find_by_build(tx, caller, build).await?;
            let agrees =
                |row: &ImageRow| self.image.as_ref().is_none_or(|image| row.is_called(image));
            return match found {
                None if faults.is_empty() => Err(Error::NotFound("build").into()),
                Some(row) if !agrees(&row) => {
                    faults.push(fault(
                        "/build_id",
                        "is not the build whose image image_name names; send one of the two",
                    ));
                    faults.push(fault(
                        "/image_name",
                        "is not the image of the build in build_id; send one of the two",
                    ));
                    Ok(None)
                }
                found => Ok(found),
            };
        }
        let Some(image) = &self.image else {
            return Ok(None);
        };
        let found = image_find_by_name(tx, caller, image).await?;
        if found.is_none() {
            faults.push(fault(
                "/image_name",
                "is not the image of a build that you may see; images from elsewhere need a Kubernetes target, which this platform does not have",
            ));
        }
        Ok(found)
    }
}

/// The digest of a build that succeeded.
fn deployable(image: &ImageRow) -> Result<String, DeployError> {
    match (&image.digest, image.status.as_str()) {
        (Some(digest), "success") => Ok(digest.clone()),
        (_, status) => Err(DeployError::BuildNotSuccessful {
            status: status.to_owned(),
        }),
    }
}

pub(super) async fn audit(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    action: &'static str,
    id: DeploymentId,
    project: ProjectId,
    detail: serde_json::Value,
) -> Result<(), DeployError> {
    let entry = Audit {
        action,
        target: format!("deployment:{id}"),
        project_id: Some(project),
        detail,
        actor: Some(caller),
    };
    Ok(entry.write(cx, tx).await?)
}
