//! What the cluster has to know of a Spin artifact before it runs there: the stores it is granted, and
//! whether its world is one that the shim can run.
//!
//! Artifacts that this sidecar's blob store holds are looked into. What was seen is written down with the
//! deployment: the store may be another one after a change of leader, and what is granted must not change by
//! that. Of what was never here nothing is known: the nodes pull it from a registry, and say what is wrong.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use nokube_api::sidecar::{AppSpec, ArtifactKind};
use nokube_artifact::Digest;
use nokube_artifact::layout::{Layout, LayoutError};
use nokube_artifact::oci::{MAX_JSON_BYTES, WASM_TYPE};
use nokube_artifact::wasm;
use nokube_manifests::Facts;
use nokube_sidecar::TargetError;
use nokube_spinapp::locked::LockedApp;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// Artifacts that are remembered, each a few words.
const REMEMBERED: usize = 4096;
/// How imports of that world's interfaces end.
const WASI_0_3: &str = "@0.3.";

const NOT_RUN_THERE: &str = "the application needs WASI 0.3, which this cluster's Spin shim does not run; build it for WASI 0.2 (spin-sdk 5), or ask the operator to set spin-wasi-0-3 once the shim can";

/// Looks into artifacts.
pub(crate) struct Artifacts {
    layout: Layout,
    /// The shim runs WASI 0.3.
    wasi_0_3: bool,
    known: Mutex<HashMap<Digest, Arc<Look>>>,
    /// One artifact is looked into at a time.
    turn: Semaphore,
}

/// What was seen in an artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Look {
    /// Of its manifest.
    pub(crate) digest: String,
    needs_wasi_0_3: bool,
    stores: Option<Stores>,
}

/// What its components are granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Stores {
    sqlite_databases: BTreeSet<String>,
    key_value_stores: BTreeSet<String>,
}

impl Artifacts {
    pub(crate) fn new(layout: Layout, wasi_0_3: bool) -> Self {
        Self {
            layout,
            wasi_0_3,
            known: Mutex::default(),
            turn: Semaphore::new(1),
        }
    }

    /// What is known of an application's artifact: seen now, or else when it was `known` before.
    pub(crate) async fn seen(
        &self,
        app: &AppSpec,
        known: Option<Arc<Look>>,
    ) -> Result<Option<Arc<Look>>, TargetError> {
        if app.artifact != ArtifactKind::Spin {
            return Ok(None);
        }
        let Ok(digest) = app.digest.parse::<Digest>() else {
            return Ok(None);
        };
        match self.look(digest).await? {
            Some(look) => Ok(Some(look)),
            None => Ok(known.filter(|known| known.digest == app.digest)),
        }
    }

    /// What objects are made of beside the spec.
    ///
    /// # Errors
    /// [`TargetError::Refused`] for what the cluster cannot run.
    pub(crate) fn facts(&self, look: Option<&Look>) -> Result<Facts, TargetError> {
        let Some(look) = look else {
            return Ok(Facts::default());
        };
        if look.needs_wasi_0_3 && !self.wasi_0_3 {
            return Err(TargetError::Refused(NOT_RUN_THERE.to_owned()));
        }
        Ok(match &look.stores {
            None => Facts::default(),
            Some(stores) => Facts {
                sqlite_databases: stores.sqlite_databases.clone(),
                key_value_stores: stores.key_value_stores.clone(),
                ..Facts::default()
            },
        })
    }

    async fn look(&self, digest: Digest) -> Result<Option<Arc<Look>>, TargetError> {
        if let Some(look) = self.known().get(&digest) {
            return Ok(Some(Arc::clone(look)));
        }
        // It is never closed.
        let _turn = self.turn.acquire().await;
        if let Some(look) = self.known().get(&digest) {
            return Ok(Some(Arc::clone(look)));
        }
        let layout = self.layout.clone();
        let looked = tokio::task::spawn_blocking(move || look_into(&layout, &digest)).await;
        match looked {
            Ok(Ok(look)) => {
                let look = Arc::new(look);
                let mut known = self.known();
                if known.len() >= REMEMBERED {
                    known.clear();
                }
                known.insert(digest, Arc::clone(&look));
                Ok(Some(look))
            }
            Ok(Err(LayoutError::Missing(_))) => Ok(None),
            Ok(Err(error)) if error.is_of_the_content() => Err(TargetError::Refused(format!(
                "the artifact cannot be used: {error}"
            ))),
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an artifact cannot be read"
                );
                Err(TargetError::Unavailable(
                    "the artifact cannot be read now".to_owned(),
                ))
            }
            Err(_) => Err(TargetError::Unavailable("the sidecar stops".to_owned())),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<Look>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look_into(layout: &Layout, digest: &Digest) -> Result<Look, LayoutError> {
    let manifest = layout.manifest(digest)?;
    let mut look = Look {
        digest: digest.to_string(),
        ..Look::default()
    };
    let config = layout.read_blob(&manifest.config.digest, MAX_JSON_BYTES)?;
    // What is no Spin application fails on the node, which says more about it.
    if let Ok(app) = LockedApp::from_json(&config) {
        let mut stores = Stores::default();
        for component in &app.components {
            let databases = component.sqlite_databases();
            stores
                .sqlite_databases
                .extend(databases.into_iter().map(str::to_owned));
            let key_values = component.key_value_stores();
            stores
                .key_value_stores
                .extend(key_values.into_iter().map(str::to_owned));
        }
        look.stores = Some(stores);
    }
    for layer in &manifest.layers {
        if layer.media_type != WASM_TYPE {
            continue;
        }
        let (file, _) = layout.open_blob(&layer.digest)?;
        let uses_wasi_0_3 = |info: wasm::ComponentInfo| {
            let mut names = info.imports.iter().chain(&info.exports);
            names.any(|name| name.starts_with("wasi:") && name.contains(WASI_0_3))
        };
        let info = wasm::inspect_file(file).map_err(|source| LayoutError::Io {
            action: "can't read",
            path: layout.blob_path(&layer.digest),
            source,
        })?;
        look.needs_wasi_0_3 |= info.is_some_and(uses_wasi_0_3);
    }
    Ok(look)
}

#[cfg(test)]
mod tests {
    use nokube_artifact::oci::{Descriptor, MANIFEST_TYPE, SPIN_APPLICATION_TYPE};
    use serde_json::json;

    use super::*;
    use crate::testing::spec;

    /// Stores an application of one component, and returns a spec of it.
    fn stored(layout: &Layout, component: &str) -> AppSpec {
        let wasm = wat::parse_str(component).unwrap();
        let digest = layout.put_bytes(&wasm).unwrap();
        let config = json!({
            "spin_lock_version": 1,
            "metadata": { "name": "app", "version": "1.0.0" },
            "triggers": [{
                "id": "t", "trigger_type": "http",
                "trigger_config": { "component": "api", "route": "/..." },
            }],
            "components": [{
                "id": "api",
                "metadata": { "databases": ["orders"], "key_value_stores": ["sessions"] },
                "source": { "content_type": "application/wasm", "digest": digest.to_string() },
            }],
        })
        .to_string();
        layout.put_bytes(config.as_bytes()).unwrap();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": Descriptor::of(SPIN_APPLICATION_TYPE, config.as_bytes()),
            "layers": [Descriptor::of(WASM_TYPE, &wasm)],
        });
        let digest = layout
            .put_manifest(manifest.to_string().as_bytes())
            .unwrap();
        let mut app = spec(1);
        app.digest = digest.to_string();
        app
    }

    async fn facts(
        artifacts: &Artifacts,
        app: &AppSpec,
        known: Option<Arc<Look>>,
    ) -> Result<Facts, TargetError> {
        let look = artifacts.seen(app, known).await.unwrap();
        artifacts.facts(look.as_deref())
    }

    #[tokio::test]
    async fn what_needs_wasi_0_3_is_refused_unless_the_shim_runs_it() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        let new = stored(
            &layout,
            r#"(component (import "wasi:http/types@0.3.0" (instance)))"#,
        );
        let shim = Artifacts::new(layout.clone(), false);
        let error = facts(&shim, &new, None).await.unwrap_err();
        assert!(
            matches!(&error, TargetError::Refused(message) if message.contains("WASI 0.3")),
            "{error}"
        );
        let able = Artifacts::new(layout, true);
        assert!(facts(&able, &new, None).await.is_ok());
    }

    #[tokio::test]
    async fn the_stores_that_components_are_granted_are_known_and_stay_so() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::open(dir.path()).unwrap();
        let app = stored(
            &layout,
            r#"(component (import "wasi:http/types@0.2.0" (instance)))"#,
        );
        let artifacts = Artifacts::new(layout, false);
        let granted = facts(&artifacts, &app, None).await.unwrap();
        assert_eq!(granted.sqlite_databases, ["orders".to_owned()].into());
        assert_eq!(granted.key_value_stores, ["sessions".to_owned()].into());
        let look = artifacts.seen(&app, None).await.unwrap();
        // The next leader's store has nothing of it.
        let dir = tempfile::tempdir().unwrap();
        let empty = Artifacts::new(Layout::open(dir.path()).unwrap(), false);
        assert_eq!(facts(&empty, &app, look.clone()).await.unwrap(), granted);
        // Of another artifact nothing is known by that.
        assert_eq!(
            facts(&empty, &spec(1), look).await.unwrap(),
            Facts::default()
        );
    }
}
