//! The watches: one per kind, over all namespaces, of what bears this platform's label. `kube` goes on
//! where a broken watch ended and lists anew when the cluster has forgotten that place (410).

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
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
    let api: Api<Raw> = Api::all_with(cluster.client(), &watched.resource());
    // Waits longer after each failure in a row, up to half a minute.
    let mut events = pin!(watcher(api, watched.config(&platform)).default_backoff());
    let mut found = HashSet::new();
    let mut failing = false;
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                metrics.watch_restarted(watched.index());
                if is_no_such_kind(&error) {
                    seen.no_such_kind(watched);
                }
                if !failing {
                    tracing::warn!(kind = watched.name(), %error, "a watch broke off and begins again");
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
                seen.take_in(watched, &raw);
            }
            Event::Delete(raw) => seen.take_out(watched, &raw),
        }
    }
}

/// A list of a kind that the cluster does not know is a 404.
fn is_no_such_kind(error: &watcher::Error) -> bool {
    matches!(
        error,
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404
    )
}
