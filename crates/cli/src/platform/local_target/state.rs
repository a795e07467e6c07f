//! What the local target knows of each deployment: in memory alone, told anew after a restart.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// A revision that serves.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) generation: u64,
    pub(super) hosts: Vec<String>,
    /// How to tell it to the tenants' process again.
    pub(super) again: Bytes,
    pub(super) digest: String,
}

/// What is known of one deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct AppState {
    /// The generation that was applied last.
    pub(super) applied: Option<u64>,
    /// The generation that serves.
    pub(super) serving: Option<u64>,
}

#[derive(Default)]
struct App {
    applied: Option<u64>,
    serving: Option<Serving>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Apps {
    apps: Mutex<HashMap<String, App>>,
    /// The digest that was made ready last, by deployment.
    prepared: Mutex<HashMap<String, String>>,
}

impl Apps {
    pub(super) fn get(&self, id: &str) -> AppState {
        self.lock()
            .get(id)
            .map_or_else(AppState::default, |app| AppState {
                applied: app.applied,
                serving: app.serving.as_ref().map(|serving| serving.generation),
            })
    }

    pub(super) fn hosts(&self, id: &str) -> Vec<String> {
        self.serving(id)
            .map(|serving| serving.hosts)
            .unwrap_or_default()
    }

    pub(super) fn serving(&self, id: &str) -> Option<Serving> {
        self.lock().get(id)?.serving.clone()
    }

    /// Everything that serves, by id.
    pub(super) fn all_serving(&self) -> Vec<(String, Serving)> {
        self.lock()
            .iter()
            .filter_map(|(id, app)| Some((id.clone(), app.serving.clone()?)))
            .collect()
    }

    pub(super) fn serves(&self, id: &str, serving: Serving) {
        self.lock().insert(
            id.to_owned(),
            App {
                applied: Some(serving.generation),
                serving: Some(serving),
            },
        );
    }

    pub(super) fn stopped(&self, id: &str, generation: u64) {
        self.lock().insert(
            id.to_owned(),
            App {
                applied: Some(generation),
                serving: None,
            },
        );
    }

    /// Forgets that `generation` serves, unless something else does by now.
    pub(super) fn lost(&self, id: &str, generation: u64) {
        let mut apps = self.lock();
        if apps
            .get(id)
            .and_then(|app| app.serving.as_ref())
            .map(|serving| serving.generation)
            == Some(generation)
        {
            apps.remove(id);
        }
    }

    pub(super) fn forget(&self, id: &str) {
        self.lock().remove(id);
        self.lock_prepared().remove(id);
    }

    /// Notes that files of `digest` are about to be used.
    pub(super) fn prepares(&self, id: &str, digest: &str) {
        self.lock_prepared()
            .insert(id.to_owned(), digest.to_owned());
    }

    /// Whether files of `digest` are in use, or about to be.
    pub(super) fn uses(&self, id: &str, digest: &str) -> bool {
        self.lock_prepared()
            .get(id)
            .is_some_and(|prepared| prepared == digest)
            || self
                .serving(id)
                .is_some_and(|serving| serving.digest == digest)
    }

    fn lock_prepared(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, App>> {
        // Nothing that panics runs under it.
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
