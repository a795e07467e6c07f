//! What `builds` and its runners say to each other (`/api/v1/runner/…`, bearer: runner token).
//!
//! A lease is handed out, then acknowledged (`start`), then kept by heartbeats. `lease_id` names one
//! lease of one build: whoever comes with another one is answered 410 and must stop.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::logs::LogStream;

/// `POST /runner/lease`: answered by 200 [`Job`] or 204.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaseRequest {
    /// A name for people, such as the host name.
    pub runner: String,
    /// The builders it can be: `runner`, `simulated`.
    pub builders: Vec<String>,
    /// A UUID of version 7 that is this runner's over all its starts. Its leases are known by it.
    #[serde(default)]
    pub runner_id: Option<String>,
    /// It has just started: what it was given before is not being built any more.
    #[serde(default)]
    pub starts: bool,
}

/// One build, leased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Job {
    /// The build.
    pub build_id: String,
    /// This lease of it.
    pub lease_id: String,
    /// How often it was leased, this time included.
    pub attempt: u32,
    /// Seconds until the lease ends unless a heartbeat extends it.
    pub lease_seconds: u64,
    /// `runner` or `simulated`.
    pub builder: String,
    /// The project owner's name.
    pub owner: String,
    /// The project's slug.
    pub project: String,
    /// The project's id: build caches are per project.
    pub project_id: i64,
    /// The service that is built.
    pub service_name: String,
    /// Where the source comes from.
    pub source: JobSource,
    /// A folder of the source to build in, relative and inside it.
    pub subdirectory: Option<String>,
    /// `<registry>/<namespace>/<owner>-<project>-<service>:<tag>`.
    pub image_full_name: String,
    /// Arguments for the build command's environment.
    #[serde(default)]
    pub build_args: BTreeMap<String, String>,
    /// Where the artifact goes, once: `PUT` an OCI image layout as a tar archive.
    pub artifact_upload_url: String,
    /// The whole build may take this long.
    pub timeout_seconds: u64,
}

/// Where a build's source comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobSource {
    /// A Git repository.
    Git {
        /// `https://`, `http://` or, where the operator allows it, `file://`.
        url: String,
        /// A branch or tag; the remote's default branch when missing.
        branch: Option<String>,
        /// A full commit id.
        commit: Option<String>,
    },
    /// An uploaded `.tar.gz`.
    Archive {
        /// Where to `GET` it.
        url: String,
        /// `sha256:<hex>` of the archive.
        digest: String,
    },
}

/// `POST /runner/builds/{id}/start` and `…/heartbeat`: 200 [`LeaseState`], or 410.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaseProof {
    /// From the [`Job`].
    pub lease_id: String,
}

/// The answer to `start` and `heartbeat`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LeaseState {
    /// Seconds until the lease ends, from now.
    pub lease_seconds: u64,
}

/// `POST /runner/builds/{id}/logs`: 204; lines whose number is known already are dropped.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AppendLogs {
    /// From the [`Job`].
    pub lease_id: String,
    /// Number of the first line, from 1. A runner's lines are numbered per lease; the platform
    /// numbers them anew after those of an earlier attempt.
    pub first: u64,
    /// At most 500.
    pub lines: Vec<RunnerLine>,
}

/// A line as a runner sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunnerLine {
    /// RFC 3339 UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub time: String,
    /// Where it came from.
    pub stream: LogStream,
    /// At most 16 KiB.
    pub text: String,
}

/// `POST /runner/builds/{id}/result`: 204, also when told again; 410 when the lease is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BuildResult {
    /// From the [`Job`].
    pub lease_id: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: BuildOutcome,
    /// The commit that was built, when the source was Git.
    pub commit: Option<String>,
}

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum BuildOutcome {
    /// The artifact is stored.
    Success {
        /// `sha256:<hex>` of the OCI manifest.
        digest: String,
    },
    /// It failed.
    Failed {
        /// One sentence for the user: what failed and what to do.
        error_message: String,
        /// The reason was the platform's (a network fault between its parts, a full disk), so
        /// another attempt may go well.
        retryable: bool,
    },
    /// It did not end: the runner was told to stop. It waits for the next one, at once, and this start costs no attempt.
    GivenBack,
}
