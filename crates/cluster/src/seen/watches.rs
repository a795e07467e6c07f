//! The watches: one per kind, over all namespaces, of what bears this platform's label. `kube` goes on
//! where a broken watch ended, and lists anew when a watch is told that the cluster has forgotten that
//! place (410). That it says so instead of beginning a watch is met here.

use std::collections::HashSet;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::Api;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};

use super::Seen;
use super::raw::Raw;
use crate::api::{self, Cluster};
use crate::metrics::{Metrics, WATCHED};

/// Objects of a page of a first list: the memory of one page is held at a time.
const PAGE: u32 = 50;
/// Before all is listed anew, doubled each time in a row: a list of everything is dear to a cluster that
/// forgets what it has just told.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// A kind that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    Deployment,
    SpinApp,
    Pod,
    Event,
}

impl Watched {
    pub(crate) const ALL: [Self; WATCHED.len()] =
        [Self::Deployment, Self::SpinApp, Self::Pod, Self::Event];

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    const fn name(self) -> &'static str {
        WATCHED[self.index()]
    }

    fn resource(self) -> ApiResource {
        let (version, plural) = api::kind(self.name()).expect("watched kinds are in the table");
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(group, version, self.name()),
            plural,
        )
    }

    fn config(self, platform: &str) -> watcher::Config {
        let config = watcher::Config::default().page_size(PAGE);
        match self {
            // Events bear no labels of ours; most are no warnings.
            Self::Event => config.fields("type=Warning"),
            _ => config.labels(&format!("nokube.dev/platform={platform}")),
        }
    }
}

/// Watches a kind until dropped.
pub(crate) async fn follow(
    watched: Watched,
    cluster: Cluster,
    platform: String,
    seen: Arc<Seen>,
    metrics: Arc<Metrics>,
) {
    let watch = Watch {
        watched,
        seen,
        metrics,
    };
    let mut pause = FIRST_PAUSE;
    loop {
        let api: Api<Raw> = Api::all_with(cluster.client(), &watched.resource());
        // Waits longer after each failure in a row, up to half a minute.
        let events = watcher(api, watched.config(&platform)).default_backoff();
        if watch.until_forgotten(pin!(events)).await {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What a watch is for.
struct Watch {
    watched: Watched,
    seen: Arc<Seen>,
    metrics: Arc<Metrics>,
}

impl Watch {
    /// Takes in what is told until the cluster does not know any more where to begin. True when it told
    /// anything after the list.
    async fn until_forgotten(
        &self,
        mut events: Pin<&mut impl Stream<Item = watcher::Result<Event<Raw>>>>,
    ) -> bool {
        let (watched, seen) = (self.watched, &self.seen);
        let mut found = HashSet::new();
        let mut failing = false;
        let mut has_told = false;
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    self.metrics.watch_restarted(watched.index());
                    if is_no_such_kind(&error) {
                        seen.no_such_kind(watched);
                    }
                    if !failing {
                        tracing::warn!(kind = watched.name(), %error, "a watch broke off and begins again");
                    }
                    if is_forgotten(&error) {
                        return has_told;
                    }
                    failing = true;
                    continue;
                }
            };
            failing = false;
            match event {
                Event::Init => found.clear(),
                Event::InitApply(raw) => found.extend(seen.take_in(watched, &raw)),
                Event::InitDone => {
                    seen.listed(watched, &found);
                    found = HashSet::new();
                }
                Event::Apply(raw) => {
                    has_told = true;
                    seen.take_in(watched, &raw);
                }
                Event::Delete(raw) => {
                    has_told = true;
                    seen.take_out(watched, &raw);
                }
            }
        }
        has_told
    }
}

/// The version to go on from is too old. `kube` 5 begins the same watch again then, for ever, when that is
/// the answer's status and not an event.
fn is_forgotten(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410
    )
}

/// A list of a kind that the cluster does not know is a 404.
fn is_no_such_kind(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404
    )
}
