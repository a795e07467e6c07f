//! Rows as users see them, and the tag that says which wish a client has seen.

use nokube_api::deploy::{Deployment, FieldChange, MASKED, Revision, spec_changes};
use nokube_api::sidecar::ArtifactKind;
use nokube_domain::deploy::Exposure;
use nokube_guest::{Ctx, Error, Response, etag_of};
use serde_json::Value;

use crate::change::Configuration;
use crate::store::deployments::DeploymentRow;
use crate::store::revisions::{RevisionRow, artifact_of, configuration_of};

/// What whoever deploys an image by its tag should know.
const NOT_FIXED: &str = "The image is named by a tag, which its registry can give to another image: copies that start \
     later may run something else, and so may a rollback. Name it by digest, as name@sha256:…, to run these bytes for good.";

/// What whoever wants a port of every node has to know where the operator has not said where nodes are.
const PORT_ALONE: &str = "It answers at a port of every node. Which one, its events say (NodePort); at which address, the \
     operator of the cluster knows.";

/// A deployment on the wire.
pub(crate) fn deployment_view(row: &DeploymentRow) -> Result<Deployment, Error> {
    let Configuration { mut spec, secrets } = configuration_of(&row.spec, &row.secrets)?;
    // Scaling changes the copies without a revision.
    spec.replicas = row.replicas;
    let artifact = artifact_of(&row.artifact)?;
    let digest = known(&row.digest);
    let is_fixed = artifact == ArtifactKind::Spin || digest.is_some();
    let objects: Vec<String> = serde_json::from_str(&row.objects).unwrap_or_default();
    // A name is recorded for every environment; a cluster alone has an object of it.
    let is_in_namespace = objects.iter().any(|kind| kind == "Namespace");
    let is_without_url = is_in_namespace
        && row.access_url.is_none()
        && spec.exposure_type == Exposure::NodePort.as_str();
    let warnings = [(!is_fixed, NOT_FIXED), (is_without_url, PORT_ALONE)];
    Ok(Deployment {
        deployment_id: row.id.to_string(),
        project_id: row.project_id.0,
        service_name: row.service_name.clone(),
        environment: row.environment.clone(),
        namespace: row.namespace.clone().filter(|_| is_in_namespace),
        revision: row.revision,
        status: row.status.clone(),
        image_name: row.image_name.clone(),
        digest,
        artifact,
        build_id: row.build_id.clone(),
        replicas_ready: row.replicas_ready,
        replicas_total: row.replicas_total,
        access_url: row.access_url.clone(),
        manifests_generated: objects,
        error_message: row.error_message.clone(),
        warnings: warnings
            .into_iter()
            .filter(|(holds, _)| *holds)
            .map(|(_, text)| text.to_owned())
            .collect(),
        created_at: row.created_at_ms.to_string(),
        updated_at: row.updated_at_ms.to_string(),
        spec,
        secret_names: secrets.into_keys().collect(),
    })
}

/// A digest, which of an image that is known by its tag alone is empty.
fn known(digest: &str) -> Option<String> {
    (!digest.is_empty()).then(|| digest.to_owned())
}

/// A revision on the wire, beside the one before it.
pub(crate) fn revision_view(
    row: &RevisionRow,
    before: Option<&RevisionRow>,
    current: u32,
) -> Result<Revision, Error> {
    let configuration = configuration_of(&row.spec, &row.secrets)?;
    let changes = match before {
        None => Vec::new(),
        Some(before) => changes(row, &configuration, before)?,
    };
    Ok(Revision {
        revision: row.revision,
        kind: row.kind.clone(),
        image_name: row.image_name.clone(),
        digest: known(&row.digest),
        artifact: artifact_of(&row.artifact)?,
        build_id: row.build_id.clone(),
        rolled_back_to: row.rolled_back_to,
        changes,
        spec: configuration.spec,
        secret_names: configuration.secrets.into_keys().collect(),
        created_by: row.created_by_name.clone(),
        created_at: row.created_at_ms.to_string(),
        current: row.revision == current,
    })
}

fn changes(
    row: &RevisionRow,
    after: &Configuration,
    before_row: &RevisionRow,
) -> Result<Vec<FieldChange>, Error> {
    let before = configuration_of(&before_row.spec, &before_row.secrets)?;
    let mut changes = Vec::new();
    for (field, from, to) in [
        ("digest", &before_row.digest, &row.digest),
        ("image_name", &before_row.image_name, &row.image_name),
        ("artifact", &before_row.artifact, &row.artifact),
    ] {
        if from != to {
            // A digest that is not known is nothing.
            changes.push(FieldChange {
                field: field.to_owned(),
                from: known(from).into(),
                to: known(to).into(),
            });
        }
    }
    changes.extend(spec_changes(&before.spec, &after.spec));
    let mut names: Vec<&String> = before.secrets.keys().chain(after.secrets.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let masked = |there: bool| if there { MASKED.into() } else { Value::Null };
    for name in names {
        let (from, to) = (before.secrets.get(name), after.secrets.get(name));
        // The same sealed text is the same value; a value set again counts as changed.
        if from != to {
            changes.push(FieldChange {
                field: format!("secrets.{name}"),
                from: masked(from.is_some()),
                to: masked(to.is_some()),
            });
        }
    }
    Ok(changes)
}

/// A deployment with its tag, `"<generation>-<hash>"`. The generation is what [`check_if_match`]
/// asks for; the hash makes the tag change with the status as well, for `If-None-Match`.
pub(crate) fn deployment_answer(
    cx: &Ctx,
    status: u16,
    row: &DeploymentRow,
) -> Result<Response, Error> {
    let view = deployment_view(row)?;
    let tag = format!(
        "\"{}-{}\"",
        row.generation,
        etag_of(&view).trim_matches('"')
    );
    let known = cx
        .headers()
        .all("if-none-match")
        .flat_map(|list| list.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|given| given == tag || given == "*");
    let response = if known && status == 200 {
        Response::empty(304)
    } else {
        Response::json(status, &view)
    };
    Ok(response.header("etag", tag))
}

/// Holds `If-Match` against what is wanted now. That the target has made progress since the client
/// looked is no reason to refuse: only another wish is.
pub(crate) fn check_if_match(cx: &Ctx, row: &DeploymentRow) -> Result<(), Error> {
    let mut tags = cx
        .headers()
        .all("if-match")
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .peekable();
    if tags.peek().is_none() {
        return Ok(());
    }
    let present = row.generation.to_string();
    let fits = |tag: &str| {
        tag == "*"
            || tag
                .trim_matches('"')
                .split_once('-')
                .is_some_and(|(generation, _)| generation == present)
    };
    if tags.any(fits) {
        Ok(())
    } else {
        Err(Error::StaleVersion)
    }
}
