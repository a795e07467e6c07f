//! What the local target knows of each deployment: in memory alone, told anew after a restart.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Mutex as AsyncMutex;

/// A revision that serves.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) generation: u64,
    pub(super) hosts: Vec<String>,
    /// How to tell it to the tenants' process again.
    pub(super) again: Bytes,
    pub(super) digest: String,
}

/// A revision that was put aside: it served and is loaded again when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dormant {
    pub(super) generation: u64,
    pub(super) hosts: Vec<String>,
    pub(super) digest: String,
    /// Somebody asks.
    pub(super) asked: bool,
}

/// What is known of one deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct AppState {
    /// The generation that was applied last.
    pub(super) applied: Option<u64>,
    /// The generation that serves.
    pub(super) serving: Option<u64>,
    /// The generation that would if it were asked, and whether it is.
    pub(super) dormant: Option<(u64, bool)>,
}

#[derive(Default)]
struct App {
    applied: Option<u64>,
    /// The generation that was tried last, whether it came up or not.
    tried: Option<u64>,
    place: Option<Place>,
    turn: Arc<AsyncMutex<()>>,
}

enum Place {
    Serves(Serving),
    Dormant(Dormant),
}

impl App {
    fn serving(&self) -> Option<&Serving> {
        match &self.place {
            Some(Place::Serves(serving)) => Some(serving),
            Some(Place::Dormant(_)) | None => None,
        }
    }

    fn dormant(&self) -> Option<&Dormant> {
        match &self.place {
            Some(Place::Dormant(dormant)) => Some(dormant),
            Some(Place::Serves(_)) | None => None,
        }
    }
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
                serving: app.serving().map(|serving| serving.generation),
                dormant: app
                    .dormant()
                    .map(|dormant| (dormant.generation, dormant.asked)),
            })
    }

    pub(super) fn hosts(&self, id: &str) -> Vec<String> {
        let apps = self.lock();
        match apps.get(id).and_then(|app| app.place.as_ref()) {
            Some(Place::Serves(serving)) => serving.hosts.clone(),
            Some(Place::Dormant(dormant)) => dormant.hosts.clone(),
            None => Vec::new(),
        }
    }

    pub(super) fn is_serving(&self, id: &str) -> bool {
        self.lock()
            .get(id)
            .is_some_and(|app| app.serving().is_some())
    }

    /// Held while a deployment is applied, removed or put aside: each tells the tenants' process.
    pub(super) fn turn(&self, id: &str) -> Arc<AsyncMutex<()>> {
        Arc::clone(&self.lock().entry(id.to_owned()).or_default().turn)
    }

    /// Notes that a generation is about to be tried. True when it was put aside, so that this wakes it.
    pub(super) fn tries(&self, id: &str, generation: u64) -> bool {
        let mut apps = self.lock();
        let app = apps.entry(id.to_owned()).or_default();
        app.tried = Some(generation);
        app.dormant()
            .is_some_and(|dormant| dormant.generation == generation)
    }

    /// Takes up a deployment that served or would have been woken before this process was started.
    pub(super) fn adopt(&self, id: &str, dormant: Dormant) {
        let mut apps = self.lock();
        let app = apps.entry(id.to_owned()).or_default();
        app.applied = Some(dormant.generation);
        app.place = Some(Place::Dormant(dormant));
    }

    /// Notes that somebody asks for a dormant deployment.
    pub(super) fn asked(&self, id: &str) {
        if let Some(Place::Dormant(dormant)) =
            self.lock().get_mut(id).and_then(|app| app.place.as_mut())
        {
            dormant.asked = true;
        }
    }

    /// Puts what serves aside, if it is what was tried last and `may` allows it. While something newer does
    /// not come up, the older revision stays where it is.
    pub(super) fn put_aside(&self, id: &str, may: impl FnOnce() -> bool) -> bool {
        let mut apps = self.lock();
        let Some(app) = apps.get_mut(id) else {
            return false;
        };
        let Some(Place::Serves(serving)) = &app.place else {
            return false;
        };
        if app.tried != Some(serving.generation) || !may() {
            return false;
        }
        app.place = Some(Place::Dormant(Dormant {
            generation: serving.generation,
            hosts: serving.hosts.clone(),
            digest: serving.digest.clone(),
            asked: false,
        }));
        true
    }

    /// Everything that serves, by id.
    pub(super) fn all_serving(&self) -> Vec<(String, Serving)> {
        self.lock()
            .iter()
            .filter_map(|(id, app)| Some((id.clone(), app.serving()?.clone())))
            .collect()
    }

    pub(super) fn serves(&self, id: &str, serving: Serving) {
        let mut apps = self.lock();
        let app = apps.entry(id.to_owned()).or_default();
        app.applied = Some(serving.generation);
        app.place = Some(Place::Serves(serving));
    }

    pub(super) fn stopped(&self, id: &str, generation: u64) {
        let mut apps = self.lock();
        let app = apps.entry(id.to_owned()).or_default();
        app.applied = Some(generation);
        app.place = None;
    }

    /// Forgets that `generation` serves or would, unless something else does by now.
    pub(super) fn lost(&self, id: &str, generation: u64) {
        let mut apps = self.lock();
        let Some(app) = apps.get_mut(id) else {
            return;
        };
        let there = match &app.place {
            Some(Place::Serves(serving)) => serving.generation,
            Some(Place::Dormant(dormant)) => dormant.generation,
            None => return,
        };
        if there == generation {
            app.applied = None;
            app.place = None;
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
            || match self.lock().get(id).and_then(|app| app.place.as_ref()) {
                Some(Place::Serves(serving)) => serving.digest == digest,
                Some(Place::Dormant(dormant)) => dormant.digest == digest,
                None => false,
            }
    }

    fn lock_prepared(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, App>> {
        // Nothing that panics runs under it.
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving(generation: u64) -> Serving {
        Serving {
            generation,
            hosts: vec!["web.shop.ada.localhost".into()],
            again: Bytes::new(),
            digest: "sha256:00".into(),
        }
    }

    #[test]
    fn what_is_put_aside_is_asked_for_and_woken_by_applying_it_again() {
        let apps = Apps::default();
        assert!(!apps.tries("d1", 1), "it is new");
        apps.serves("d1", serving(1));
        assert!(!apps.put_aside("d1", || false));
        assert!(apps.put_aside("d1", || true));
        assert_eq!(apps.get("d1").dormant, Some((1, false)));
        assert!(apps.uses("d1", "sha256:00"), "its files are needed again");
        apps.asked("d1");
        assert_eq!(apps.get("d1").dormant, Some((1, true)));
        assert!(apps.tries("d1", 1), "this wakes it");
        apps.serves("d1", serving(1));
        assert_eq!(apps.get("d1").serving, Some(1));
    }

    #[test]
    fn an_older_revision_is_not_put_aside_while_a_newer_one_does_not_come_up() {
        let apps = Apps::default();
        apps.tries("d1", 1);
        apps.serves("d1", serving(1));
        apps.tries("d1", 2);
        assert!(!apps.put_aside("d1", || true));
        assert!(apps.is_serving("d1"));
    }

    #[test]
    fn what_is_refused_when_it_is_woken_is_forgotten() {
        let apps = Apps::default();
        apps.tries("d1", 1);
        apps.serves("d1", serving(1));
        apps.put_aside("d1", || true);
        apps.lost("d1", 1);
        assert_eq!(apps.get("d1"), AppState::default());
        assert!(apps.hosts("d1").is_empty());
    }
}
