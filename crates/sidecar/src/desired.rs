//! What the sidecar was told to keep: one file per deployment, secrets still sealed.
//!
//! An answer to a caller is given after the file is on disk. A deletion is a file too (a tombstone)
//! until the target has nothing left, and a while longer, so that a late hand-over of the same
//! deployment does not bring it back.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nokube_api::sidecar::AppSpec;
use serde::{Deserialize, Serialize};

use crate::durable::{create_private_dir, remove_durably, remove_unfinished, write_durably};

/// A hand-over may be under way for as long as its caller waits (seconds); an hour is ample.
const TOMBSTONE_KEPT_MS: u64 = 60 * 60 * 1000;

/// One deployment as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DesiredApp {
    /// The newest spec.
    pub(crate) wanted: Arc<AppSpec>,
    /// The newest spec that became ready: what to bring back while `wanted` is not.
    #[serde(default)]
    pub(crate) settled: Option<Arc<AppSpec>>,
    /// Set once its removal is wanted.
    #[serde(default)]
    pub(crate) deletion: Option<Deletion>,
}

/// A removal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    /// When the target had nothing left, Unix milliseconds.
    pub(crate) done_at_ms: Option<u64>,
}

impl DesiredApp {
    /// What is wanted was reached.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.as_ref() == Some(&self.wanted)
    }

    /// Nothing is left of it: only the tombstone.
    pub(crate) fn is_gone(&self) -> bool {
        self.deletion
            .as_ref()
            .is_some_and(|deletion| deletion.done_at_ms.is_some())
    }
}

/// Why a spec was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutError {
    /// Something newer, or something else of the same generation, is wanted already.
    #[error("generation {offered} is not newer than generation {stored}, which is wanted already")]
    Stale {
        /// The generation that was offered.
        offered: u64,
        /// The generation that is stored.
        stored: u64,
    },
    /// The deployment was deleted.
    #[error("the deployment was deleted")]
    Deleted,
    /// The file could not be written.
    #[error("the desired state could not be written")]
    Io(#[from] io::Error),
}

/// The folder of desired state. Its methods block on the disk.
pub(crate) struct DesiredStore {
    dir: PathBuf,
    apps: Mutex<BTreeMap<String, DesiredApp>>,
}

impl DesiredStore {
    /// Reads the folder, making it when missing. A file that cannot be read as an app is left, and
    /// said in the log: one damaged file must not keep the others from running.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        create_private_dir(dir)?;
        remove_unfinished(dir)?;
        let mut apps = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            match serde_json::from_slice::<DesiredApp>(&fs::read(&path)?) {
                Ok(app) => {
                    apps.insert(app.wanted.deployment_id.clone(), app);
                }
                Err(error) => {
                    tracing::error!(file = %path.display(), %error, "desired state cannot be read");
                }
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            apps: Mutex::new(apps),
        })
    }

    pub(crate) fn get(&self, deployment_id: &str) -> Option<DesiredApp> {
        self.lock().get(deployment_id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<DesiredApp> {
        self.lock().values().cloned().collect()
    }

    /// Stores `spec` if it is newer than what is wanted. Telling the same again is fine.
    pub(crate) fn put(&self, spec: AppSpec) -> Result<(), PutError> {
        let mut apps = self.lock();
        let settled = match apps.get(&spec.deployment_id) {
            None => None,
            Some(app) if app.deletion.is_some() => return Err(PutError::Deleted),
            Some(app) if *app.wanted == spec => return Ok(()),
            Some(app) if app.wanted.generation >= spec.generation => {
                return Err(PutError::Stale {
                    offered: spec.generation,
                    stored: app.wanted.generation,
                });
            }
            Some(app) => app.settled.clone(),
        };
        let app = DesiredApp {
            wanted: Arc::new(spec),
            settled,
            deletion: None,
        };
        self.store(&mut apps, app)?;
        Ok(())
    }

    /// Notes that `wanted` was reached. Without effect when something newer is wanted by now.
    pub(crate) fn settle(&self, spec: &Arc<AppSpec>) -> io::Result<()> {
        let mut apps = self.lock();
        match apps.get(&spec.deployment_id) {
            Some(app) if app.wanted.generation == spec.generation && app.deletion.is_none() => {
                if app.settled.as_ref() == Some(spec) {
                    return Ok(());
                }
                let app = DesiredApp {
                    settled: Some(Arc::clone(spec)),
                    ..app.clone()
                };
                self.store(&mut apps, app)
            }
            _ => Ok(()),
        }
    }

    /// Wants the deployment removed. False when there is no such deployment.
    pub(crate) fn delete(&self, deployment_id: &str) -> io::Result<bool> {
        let mut apps = self.lock();
        match apps.get(deployment_id) {
            None => Ok(false),
            Some(app) if app.deletion.is_some() => Ok(!app.is_gone()),
            Some(app) => {
                let app = DesiredApp {
                    deletion: Some(Deletion::default()),
                    ..app.clone()
                };
                self.store(&mut apps, app)?;
                Ok(true)
            }
        }
    }

    /// Notes that the target has nothing left of a deleted deployment.
    pub(crate) fn forget(&self, deployment_id: &str, now_ms: u64) -> io::Result<()> {
        let mut apps = self.lock();
        match apps.get(deployment_id) {
            Some(app) if app.deletion.is_some() && !app.is_gone() => {
                let mut wanted = AppSpec::clone(&app.wanted);
                // The tombstone needs the name only.
                wanted.sealed_secrets.clear();
                wanted.spec.env_vars.clear();
                let app = DesiredApp {
                    wanted: Arc::new(wanted),
                    settled: None,
                    deletion: Some(Deletion {
                        done_at_ms: Some(now_ms),
                    }),
                };
                self.store(&mut apps, app)
            }
            _ => Ok(()),
        }
    }

    /// Removes tombstones that are old enough.
    pub(crate) fn purge(&self, now_ms: u64) -> io::Result<()> {
        let mut apps = self.lock();
        let old: Vec<String> = apps
            .iter()
            .filter(|(_, app)| {
                app.deletion
                    .as_ref()
                    .and_then(|deletion| deletion.done_at_ms)
                    .is_some_and(|done| done + TOMBSTONE_KEPT_MS <= now_ms)
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in old {
            remove_durably(&self.path(&id))?;
            apps.remove(&id);
        }
        Ok(())
    }

    fn store(&self, apps: &mut BTreeMap<String, DesiredApp>, app: DesiredApp) -> io::Result<()> {
        let id = app.wanted.deployment_id.clone();
        let bytes = serde_json::to_vec_pretty(&app).map_err(io::Error::other)?;
        write_durably(&self.path(&id), &bytes)?;
        apps.insert(id, app);
        Ok(())
    }

    /// Ids are checked to be UUIDs before they come here, so they are safe file names.
    fn path(&self, deployment_id: &str) -> PathBuf {
        self.dir.join(format!("{deployment_id}.json"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, DesiredApp>> {
        // Each change is one insert after the file is written: a panic leaves nothing half done.
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::spec;

    const NOW_MS: u64 = 1_000_000;

    fn store(dir: &Path) -> DesiredStore {
        DesiredStore::open(dir).unwrap()
    }

    #[test]
    fn what_was_put_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let one = spec(1);
        store(dir.path()).put(one.clone()).unwrap();
        let again = store(dir.path()).get(&one.deployment_id).unwrap();
        assert_eq!(*again.wanted, one);
    }

    #[test]
    fn an_older_generation_and_another_spec_of_the_same_one_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        store.put(spec(2)).unwrap();
        store.put(spec(2)).unwrap();
        assert!(matches!(
            store.put(spec(1)),
            Err(PutError::Stale {
                offered: 1,
                stored: 2
            })
        ));
        let mut other = spec(2);
        other.revision = 9;
        assert!(matches!(store.put(other), Err(PutError::Stale { .. })));
    }

    #[test]
    fn a_deleted_deployment_does_not_come_back_by_a_late_hand_over() {
        let dir = tempfile::tempdir().unwrap();
        let id = spec(1).deployment_id;
        let first = store(dir.path());
        first.put(spec(1)).unwrap();
        assert!(first.delete(&id).unwrap());
        first.forget(&id, NOW_MS).unwrap();
        let second = store(dir.path());
        assert!(matches!(second.put(spec(2)), Err(PutError::Deleted)));
        assert!(!second.delete(&id).unwrap());
        second.purge(NOW_MS + TOMBSTONE_KEPT_MS).unwrap();
        assert!(second.get(&id).is_none());
    }

    #[test]
    fn the_settled_spec_is_kept_while_a_newer_one_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        store.put(spec(1)).unwrap();
        store.settle(&Arc::new(spec(1))).unwrap();
        store.put(spec(2)).unwrap();
        store.settle(&Arc::new(spec(1))).unwrap();
        let app = store.get(&spec(1).deployment_id).unwrap();
        assert_eq!(app.wanted.generation, 2);
        assert_eq!(app.settled.unwrap().generation, 1);
    }

    #[test]
    fn a_damaged_file_does_not_keep_the_others_from_being_read() {
        let dir = tempfile::tempdir().unwrap();
        store(dir.path()).put(spec(1)).unwrap();
        fs::write(dir.path().join("x.json"), b"{").unwrap();
        assert_eq!(store(dir.path()).all().len(), 1);
    }
}
