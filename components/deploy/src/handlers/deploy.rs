//! `POST /deploy`: a release.

use nokube_domain::deploy::{Change, Desired};
use nokube_domain::{DeploymentId, Environment, HostLabel, ProjectId, ProjectRole, ServiceName};
use nokube_guest::db::{Db, Tx};
use nokube_guest::platform::{self, ProjectAccess, project_for};
use nokube_guest::{Audit, Caller, Ctx, Error, Response, once};
use serde_json::json;

use super::deployments::visible;
use crate::change::{Circumstances, Configuration};
use crate::error::DeployError;
use crate::image::{Artifact, Named};
use crate::namespaces;
use crate::proof::Proofs;
use crate::request::DeployRequest;
use crate::settings::{PlatformHosts, max_deployments, sealing_key};
use crate::sidecar::hand_over_now;
use crate::store::deployments::{
    DeploymentRow, NewDeployment, Wanted, deployment_count_of_project, deployment_domain_is_taken,
    deployment_find_by_name, deployment_insert, deployment_label_is_taken,
    deployment_want_revision,
};
use crate::store::revisions::{NewRevision, configuration_of, revision_insert, revision_newest};
use crate::view::deployment_answer;

/// `POST /deploy`.
pub(crate) async fn create_deployment(
    mut cx: Ctx,
    caller: Caller,
) -> Result<Response, DeployError> {
    let request = DeployRequest::from_fields(cx.fields().await?)?;
    let db = platform::open(&cx).await?;
    let proofs = proofs_for(&cx, &db, &caller, &request).await?;
    let mut accepted = None;
    let response = once(&cx, &db, &caller, async |tx| {
        let plan = plan(&cx, tx, &caller, request, &proofs).await?;
        let row = release(&cx, tx, &caller, &plan).await?;
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
pub(super) struct Place {
    pub(super) project: ProjectAccess,
    pub(super) service: ServiceName,
    pub(super) environment: Environment,
    host_label: HostLabel,
}

impl Place {
    /// The namespace it is in.
    pub(super) fn namespace(&self) -> namespaces::Place<'_> {
        namespaces::Place {
            project: self.project.id,
            slug: &self.project.slug,
            environment: self.environment.as_str(),
        }
    }
}

/// What a request comes to, before anything of it is stored.
pub(super) struct Plan {
    pub(super) place: Place,
    pub(super) id: DeploymentId,
    /// The deployment that is there already.
    pub(super) present: Option<DeploymentRow>,
    pub(super) configuration: Configuration,
    pub(super) artifact: Artifact,
    pub(super) revision: u32,
}

/// Looks for the proof of the custom domain that a request wants, if that takes one.
pub(super) async fn proofs_for(
    cx: &Ctx,
    db: &Db,
    caller: &Caller,
    request: &DeployRequest,
) -> Result<Proofs, DeployError> {
    let wanted = match &request.change.spec.custom_domain {
        Change::Set(domain) => Some(domain.as_str()),
        Change::Keep | Change::Unset => None,
    };
    let mut present = None;
    if let (Some(_), Some(project)) = (wanted, request.project_id) {
        project_for(db, caller, project, ProjectRole::Developer).await?;
        if let (Some(service), Some(environment)) = (&request.service, &request.environment)
            && let Some(row) = deployment_find_by_name(db, project, service, environment).await?
        {
            present = present_configuration(&row)?.spec.custom_domain;
        }
    }
    Ok(Proofs::gather(cx, caller, request.project_id, present.as_deref(), wanted).await?)
}

/// Everything that a request has to fulfil, and what comes of it then: the same for a release and for a preview of one.
pub(super) async fn plan(
    cx: &Ctx,
    db: &Db,
    caller: &Caller,
    request: DeployRequest,
    proofs: &Proofs,
) -> Result<Plan, DeployError> {
    let mut faults = request.faults;
    let project = match request.project_id {
        Some(project) => Some(project_for(db, caller, project, ProjectRole::Developer).await?),
        None => None,
    };
    let place = match (
        project,
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
            deployment_find_by_name(db, place.project.id, &place.service, &place.environment)
                .await?
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
        proofs,
        deployment: id,
    };
    let configuration = before.changed(request.change, &circumstances, &mut faults)?;
    let named = Named {
        build: request.build_id,
        image: request.image,
    };
    let image = named.resolve(cx, db, caller, &mut faults).await?;
    let (Some(place), Some(image), true) = (place, image, faults.is_empty()) else {
        return Err(Error::Invalid(faults).into());
    };
    let revision = match &present {
        Some(row) => revision_newest(db, row.id).await? + 1,
        None => 1,
    };
    let plan = Plan {
        place,
        id,
        present,
        configuration,
        artifact: image.deployable()?,
        revision,
    };
    plan.has_room(cx, db).await?;
    Ok(plan)
}

impl Plan {
    /// Whether nothing else has what it needs for itself.
    async fn has_room(&self, cx: &Ctx, db: &Db) -> Result<(), DeployError> {
        let project = self.place.project.id;
        if self.present.is_none() {
            let limit = max_deployments(cx)?;
            if deployment_count_of_project(db, project).await? >= limit {
                return Err(DeployError::TooMany(limit));
            }
            let label = &self.place.host_label;
            if deployment_label_is_taken(db, project, label).await? {
                return Err(DeployError::HostTaken {
                    label: label.as_str().to_owned(),
                });
            }
        }
        match &self.configuration.spec.custom_domain {
            Some(domain) if deployment_domain_is_taken(db, domain, self.id).await? => {
                Err(DeployError::DomainTaken)
            }
            _ => Ok(()),
        }
    }
}

/// Records what was planned.
async fn release(
    cx: &Ctx,
    tx: &Tx,
    caller: &Caller,
    plan: &Plan,
) -> Result<DeploymentRow, DeployError> {
    store(cx, tx, plan).await?;
    plan.place.namespace().recorded(cx, tx).await?;
    let (place, artifact) = (&plan.place, &plan.artifact);
    let new = NewRevision {
        deployment: plan.id,
        revision: plan.revision,
        kind: "deploy",
        build_id: artifact.build_id.as_deref(),
        image_name: &artifact.image_name,
        digest: artifact.digest.as_deref().unwrap_or_default(),
        artifact: artifact.kind,
        configuration: &plan.configuration,
        rolled_back_to: None,
        now: cx.now(),
    };
    revision_insert(tx, caller, &new).await?;
    let detail = json!({
        "service_name": place.service.as_str(), "environment": place.environment.as_str(),
        "revision": plan.revision, "image_name": artifact.image_name, "digest": artifact.digest,
    });
    let project = place.project.id;
    audit(
        cx,
        tx,
        caller,
        "deployment.deploy",
        plan.id,
        project,
        detail,
    )
    .await?;
    visible(tx, caller, plan.id).await
}

/// Makes the deployment want the planned revision, which is its first when it is new.
async fn store(cx: &Ctx, tx: &Tx, plan: &Plan) -> Result<(), DeployError> {
    let wanted = wanted(&plan.configuration);
    let Some(row) = &plan.present else {
        let new = NewDeployment {
            id: plan.id,
            project_id: plan.place.project.id,
            service: &plan.place.service,
            environment: &plan.place.environment,
            host_label: &plan.place.host_label,
            wanted,
            now: cx.now(),
        };
        return Ok(deployment_insert(tx, &new).await?);
    };
    let running = Some(Desired::Running);
    if deployment_want_revision(tx, row, plan.revision, &wanted, running, cx.now()).await? {
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
