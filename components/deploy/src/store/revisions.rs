//! Rows of revisions. They never change.

use std::collections::BTreeMap;

use nokube_api::sidecar::ArtifactKind;
use nokube_domain::{DeploymentId, Timestamp};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{Caller, Error, params, row};

use crate::change::Configuration;

row! {
    /// A revision as it is stored.
    #[derive(Debug, Clone)]
    pub(crate) struct RevisionRow {
        pub(crate) revision: u32,
        pub(crate) kind: String,
        pub(crate) build_id: Option<String>,
        pub(crate) image_name: String,
        pub(crate) digest: String,
        pub(crate) artifact: String,
        pub(crate) spec: String,
        pub(crate) secrets: String,
        pub(crate) rolled_back_to: Option<u32>,
        pub(crate) created_by_name: String,
        pub(crate) created_at_ms: Timestamp,
    }
}

/// The configuration that a row holds.
pub(crate) fn configuration_of(spec: &str, secrets: &str) -> Result<Configuration, Error> {
    let contradiction = |_| Error::Contradiction("a stored revision cannot be read");
    let secrets: BTreeMap<String, String> = serde_json::from_str(secrets).map_err(contradiction)?;
    Ok(Configuration {
        spec: serde_json::from_str(spec).map_err(contradiction)?,
        secrets,
    })
}

/// The kind of program that a row names.
pub(crate) fn artifact_of(name: &str) -> Result<ArtifactKind, Error> {
    ArtifactKind::parse(name).ok_or(Error::Contradiction("a stored revision is of no kind"))
}

/// A revision that is about to be.
pub(crate) struct NewRevision<'a> {
    pub(crate) deployment: DeploymentId,
    pub(crate) revision: u32,
    /// `deploy`, `configure` or `rollback`.
    pub(crate) kind: &'static str,
    pub(crate) build_id: Option<&'a str>,
    pub(crate) image_name: &'a str,
    /// Empty for a container image that is known by its tag alone.
    pub(crate) digest: &'a str,
    pub(crate) artifact: ArtifactKind,
    pub(crate) configuration: &'a Configuration,
    pub(crate) rolled_back_to: Option<u32>,
    pub(crate) now: Timestamp,
}

/// Stores a revision.
pub(crate) async fn revision_insert(
    tx: &Tx,
    caller: &Caller,
    new: &NewRevision<'_>,
) -> Result<(), DbError> {
    let json = |value: &serde_json::Value| value.to_string();
    tx.execute(
        "INSERT INTO deployment_revisions (deployment_id, revision, kind, build_id, image_name, \
         digest, artifact, spec, secrets, rolled_back_to, created_by, created_by_name, created_at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        params![
            new.deployment,
            new.revision,
            new.kind,
            new.build_id,
            new.image_name,
            new.digest,
            new.artifact.as_str(),
            json(&serde_json::json!(new.configuration.spec)),
            json(&serde_json::json!(new.configuration.secrets)),
            new.rolled_back_to,
            caller.id,
            caller.username.as_str(),
            new.now,
        ],
    )
    .await?;
    Ok(())
}

/// One revision of a deployment that the caller was seen to be allowed to see.
pub(crate) async fn revision_find(
    db: &Db,
    deployment: DeploymentId,
    revision: u32,
) -> Result<Option<RevisionRow>, DbError> {
    db.query_optional(
        "SELECT * FROM deployment_revisions WHERE deployment_id = ?1 AND revision = ?2",
        params![deployment, revision],
    )
    .await
}

/// The newest revision's number: a rollback is a new one, so it is the wanted one as well.
pub(crate) async fn revision_newest(db: &Db, deployment: DeploymentId) -> Result<u32, DbError> {
    let (newest,) = db
        .query_one(
            "SELECT max(revision) FROM deployment_revisions WHERE deployment_id = ?1",
            params![deployment],
        )
        .await?;
    Ok(newest)
}

/// Revisions of a deployment up to number `up_to`, newest first; at most `limit`.
pub(crate) async fn revision_list(
    db: &Db,
    deployment: DeploymentId,
    up_to: u32,
    limit: u64,
) -> Result<Vec<RevisionRow>, DbError> {
    db.query(
        "SELECT * FROM deployment_revisions WHERE deployment_id = ?1 AND revision <= ?2 \
         ORDER BY revision DESC LIMIT ?3",
        params![deployment, up_to, limit],
    )
    .await
}
