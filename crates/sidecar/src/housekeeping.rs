//! Removing what nobody needs any more: tombstones, spent tickets, artifacts, sources, and what the
//! target keeps for itself.
//!
//! Only the platform knows what its rows name, so it is asked; without its whole answer nothing is
//! removed. Whatever is younger than [`StorageOptions::unused_for`] stays in any case: it may have
//! been stored for a row that is yet to be written.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nokube_api::sidecar::KeptList;
use nokube_artifact::Digest;

use crate::reconcile::now_ms;
use crate::server::Shared;

/// Where uploads stop, and when housekeeping removes what.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// Bytes that uploads leave free; by default 1 GiB or 5 %, whichever is less.
    pub reserve_bytes: Option<u64>,
    /// How often housekeeping looks.
    pub every: Duration,
    /// What nothing names is removed when it is this old.
    pub unused_for: Duration,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            reserve_bytes: None,
            every: Duration::from_secs(10 * 60),
            // A build tells its result within 16 minutes of storing its artifact.
            unused_for: Duration::from_secs(60 * 60),
        }
    }
}

/// A thousand names a page: far more than one machine has.
const MAX_PAGES: usize = 1_000;

/// Why the platform's list is not known.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("the platform cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the platform answered {0}")]
    Status(u16),
    #[error("the platform's answer is not whole")]
    Partial,
}

/// Keeps house until dropped.
pub(crate) async fn run(shared: Arc<Shared>, options: StorageOptions) {
    loop {
        forget_what_is_over(&shared).await;
        remove_artifacts(&shared, options.unused_for).await;
        remove_sources(&shared, options.unused_for).await;
        shared.target.keep_house().await;
        tokio::time::sleep(options.every).await;
    }
}

/// Tombstones and tickets whose time is over.
async fn forget_what_is_over(shared: &Arc<Shared>) {
    let now_ms = now_ms();
    let store = shared.on_store(move |store| store.purge(now_ms)).await;
    let blobs = shared
        .on_blobs(move |blobs| blobs.spent().purge(now_ms / 1000))
        .await;
    for error in [store, blobs]
        .into_iter()
        .filter_map(|outcome| outcome.ok()?.err())
    {
        tracing::warn!(%error, "housekeeping");
    }
}

/// Artifacts that no build and no revision names, and that are not wanted here either.
async fn remove_artifacts(shared: &Arc<Shared>, unused_for: Duration) {
    let Some(named) = kept(shared, "/internal/artifacts").await else {
        return;
    };
    nokube_faults::crash_point("sidecar.house_asked");
    let before = SystemTime::now() - unused_for;
    let store = Arc::clone(&shared.store);
    let removed = shared
        .on_blobs(move |blobs| {
            // What runs here and what is gone back to when the wanted one fails: the platform may
            // have been put back to an older state and not know them.
            let own: HashSet<String> = store
                .all()
                .iter()
                .filter(|app| !app.is_gone())
                .flat_map(|app| [Some(&app.wanted), app.settled.as_ref()])
                .flatten()
                .map(|spec| spec.digest.clone())
                .collect();
            blobs.layout().remove_unused(before, |digest: &Digest| {
                let digest = digest.to_string();
                named.contains(&digest) || own.contains(&digest)
            })
        })
        .await;
    match removed {
        Ok(Ok(removed)) if removed.is_empty() => {}
        Ok(Ok(removed)) => tracing::info!(artifacts = removed.len(), "removed unused artifacts"),
        Ok(Err(error)) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "unused artifacts stay"
            );
        }
        // The sidecar stops.
        Err(_) => {}
    }
}

/// Sources of builds that ended, or are no more.
async fn remove_sources(shared: &Arc<Shared>, unused_for: Duration) {
    let Some(needed) = kept(shared, "/internal/builds/sources").await else {
        return;
    };
    let before = SystemTime::now() - unused_for;
    let removed = shared
        .on_blobs(move |blobs| blobs.remove_sources(before, |build| needed.contains(build)))
        .await;
    match removed {
        Ok(Ok(0)) | Err(_) => {}
        Ok(Ok(removed)) => tracing::info!(sources = removed, "removed old sources"),
        Ok(Err(error)) => tracing::warn!(%error, "old sources stay"),
    }
}

/// All that the platform says must stay; nothing when it did not say all of it.
async fn kept(shared: &Shared, path: &str) -> Option<HashSet<String>> {
    match list(shared, path).await {
        Ok(names) => Some(names),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                path,
                "nothing is removed"
            );
            None
        }
    }
}

async fn list(shared: &Shared, path: &str) -> Result<HashSet<String>, ListError> {
    let unreachable = |error: reqwest::Error| ListError::Unreachable(error.without_url());
    let mut names = HashSet::new();
    let mut after = String::new();
    for _ in 0..MAX_PAGES {
        let answer = shared
            .client
            .get(format!("{}{path}", shared.platform_url))
            .query(&[("after", &after)])
            .bearer_auth(&shared.system_token)
            .send()
            .await
            .map_err(unreachable)?;
        if !answer.status().is_success() {
            return Err(ListError::Status(answer.status().as_u16()));
        }
        let body = answer.bytes().await.map_err(unreachable)?;
        let page: KeptList = serde_json::from_slice(&body).map_err(|_| ListError::Partial)?;
        // Each page begins where the one before ended: an answer of something else is not believed.
        let mut last = after.clone();
        for name in page.kept {
            if name <= last {
                return Err(ListError::Partial);
            }
            last.clone_from(&name);
            names.insert(name);
        }
        if !page.more {
            return Ok(names);
        }
        if last == after {
            return Err(ListError::Partial);
        }
        after = last;
    }
    Err(ListError::Partial)
}
