//! Applications by id and by host name, added, replaced and removed while requests arrive.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::{Request, Response, Uri, header};
use serde::{Deserialize, Serialize};

use crate::Body;
use crate::app::App;
use crate::failure::Failure;
use crate::request::{Client, settle_request_id};
use crate::server::Handler;

/// How long requests of an application that was replaced or removed may go on.
pub const DRAIN: Duration = Duration::from_secs(60);

/// The applications of one process.
#[derive(Clone, Default)]
pub struct Registry(Arc<RwLock<Tables>>);

#[derive(Default)]
struct Tables {
    by_id: HashMap<String, Arc<App>>,
    by_host: HashMap<String, Arc<App>>,
}

impl Tables {
    /// Takes an application out, with those of its hosts that have not gone over to another.
    fn take(&mut self, id: &str) -> Option<Arc<App>> {
        let app = self.by_id.remove(id)?;
        for host in app.hosts() {
            let host = normalized(host);
            if self
                .by_host
                .get(&host)
                .is_some_and(|other| other.id() == id)
            {
                self.by_host.remove(&host);
            }
        }
        Some(app)
    }
}

/// What is told about an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppInfo {
    /// Its id.
    pub id: String,
    /// The generation of its configuration.
    pub generation: u64,
    /// Host names that lead to it.
    pub hosts: Vec<String>,
    /// Requests being answered.
    pub in_flight: usize,
}

impl Registry {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `app` from now on under its id and hosts. What had the id before gets no new requests, is
    /// drained in the background and dropped. A host that another application has goes over to this one.
    pub fn put(&self, app: Arc<App>) {
        let old = {
            let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let old = tables.take(app.id());
            tables.by_id.insert(app.id().to_owned(), Arc::clone(&app));
            for host in app.hosts() {
                tables.by_host.insert(normalized(host), Arc::clone(&app));
            }
            old
        };
        if let Some(old) = old {
            retire(old);
        }
    }

    /// Takes an application away; its requests end in the background. False when there was none.
    pub fn remove(&self, id: &str) -> bool {
        let old = self
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take(id);
        let found = old.is_some();
        if let Some(old) = old {
            retire(old);
        }
        found
    }

    /// The application with this id.
    pub fn by_id(&self, id: &str) -> Option<Arc<App>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_id
            .get(id)
            .cloned()
    }

    /// The application that answers to this host name, with or without a port.
    pub fn by_host(&self, host: &str) -> Option<Arc<App>> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // Mostly it is written as it is kept.
        let app = tables.by_host.get(host);
        app.or_else(|| tables.by_host.get(&normalized(host)))
            .cloned()
    }

    /// All of them, by id.
    pub fn list(&self) -> Vec<AppInfo> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = tables
            .by_id
            .values()
            .map(|app| AppInfo {
                id: app.id().to_owned(),
                generation: app.generation(),
                hosts: app.hosts().to_vec(),
                in_flight: app.in_flight(),
            })
            .collect();
        list.sort_by(|a, b| a.id.cmp(&b.id));
        list
    }

    /// Lets all requests of all applications end, for at most `limit`; the applications stay.
    pub async fn drain(&self, limit: Duration) {
        let apps: Vec<_> = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_id
            .values()
            .cloned()
            .collect();
        futures::future::join_all(apps.iter().map(|app| app.drain(limit))).await;
    }
}

/// Drains and closes in the background.
fn retire(app: Arc<App>) {
    tokio::spawn(async move {
        app.drain(DRAIN).await;
        app.close();
    });
}

/// Host names are compared without case, port and final dot.
fn normalized(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        // The colons of a bare IPv6 address are inside brackets.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The host a request is for: of its URI when that is absolute, else of its `Host` field.
pub fn host_of<B>(request: &Request<B>) -> Option<&str> {
    let of_uri = Uri::authority(request.uri()).map(|authority| authority.as_str());
    of_uri.or_else(|| request.headers().get(header::HOST)?.to_str().ok())
}

impl Handler for Registry {
    async fn handle(&self, mut request: Request<Body>, client: Client) -> Response<Body> {
        match host_of(&request).and_then(|host| self.by_host(host)) {
            Some(app) => app.handle(request, client).await,
            None => {
                let id = settle_request_id(request.headers_mut());
                Failure::NoRoute.response(request.uri().path(), &id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_without_case_port_and_final_dot() {
        assert_eq!(
            normalized("Web.Shop.Ann.LocalHost:3000"),
            "web.shop.ann.localhost"
        );
        assert_eq!(normalized("a.b."), "a.b");
        assert_eq!(normalized("[::1]:80"), "[::1]");
        assert_eq!(normalized("[::1]"), "[::1]");
    }
}
