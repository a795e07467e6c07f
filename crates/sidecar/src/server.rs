//! Putting the parts together: state that requests share, and the tasks that run beside them.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use nokube_api::sidecar::AppPhase;
use nokube_keys::{SealError, SealingKey, TicketKey};
use tokio::task::JoinSet;

use crate::blobs::BlobStore;
use crate::desired::DesiredStore;
use crate::dns::Dns;
use crate::durable::create_private_dir;
use crate::housekeeping::{self, StorageOptions};
use crate::http;
use crate::keep::{Files, Keep};
use crate::reconcile::Reconciler;
use crate::target::Target;
use crate::tick;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The platform answers internal calls within its own limits; this ends one that hangs.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How a sidecar is set up.
pub struct SidecarOptions {
    /// Its folder: desired state, spent tickets, sources.
    pub data_dir: PathBuf,
    /// The OCI image layout of artifacts.
    pub artifacts_dir: PathBuf,
    /// Base URL of the platform's own application, for internal calls.
    pub platform_url: String,
    /// What callers of the API must bear; tickets are signed by a key made of it.
    pub sidecar_token: String,
    /// What the sidecar bears when it calls the platform.
    pub system_token: String,
    /// Opens tenants' secrets; base64url.
    pub sealing_key: String,
    /// Where uploads stop, and when housekeeping removes what.
    pub storage: StorageOptions,
    /// The DNS server that is asked whose a domain is; those of the system without it.
    pub dns_server: Option<SocketAddr>,
}

/// Why a sidecar could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("the sidecar's data folder cannot be used")]
    Data(#[source] io::Error),
    /// The sealing key is not one.
    #[error("the sealing key cannot be used")]
    Key(#[from] SealError),
    /// A token is missing.
    #[error("the {0} token is empty")]
    EmptyToken(&'static str),
    /// No HTTP client could be made.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
}

/// What requests share.
pub(crate) struct Shared {
    pub(crate) store: Arc<DesiredStore>,
    pub(crate) blobs: Arc<BlobStore>,
    pub(crate) reconciler: Arc<Reconciler>,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) client: reqwest::Client,
    pub(crate) dns: Dns,
    pub(crate) platform_url: String,
    pub(crate) sidecar_token: String,
    pub(crate) system_token: String,
    pub(crate) ticket_key: TicketKey,
}

/// A running sidecar: it converges and ticks until dropped. Serving its routers is its owner's work.
pub struct Sidecar {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Sidecar {
    /// Reads what was wanted from the data folder and begins to converge `target` towards it. Must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`] when the folder, the keys or the tokens cannot be used.
    pub fn start(options: SidecarOptions, target: Arc<dyn Target>) -> Result<Self, StartError> {
        create_private_dir(&options.data_dir).map_err(StartError::Data)?;
        let files = Files::open(&options.data_dir.join("apps")).map_err(StartError::Data)?;
        Self::start_keeping(options, Arc::new(files), target)
    }

    /// As [`Sidecar::start`], with desired state kept elsewhere than in the data folder.
    ///
    /// # Errors
    /// As for [`Sidecar::start`].
    pub fn start_keeping(
        options: SidecarOptions,
        keep: Arc<dyn Keep>,
        target: Arc<dyn Target>,
    ) -> Result<Self, StartError> {
        if options.sidecar_token.is_empty() {
            return Err(StartError::EmptyToken("sidecar"));
        }
        if options.system_token.is_empty() {
            return Err(StartError::EmptyToken("system"));
        }
        let sealing_key = SealingKey::from_base64(&options.sealing_key)?;
        create_private_dir(&options.data_dir).map_err(StartError::Data)?;
        let store = Arc::new(DesiredStore::open(keep).map_err(StartError::Data)?);
        let blobs = BlobStore::open(
            &options.data_dir,
            &options.artifacts_dir,
            options.storage.reserve_bytes,
        );
        let blobs = Arc::new(blobs.map_err(StartError::Data)?);
        // Its calls go to the platform alone: never through a proxy that the environment names.
        let client = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(StartError::Client)?;
        let shared = Arc::new(Shared {
            reconciler: Reconciler::new(Arc::clone(&store), Arc::clone(&target), sealing_key),
            store,
            blobs,
            target,
            client,
            dns: Dns::new(options.dns_server),
            platform_url: options.platform_url.trim_end_matches('/').to_owned(),
            ticket_key: TicketKey::from_sidecar_token(&options.sidecar_token),
            sidecar_token: options.sidecar_token,
            system_token: options.system_token,
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&shared.reconciler).run());
        tasks.spawn(tick::run(
            shared.client.clone(),
            format!("{}/internal/tick", shared.platform_url),
            shared.system_token.clone(),
        ));
        tasks.spawn(housekeeping::run(Arc::clone(&shared), options.storage));
        Ok(Self {
            shared,
            _tasks: tasks,
        })
    }

    /// How many deployments are in each phase.
    pub fn phases(&self) -> Vec<(AppPhase, usize)> {
        let mut counts = [
            AppPhase::Pending,
            AppPhase::Deploying,
            AppPhase::Running,
            AppPhase::Failed,
            AppPhase::Stopped,
        ]
        .map(|phase| (phase, 0));
        for app in self.shared.store.all() {
            if let Some(status) = self.shared.reconciler.status(&app.wanted.deployment_id)
                && let Some((_, count)) =
                    counts.iter_mut().find(|(phase, _)| *phase == status.phase)
            {
                *count += 1;
            }
        }
        counts.into()
    }

    /// The API for callers with the token, `/healthz` and `/readyz`.
    pub fn api_router(&self) -> Router {
        http::api(&self.shared)
    }

    /// The blob store, for holders of tickets.
    pub fn blob_router(&self) -> Router {
        http::blobs(&self.shared)
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.shared.reconciler.stop();
    }
}

impl Shared {
    /// Runs `work` where it may block on the disk.
    pub(crate) async fn on_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DesiredStore) -> T + Send + 'static,
    ) -> Result<T, http::Problem> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .map_err(|_| http::Problem::Internal)
    }

    /// Runs `work` where it may block on the disk.
    pub(crate) async fn on_blobs<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BlobStore) -> T + Send + 'static,
    ) -> Result<T, http::Problem> {
        let blobs = Arc::clone(&self.blobs);
        tokio::task::spawn_blocking(move || work(&blobs))
            .await
            .map_err(|_| http::Problem::Internal)
    }
}
