//! Revisions: the list, a change of configuration alone, and going back.

use nokube_api::deploy::RevisionList;
use nokube_api::sidecar::ArtifactKind;
use nokube_domain::deploy::{Change, Desired};
use nokube_domain::{DeploymentId, Invalid, ProjectRole};
use nokube_guest::db::{Db, Tx};
use nokube_guest::platform::{self, project_for};
use nokube_guest::{Caller, Ctx, Cursor, Error, Response, once};
use serde_json::json;

use super::deploy::{audit, present_configuration, wanted};
use super::deployments::{changeable, deployment_id, visible};
use crate::change::{Circumstances, Configuration};
use crate::error::DeployError;
use crate::proof::{Proofs, needs_proof};
use crate::request::configuration_change;
use crate::settings::{PlatformHosts, sealing_key};
use crate::sidecar::hand_over_now;
use crate::store::deployments::{DeploymentRow, deployment_want_revision};
use crate::store::revisions::{
    NewRevision, artifact_of, configuration_of, revision_find, revision_insert, revision_list,
    revision_newest,
};
use crate::view::{deployment_answer, revision_view};

/// Revisions of one answer.
const PAGE: u64 = 50;

/// `GET /deployments/{id}/revisions`: newest first, 50 at a time; `cursor` goes on.
pub(crate) async fn list_deployment_revisions(
    cx: Ctx,
    caller: Caller,
) -> Result<Response, DeployError> {
    let id = deployment_id(&cx)?;
    let up_to = match Cursor::from_query(&cx)?.0 {
        0 => u32::MAX,
        cursor => u32::try_from(cursor)
            .map_err(|_| Error::invalid_query("cursor", "is not a cursor of this list"))?,
    };
    let db = platform::open(&cx).await?;
    let row = visible(&db, &caller, id).await?;
    // One more than is shown: the last one shown is compared with it.
    let rows = revision_list(&db, id, up_to, PAGE + 1).await?;
    let shown = rows.len().min(usize::try_from(PAGE).unwrap_or(usize::MAX));
    let data = rows[..shown]
        .iter()
        .enumerate()
        .map(|(index, revision)| revision_view(revision, rows.get(index + 1), row.revision))
        .collect::<Result<_, _>>()?;
    let cursor = rows
        .get(shown)
        .map(|next| Cursor(i64::from(next.revision)).to_string());
    Ok(Response::ok(&RevisionList { data, cursor }))
}

/// `PATCH /deployments/{id}`: configuration alone.
pub(crate) async fn update_deployment(
    mut cx: Ctx,
    caller: Caller,
) -> Result<Response, DeployError> {
    let id = deployment_id(&cx)?;
    let (change, mut faults) = configuration_change(cx.fields().await?)?;
    let db = platform::open(&cx).await?;
    let wanted = match &change.spec.custom_domain {
        Change::Set(domain) => Some(domain.clone()),
        Change::Keep | Change::Unset => None,
    };
    let proofs = proofs_for(&cx, &db, &caller, id, wanted.as_deref()).await?;
    let response = db
        .transaction(async |tx| {
            let row = changeable(&cx, tx, &caller, id).await?;
            let before = present_configuration(&row)?;
            let hosts = PlatformHosts::from_variables(&cx);
            let circumstances = Circumstances {
                cx: &cx,
                caller: &caller,
                platform_hosts: &hosts.names(),
                sealing_key: &sealing_key(&cx)?,
                proofs: &proofs,
                deployment: id,
            };
            let after = before.changed(change, &circumstances, &mut faults)?;
            if !faults.is_empty() {
                return Err(Error::Invalid(faults).into());
            }
            if after == before {
                return Ok(deployment_answer(&cx, 202, &row)?);
            }
            let revision = Next {
                kind: "configure",
                build_id: row.build_id.as_deref(),
                image_name: &row.image_name,
                digest: &row.digest,
                artifact: artifact_of(&row.artifact)?,
                configuration: &after,
                rolled_back_to: None,
                // What is stopped stays stopped.
                desired: None,
            };
            revision.make(&cx, tx, &caller, &row).await
        })
        .await?;
    hand_over_now(&cx, &db, id).await;
    Ok(response)
}

/// `POST /deployments/{id}/rollback`: image, configuration, environment and secrets of a revision, as
/// the next one.
pub(crate) async fn roll_back_deployment(
    mut cx: Ctx,
    caller: Caller,
) -> Result<Response, DeployError> {
    let id = deployment_id(&cx)?;
    let mut fields = cx.fields().await?;
    let revision = fields.required("revision", |revision: u32| {
        if revision > 0 {
            Ok(revision)
        } else {
            Err(Invalid::new("must be the number of a revision, from 1"))
        }
    });
    let revision = fields.finish(|| revision)?;
    let db = platform::open(&cx).await?;
    let proofs = proofs_for_revision(&cx, &db, &caller, id, revision).await?;
    let response = once(&cx, &db, &caller, async |tx| {
        let row = changeable(&cx, tx, &caller, id).await?;
        let wanted = revision_find(tx, id, revision).await?.ok_or_else(|| {
            Error::invalid(
                "/revision",
                &Invalid::new("is not a revision of this deployment"),
            )
        })?;
        let configuration = configuration_of(&wanted.spec, &wanted.secrets)?;
        let domain = &configuration.spec.custom_domain;
        let present = present_configuration(&row)?.spec.custom_domain;
        if let Some(name) = domain
            && needs_proof(&present, domain, &caller)
            && !proofs.proves(name)
        {
            let detail = format!("has a custom domain that {}", proofs.wanting(name));
            return Err(Error::invalid("/revision", &Invalid::from(detail)).into());
        }
        let next = Next {
            kind: "rollback",
            build_id: wanted.build_id.as_deref(),
            image_name: &wanted.image_name,
            digest: &wanted.digest,
            artifact: artifact_of(&wanted.artifact)?,
            configuration: &configuration,
            rolled_back_to: Some(revision),
            desired: Some(Desired::Running),
        };
        next.make(&cx, tx, &caller, &row).await
    })
    .await?;
    hand_over_now(&cx, &db, id).await;
    Ok(response)
}

/// Looks for the proof of `wanted`, if going there takes one. Not for those who may change nothing: it asks the DNS.
async fn proofs_for(
    cx: &Ctx,
    db: &Db,
    caller: &Caller,
    id: DeploymentId,
    wanted: Option<&str>,
) -> Result<Proofs, DeployError> {
    let row = visible(db, caller, id).await?;
    project_for(db, caller, row.project_id, ProjectRole::Developer).await?;
    let present = present_configuration(&row)?.spec.custom_domain;
    let project = Some(row.project_id);
    Ok(Proofs::gather(cx, caller, project, present.as_deref(), wanted).await?)
}

/// The same for the domain of a revision.
async fn proofs_for_revision(
    cx: &Ctx,
    db: &Db,
    caller: &Caller,
    id: DeploymentId,
    revision: u32,
) -> Result<Proofs, DeployError> {
    visible(db, caller, id).await?;
    let wanted = match revision_find(db, id, revision).await? {
        Some(row) => {
            configuration_of(&row.spec, &row.secrets)?
                .spec
                .custom_domain
        }
        None => None,
    };
    proofs_for(cx, db, caller, id, wanted.as_deref()).await
}

/// The next revision of a deployment that exists.
struct Next<'a> {
    kind: &'static str,
    build_id: Option<&'a str>,
    image_name: &'a str,
    digest: &'a str,
    artifact: ArtifactKind,
    configuration: &'a Configuration,
    rolled_back_to: Option<u32>,
    desired: Option<Desired>,
}

impl Next<'_> {
    async fn make(
        &self,
        cx: &Ctx,
        tx: &Tx,
        caller: &Caller,
        row: &DeploymentRow,
    ) -> Result<Response, DeployError> {
        let revision = revision_newest(tx, row.id).await? + 1;
        let new = NewRevision {
            deployment: row.id,
            revision,
            kind: self.kind,
            build_id: self.build_id,
            image_name: self.image_name,
            digest: self.digest,
            artifact: self.artifact,
            configuration: self.configuration,
            rolled_back_to: self.rolled_back_to,
            now: cx.now(),
        };
        revision_insert(tx, caller, &new).await?;
        let wanted = wanted(self.configuration);
        if !deployment_want_revision(tx, row, revision, &wanted, self.desired, cx.now()).await? {
            return Err(DeployError::ChangedMeanwhile);
        }
        let action = match self.rolled_back_to {
            Some(_) => "deployment.rollback",
            None => "deployment.configure",
        };
        let detail = json!({
            "service_name": row.service_name, "environment": row.environment, "revision": revision,
            "rolled_back_to": self.rolled_back_to, "digest": self.digest,
        });
        audit(cx, tx, caller, action, row.id, row.project_id, detail).await?;
        let row = visible(tx, caller, row.id).await?;
        Ok(deployment_answer(cx, 202, &row)?)
    }
}
