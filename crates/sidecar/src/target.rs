//! What the sidecar needs of a place where applications run.
//!
//! The same trait fits an engine on this machine (where `apply` does the work and `observe` reads
//! memory) and a cluster (where `apply` submits objects and `observe` reads a watch's cache).

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use nokube_api::deploy::DeploymentEvent;
use nokube_api::logs::LogPage;
use nokube_api::sidecar::AppSpec;
use nokube_domain::Timestamp;
use nokube_keys::Secret;
use nokube_manifests::Settings;

use crate::check::SpecFault;

/// A place where applications run.
///
/// For one deployment the sidecar calls [`Target::apply`], [`Target::remove`] and
/// [`Target::observe`] one after another, never at once; for different deployments at once. Each is
/// idempotent. The future of `apply` is dropped when something newer is wanted: whatever it had
/// begun is taken over by the next call.
#[async_trait]
pub trait Target: Send + Sync + 'static {
    /// Called once before anything else, with everything that was wanted when the sidecar last
    /// stopped, so that requests for those applications can wait instead of being refused, and what was
    /// reached then can be left alone until somebody asks for it.
    async fn adopt(&self, _apps: &[Adopted]) {}

    /// What of `app` can never be here, beside what [`crate::check_spec`] finds: asked before it is taken, so that whoever
    /// asks is told at once. Of the spec and the settings alone.
    fn check(&self, _app: &AppSpec) -> Vec<SpecFault> {
        Vec::new()
    }

    /// Makes `app` so, or submits it; also when `app.desired` is stopped. What was served before
    /// keeps serving until the new revision is ready, and for good if it never is.
    ///
    /// `restarted` is the generation in which a restart was asked for last: another one than before wants new
    /// processes, whatever else is wanted. 0 when that is not known.
    ///
    /// # Errors
    /// [`TargetError::Refused`] when trying the same again cannot help, [`TargetError::Unavailable`]
    /// when it may.
    async fn apply(
        &self,
        app: &AppSpec,
        restarted: u64,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<(), TargetError>;

    /// Removes everything that was made for the deployment, its stored data included. Returning is
    /// no promise that it is gone: [`Target::observe`] says so.
    ///
    /// # Errors
    /// As for [`Target::apply`].
    async fn remove(&self, app: &AppSpec) -> Result<(), TargetError>;

    /// What there is of the deployment now.
    ///
    /// # Errors
    /// [`TargetError::Unavailable`] when that cannot be known.
    async fn observe(&self, app: &AppSpec) -> Result<Observed, TargetError>;

    /// Where the application answers once it is ready, when its exposure gives it an address.
    fn access_url(&self, app: &AppSpec) -> Option<String>;

    /// A piece of the application's log. It does a bounded piece of work, so the page may have fewer
    /// lines than there are, or none; its cursor then is another than the one that was given.
    ///
    /// # Errors
    /// [`TargetError::Unavailable`] when it cannot be read, [`TargetError::Refused`] for a cursor
    /// that was never given out.
    async fn logs(&self, app: &AppSpec, query: LogQuery) -> Result<LogPage, TargetError>;

    /// What a cluster's objects are made with, for showing them. Without any they are shown as a cluster with the
    /// default settings would get them.
    fn manifest_settings(&self) -> Option<Settings> {
        None
    }

    /// What the target has seen happen to the deployment (scheduling, pulls, probes), in any order. The sidecar adds
    /// what it did itself.
    ///
    /// # Errors
    /// [`TargetError::Unavailable`] when that cannot be known now.
    async fn events(&self, _app: &AppSpec) -> Result<Vec<DeploymentEvent>, TargetError> {
        Ok(Vec::new())
    }

    /// Waits for the next change that did not come from the sidecar itself (an engine restarted, an
    /// object changed). Called in a loop by one task; may be dropped while it waits.
    async fn next_event(&self) -> TargetEvent;

    /// Removes what the target keeps for itself and nobody needs. Called every few minutes.
    async fn keep_house(&self) {}

    /// Whether the target can be worked with, for `/readyz`.
    async fn is_ready(&self) -> bool {
        true
    }
}

/// Which lines of a log are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Where an earlier page ended.
    pub cursor: Option<String>,
    /// Without a cursor: begin so many lines before the end, instead of with the oldest line kept.
    pub tail: Option<u64>,
    /// Only lines written then or later.
    pub since: Option<Timestamp>,
    /// Only lines whose text contains this, in whatever case.
    pub contains: Option<String>,
    /// At most so many lines.
    pub limit: usize,
}

/// A deployment that was wanted when the sidecar last stopped.
#[derive(Debug, Clone)]
pub struct Adopted {
    /// What was wanted of it.
    pub wanted: Arc<AppSpec>,
    /// It was so: ready, or stopped as wanted.
    pub settled: bool,
}

/// Something at the target changed by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetEvent {
    /// About one deployment.
    App(String),
    /// About all of them.
    Everything,
}

/// What a target has of one deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Anything at all is left of it: objects, files, data.
    pub present: bool,
    /// The generation that was applied last and is still known to the target.
    pub applied: Option<u64>,
    /// The generation whose revision answers requests.
    pub serving: Option<u64>,
    /// What was applied is to be applied again although nothing else is wanted: somebody may have changed it.
    /// How it serves meanwhile is not touched by that.
    pub stale: bool,
    /// How the applied generation is.
    pub health: Health,
    /// Copies of the applied generation that answer.
    pub replicas_ready: u32,
    /// Kinds of the objects that were made.
    pub objects: Vec<&'static str>,
}

impl Observed {
    /// Nothing is there.
    #[must_use]
    pub fn absent() -> Self {
        Self {
            present: false,
            applied: None,
            serving: None,
            stale: false,
            health: Health::Progressing(None),
            replicas_ready: 0,
            objects: Vec::new(),
        }
    }
}

/// How an applied generation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Not there yet; with what it waits for.
    Progressing(Option<String>),
    /// It answers whoever asks. It did so when it was applied, and may have been put aside since until
    /// somebody asks: whether it still can is known then.
    Ready,
    /// It was put aside, and somebody asks: it is to be applied again, and answers meanwhile as slowly as
    /// that takes.
    Asked,
    /// It will not come up by itself; with the reason.
    Failed(String),
    /// Stopped, as wanted.
    Stopped,
}

/// Why a target could not do what was asked. The texts are for the application's owner: no paths of
/// the platform, no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The same again would fail again: the artifact or the configuration has to change.
    #[error("{0}")]
    Refused(String),
    /// It may go well later.
    #[error("{0}")]
    Unavailable(String),
}
