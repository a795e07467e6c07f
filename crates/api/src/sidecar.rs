//! What `deploy` and the sidecar say to each other (bearer: sidecar token).
//!
//! | call | answer |
//! |---|---|
//! | `PUT /v1/apps/{deployment_id}` [`AppSpec`] | 202 [`AppStatus`]; an older generation is 409 |
//! | `GET /v1/apps/{deployment_id}` | [`AppStatus`] or 404 |
//! | `GET /v1/apps` | [`AppList`] |
//! | `DELETE /v1/apps/{deployment_id}` | 202; 404 once nothing is left |
//! | `GET /v1/apps/{deployment_id}/logs?cursor=&tail=&since=&q=&limit=` | [`crate::logs::LogPage`] of a bounded search |
//! | `GET /v1/apps/{deployment_id}/manifests` | [`crate::deploy::ManifestList`] of what is wanted now |
//! | `GET /v1/apps/{deployment_id}/events` | [`crate::deploy::DeploymentEvents`] |
//! | `POST /v1/preview` [`AppSpec`] | [`crate::deploy::ManifestList`]; nothing is stored or applied |
//! | `GET /v1/dns/txt?name=` | [`TxtRecords`] of a challenge's name; 503 when the DNS does not answer |
//! | `GET /v1/artifacts/{digest}` | 200 [`ArtifactInfo`] or 404 |
//! | `PUT`, `POST`, `GET /blobs/{ticket}` | the blob store; the ticket is the credential |
//!
//! And what the sidecar asks the platform (bearer: system token), beside the tick and telling it of a
//! source:
//!
//! | call | answer |
//! |---|---|
//! | `GET /internal/builds/{id}/source` | [`SourceAwaited`]; 404 or 409 when none is wanted |
//! | `GET /internal/builds/sources?after=` | [`KeptList`] of builds whose source is still needed |
//! | `GET /internal/artifacts?after=` | [`KeptList`] of digests that some build or revision names |
//!
//! The sidecar keeps what it was told (durably, secrets still sealed) and converges towards it
//! without being asked again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::spec::DeploySpec;

/// What shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AppSpec {
    /// The deployment (UUID).
    pub deployment_id: String,
    /// Grows with every change of what is wanted (a revision, stop, start, restart, scale).
    pub generation: u64,
    /// The revision that is wanted.
    pub revision: u32,
    /// Run it, or keep it stopped.
    pub desired: DesiredState,
    /// The project owner's name: a DNS label.
    pub owner: String,
    /// The project.
    pub project_id: i64,
    /// The project's slug: a DNS label.
    pub project: String,
    /// The service: a DNS label.
    pub service: String,
    /// The environment: a DNS label, `production` by default.
    pub environment: String,
    /// The Kubernetes namespace recorded for the project's environment: a DNS label, this environment's
    /// alone. Empty from a platform that records none; a target without namespaces has no use for it.
    #[serde(default)]
    pub namespace: String,
    /// The image's name for people.
    pub image_name: String,
    /// `sha256:<hex>` of the OCI manifest. Empty for a container image that is known by its tag alone.
    pub digest: String,
    /// What kind of program the image holds.
    #[serde(default)]
    pub artifact: ArtifactKind,
    /// Its configuration.
    pub spec: DeploySpec,
    /// Secrets by name, sealed by `nokube_keys::SealingKey` for the place `<deployment_id>/<name>`.
    pub sealed_secrets: BTreeMap<String, String>,
}

/// What an image holds, and so what runs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// A Spin application: components in a sandbox.
    #[default]
    Spin,
    /// A container image.
    Container,
}

impl ArtifactKind {
    /// Its name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Container => "container",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Spin, Self::Container]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// Whether a deployment shall run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DesiredState {
    /// Serve it.
    Running,
    /// Keep it, serve nothing.
    Stopped,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AppPhase {
    /// Known, nothing done yet.
    Pending,
    /// On its way.
    Deploying,
    /// Serves the wanted revision.
    Running,
    /// Cannot be served; `message` says why. An earlier revision may still serve.
    Failed,
    /// Stopped as wanted.
    Stopped,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AppStatus {
    /// The deployment.
    pub deployment_id: String,
    /// The generation this status is about.
    pub generation: u64,
    /// The revision this status is about.
    pub revision: u32,
    /// How far it is.
    pub phase: AppPhase,
    /// Copies that answer.
    pub replicas_ready: u32,
    /// Copies that are wanted.
    pub replicas_total: u32,
    /// Where it answers, when it is exposed.
    pub access_url: Option<String>,
    /// For people: why it failed or what it waits for.
    pub message: Option<String>,
    /// Kinds of the objects that were made for it, such as `Namespace`.
    pub objects: Vec<String>,
}

/// Everything the sidecar was told to keep.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AppList {
    /// One entry per deployment.
    pub apps: Vec<AppStatus>,
}

/// What the DNS has at a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TxtRecords {
    /// The name.
    pub name: String,
    /// The text of each TXT record; none when there is no such name.
    pub records: Vec<String>,
}

/// An artifact the sidecar has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArtifactInfo {
    /// `sha256:<hex>` of the manifest.
    pub digest: String,
    /// Bytes of all its blobs.
    pub size_bytes: u64,
}

/// `POST <platform>/internal/builds/{build_id}/source` (bearer: system token): an uploaded source
/// archive is stored. The platform's answer is passed on to the uploader.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SourceStored {
    /// `sha256:<hex>` of the archive.
    pub digest: String,
    /// Its size.
    pub size_bytes: u64,
}

/// `GET <platform>/internal/builds/{build_id}/source`: whether an archive for this build is of use.
/// Asked before anything is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SourceAwaited {
    /// The archive that the platform was told of already, `sha256:<hex>`: no other one will do, and
    /// the same again is fine (the answer of the first time was lost).
    pub digest: Option<String>,
}

/// One page of what must not be removed, in ascending order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeptList {
    /// Digests, or ids of builds.
    pub kept: Vec<String>,
    /// Whether more follow after the last one.
    pub more: bool,
}
