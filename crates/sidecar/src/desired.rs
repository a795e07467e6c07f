//! What the sidecar was told to keep: one entry per deployment, secrets still sealed.
//!
//! An answer to a caller is given after the entry is kept ([`Keep`]). A deletion is an entry too (a
//! tombstone) until the target has nothing left, and a while longer, so that a late hand-over of the
//! same deployment does not bring it back.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nokube_api::sidecar::{AppSpec, DesiredState};
use serde::{Deserialize, Serialize};

use crate::keep::Keep;

/// A hand-over may be under way for as long as its caller waits (seconds); an hour is ample.
const TOMBSTONE_KEPT_MS: u64 = 60 * 60 * 1000;
/// Deployments that share a turn wait for each other's writes: far more turns than writes at once.
const TURNS: usize = 64;

/// One deployment as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DesiredApp {
    /// The newest spec.
    pub(crate) wanted: Arc<AppSpec>,
    /// The newest spec that became ready: what to bring back while `wanted` is not.
    #[serde(default)]
    pub(crate) settled: Option<Arc<AppSpec>>,
    /// The generation in which a restart was asked for last; 0 when never, or when it was kept by a version that did not
    /// note it.
    #[serde(default)]
    pub(crate) restarted: u64,
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
    /// The entry could not be kept.
    #[error("the desired state could not be written")]
    Io(#[from] io::Error),
}

/// Desired state, in memory and kept. Its methods that change something block until that is kept;
/// those that only look never wait for them.
pub(crate) struct DesiredStore {
    keep: Arc<dyn Keep>,
    apps: Mutex<BTreeMap<String, DesiredApp>>,
    /// A deployment's changes come one after another.
    turns: [Mutex<()>; TURNS],
    hasher: RandomState,
}

impl DesiredStore {
    /// Reads what is kept. An entry that cannot be read as an app is left, and said in the log: a
    /// damaged one must not keep the others from running.
    pub(crate) fn open(keep: Arc<dyn Keep>) -> io::Result<Self> {
        let mut apps = BTreeMap::new();
        for entry in keep.read()? {
            match serde_json::from_slice::<DesiredApp>(&entry.bytes) {
                Ok(mut app) => {
                    if app.is_settled() {
                        // As it was before the restart: once in memory.
                        app.settled = Some(Arc::clone(&app.wanted));
                    }
                    apps.insert(app.wanted.deployment_id.clone(), app);
                }
                Err(error) => {
                    tracing::error!(entry = entry.name, %error, "desired state cannot be read");
                }
            }
        }
        Ok(Self {
            keep,
            apps: Mutex::new(apps),
            turns: [const { Mutex::new(()) }; TURNS],
            hasher: RandomState::new(),
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
        let _turn = self.turn(&spec.deployment_id);
        let (settled, restarted) = match self.get(&spec.deployment_id) {
            None => (None, 0),
            Some(app) if app.deletion.is_some() => return Err(PutError::Deleted),
            Some(app) if *app.wanted == spec => return Ok(()),
            Some(app) if app.wanted.generation >= spec.generation => {
                return Err(PutError::Stale {
                    offered: spec.generation,
                    stored: app.wanted.generation,
                });
            }
            Some(app) if is_restart(&app.wanted, &spec) => (app.settled, spec.generation),
            Some(app) => (app.settled, app.restarted),
        };
        self.store(DesiredApp {
            wanted: Arc::new(spec),
            settled,
            restarted,
            deletion: None,
        })?;
        Ok(())
    }

    /// Notes that `wanted` was reached. Without effect when something newer is wanted by now.
    pub(crate) fn settle(&self, spec: &Arc<AppSpec>) -> io::Result<()> {
        let _turn = self.turn(&spec.deployment_id);
        match self.get(&spec.deployment_id) {
            Some(app) if app.wanted.generation == spec.generation && app.deletion.is_none() => {
                if app.settled.as_ref() == Some(spec) {
                    return Ok(());
                }
                self.store(DesiredApp {
                    settled: Some(Arc::clone(spec)),
                    ..app
                })
            }
            _ => Ok(()),
        }
    }

    /// Wants the deployment removed. False when there is no such deployment.
    pub(crate) fn delete(&self, deployment_id: &str) -> io::Result<bool> {
        let _turn = self.turn(deployment_id);
        match self.get(deployment_id) {
            None => Ok(false),
            Some(app) if app.deletion.is_some() => Ok(!app.is_gone()),
            Some(app) => {
                self.store(DesiredApp {
                    deletion: Some(Deletion::default()),
                    ..app
                })?;
                Ok(true)
            }
        }
    }

    /// Notes that the target has nothing left of a deleted deployment.
    pub(crate) fn forget(&self, deployment_id: &str, now_ms: u64) -> io::Result<()> {
        let _turn = self.turn(deployment_id);
        match self.get(deployment_id) {
            Some(app) if app.deletion.is_some() && !app.is_gone() => {
                let mut wanted = AppSpec::clone(&app.wanted);
                // The tombstone needs the name only.
                wanted.sealed_secrets.clear();
                wanted.spec.env_vars.clear();
                self.store(DesiredApp {
                    wanted: Arc::new(wanted),
                    settled: None,
                    restarted: app.restarted,
                    deletion: Some(Deletion {
                        done_at_ms: Some(now_ms),
                    }),
                })
            }
            _ => Ok(()),
        }
    }

    /// Removes tombstones that are old enough.
    pub(crate) fn purge(&self, now_ms: u64) -> io::Result<()> {
        let is_old = |app: &DesiredApp| {
            app.deletion
                .as_ref()
                .and_then(|deletion| deletion.done_at_ms)
                .is_some_and(|done| done + TOMBSTONE_KEPT_MS <= now_ms)
        };
        let old: Vec<String> = self
            .lock()
            .iter()
            .filter(|(_, app)| is_old(app))
            .map(|(id, _)| id.clone())
            .collect();
        for id in old {
            let _turn = self.turn(&id);
            self.keep.remove(&id)?;
            self.lock().remove(&id);
        }
        Ok(())
    }

    fn store(&self, app: DesiredApp) -> io::Result<()> {
        let id = app.wanted.deployment_id.clone();
        let bytes = serde_json::to_vec_pretty(&app).map_err(io::Error::other)?;
        self.keep.write(&id, &bytes)?;
        self.lock().insert(id, app);
        Ok(())
    }

    /// Held from the look at an entry until its change is kept.
    fn turn(&self, deployment_id: &str) -> MutexGuard<'_, ()> {
        let hash = self.hasher.hash_one(deployment_id);
        // The remainder is below TURNS.
        let index = usize::try_from(hash % TURNS as u64).unwrap_or_default();
        self.turns[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, DesiredApp>> {
        // Each change is one insert after the entry is kept: a panic leaves nothing half done.
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `spec` wants the same once more. Told when it is taken: not every generation is applied, so what was applied
/// last says nothing of it.
fn is_restart(before: &AppSpec, spec: &AppSpec) -> bool {
    let mut same = before.clone();
    same.generation = spec.generation;
    same == *spec && spec.desired == DesiredState::Running
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::check::tests::spec;
    use crate::keep::Files;

    const NOW_MS: u64 = 1_000_000;

    fn store(dir: &Path) -> DesiredStore {
        DesiredStore::open(Arc::new(Files::open(dir).unwrap())).unwrap()
    }

    /// A place that takes nothing.
    struct Full;

    impl Keep for Full {
        fn read(&self) -> io::Result<Vec<crate::keep::Kept>> {
            Ok(Vec::new())
        }

        fn write(&self, _: &str, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn remove(&self, _: &str) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_not_kept_is_not_wanted() {
        let store = DesiredStore::open(Arc::new(Full)).unwrap();
        assert!(matches!(store.put(spec(1)), Err(PutError::Io(_))));
        assert!(store.get(&spec(1).deployment_id).is_none());
    }

    #[test]
    fn what_is_settled_is_in_memory_once_after_a_restart_too() {
        let dir = tempfile::tempdir().unwrap();
        let first = store(dir.path());
        first.put(spec(1)).unwrap();
        first.settle(&Arc::new(spec(1))).unwrap();
        let app = store(dir.path()).get(&spec(1).deployment_id).unwrap();
        assert!(Arc::ptr_eq(&app.wanted, &app.settled.unwrap()));
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

    fn restarted(store: &DesiredStore, specs: impl IntoIterator<Item = AppSpec>) -> u64 {
        for spec in specs {
            store.put(spec).unwrap();
        }
        store.get(&spec(1).deployment_id).unwrap().restarted
    }

    fn scaled(generation: u64, replicas: u32) -> AppSpec {
        let mut app = spec(generation);
        app.revision = 1;
        app.spec.replicas = replicas;
        app
    }

    #[test]
    fn a_restart_is_known_after_something_else_was_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let first = store(dir.path());
        assert_eq!(restarted(&first, [scaled(4, 2)]), 0);
        // Telling the same again is no restart; the next generation of it is.
        assert_eq!(restarted(&first, [scaled(4, 2)]), 0);
        assert_eq!(restarted(&first, [scaled(5, 2), scaled(6, 3)]), 5);
        assert_eq!(restarted(&store(dir.path()), []), 5);
    }

    #[test]
    fn going_back_to_what_was_wanted_before_is_no_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let there_and_back = [scaled(4, 2), scaled(5, 3), scaled(6, 2)];
        assert_eq!(restarted(&store, there_and_back), 0);
        // Nor is what does not run started again by that.
        let stopped = |generation| AppSpec {
            desired: DesiredState::Stopped,
            ..scaled(generation, 2)
        };
        let specs = [stopped(7), stopped(8), scaled(9, 2)];
        assert_eq!(restarted(&store, specs), 0);
    }

    #[test]
    fn an_entry_of_before_restarts_were_noted_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let text = serde_json::json!({ "wanted": spec(1) }).to_string();
        fs::write(dir.path().join("x.json"), text).unwrap();
        assert_eq!(restarted(&store(dir.path()), []), 0);
    }

    #[test]
    fn a_damaged_file_does_not_keep_the_others_from_being_read() {
        let dir = tempfile::tempdir().unwrap();
        store(dir.path()).put(spec(1)).unwrap();
        fs::write(dir.path().join("x.json"), b"{").unwrap();
        assert_eq!(store(dir.path()).all().len(), 1);
    }
}
