//! From a configuration to an application that can answer, or every fault of it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use nokube_spinapp::locked::LockedComponent;
use nokube_spinapp::outbound::AllowedHosts;
use nokube_spinapp::routes::{Route, Router};
use nokube_spinapp::variables::{ResolveError, Resolved, StaticProvider};
use tokio::sync::OnceCell;

use crate::app::App;
use crate::chain::ChainTo;
use crate::closing::Closing;
use crate::component::{Component, ComponentShared};
use crate::gate::Flights;
use crate::host::outbound_http::{self, OutboundHttp};
use crate::host::{Grants, LogSink, key_value, sqlite};
use crate::logs::{AppLog, LogOptions};
use crate::share::Share;
use crate::{AppConfig, Engine};

/// Why an application cannot be served: everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct LoadError {
    /// At least one.
    pub faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The component it is about, if one.
    pub component: Option<String>,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, fault) in self.faults.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            if let Some(component) = &fault.component {
                write!(f, "component {component}: ")?;
            }
            f.write_str(&fault.message)?;
        }
        Ok(())
    }
}

impl Engine {
    /// Makes an application ready to answer. Unless it is `lazy`, its modules are opened, which shows the faults
    /// that only they can show.
    ///
    /// # Errors
    ///
    /// Every fault that was found.
    pub async fn load(&self, config: AppConfig) -> Result<Arc<App>, LoadError> {
        let lazy = config.lazy;
        let app = Loader::new(self, &config).load()?;
        if !lazy {
            let mut faults = Vec::new();
            for component in app.components() {
                if let Err(errors) = component.shared.open().await {
                    let id = component.shared.id.to_string();
                    faults.extend(errors.into_iter().map(|error| Fault {
                        component: Some(id.clone()),
                        message: error.to_string(),
                    }));
                }
            }
            if !faults.is_empty() {
                return Err(LoadError { faults });
            }
        }
        Ok(app)
    }
}

struct Loader<'a> {
    engine: &'a Engine,
    config: &'a AppConfig,
    share: Arc<Share>,
    log: Arc<AppLog>,
    faults: Vec<Fault>,
    databases: BTreeMap<&'a str, Arc<sqlite::Database>>,
    stores: BTreeMap<&'a str, Arc<key_value::Store>>,
}

impl<'a> Loader<'a> {
    fn new(engine: &'a Engine, config: &'a AppConfig) -> Self {
        let sqlite_limits = if config.trusted {
            sqlite::Limits::platform()
        } else {
            sqlite::Limits::tenant()
        };
        let store_limits = if config.trusted {
            key_value::Limits::platform()
        } else {
            key_value::Limits::tenant()
        };
        let share = engine.share(config);
        let databases = config
            .sqlite
            .iter()
            .map(|(label, path)| {
                (
                    label.as_str(),
                    Arc::new(sqlite::Database::new(
                        path,
                        sqlite_limits.clone(),
                        share.databases.clone(),
                    )),
                )
            })
            .collect();
        let stores = config
            .key_value
            .iter()
            .map(|(label, path)| {
                (
                    label.as_str(),
                    Arc::new(key_value::Store::new(
                        label,
                        path,
                        store_limits.clone(),
                        share.databases.clone(),
                    )),
                )
            })
            .collect();
        Self {
            engine,
            config,
            share,
            log: Arc::new(AppLog::new(config.log_dir.clone(), LogOptions::default())),
            faults: Vec::new(),
            databases,
            stores,
        }
    }

    fn fault(&mut self, component: Option<&str>, message: impl Into<String>) {
        self.faults.push(Fault {
            component: component.map(str::to_owned),
            message: message.into(),
        });
    }

    fn load(mut self) -> Result<Arc<App>, LoadError> {
        let config = self.config;
        if let Err(faults) = config.locked.check() {
            for fault in faults.0 {
                self.fault(None, fault.to_string());
            }
        }
        let router = self.router();
        let resolved = self.variables();
        let closing = Arc::new(Closing::default());
        let mut built = Vec::new();
        for component in &config.locked.components {
            built.extend(self.component(component, &resolved));
        }
        if !self.faults.is_empty() {
            return Err(LoadError {
                faults: self.faults,
            });
        }
        let app = Arc::new_cyclic(|this: &Weak<App>| {
            let components: HashMap<String, Component> = built
                .into_iter()
                .map(|part| {
                    let id = part.id.clone();
                    (id, self.assemble(part, this, &closing))
                })
                .collect();
            App {
                id: config.id.clone(),
                generation: config.generation,
                hosts: config.hosts.clone(),
                engine: self.engine.clone(),
                router,
                components,
                log: Arc::clone(&self.log),
                flights: Arc::new(Flights::default()),
                closing: Arc::clone(&closing),
            }
        });
        Ok(app)
    }

    fn router(&mut self) -> Router {
        let mut routes = Vec::new();
        for trigger in &self.config.locked.triggers {
            // A fault here has been found by `check` already.
            if let Ok(route) = trigger.route() {
                routes.push((trigger.component().to_owned(), route));
            }
        }
        if routes.is_empty() {
            self.fault(
                None,
                "the application has no HTTP trigger, so nothing could ever call it",
            );
        }
        let public = routes
            .iter()
            .any(|(_, route)| matches!(route, Route::Path(_)));
        if !routes.is_empty() && !public {
            self.fault(
                None,
                "all routes are private, so nothing outside could ever call it",
            );
        }
        Router::new(routes).0
    }

    fn variables(&mut self) -> Resolved {
        let given = StaticProvider::new(self.config.variables.clone());
        match Resolved::new(&self.config.locked.variables, &[&given]) {
            Ok(resolved) => resolved,
            Err(ResolveError::Unresolved(names)) => {
                for name in names {
                    let upper = name.to_ascii_uppercase();
                    self.fault(
                        None,
                        format!("the variable {name} is required and has no value; set {upper} in the deployment's environment or secrets"),
                    );
                }
                Resolved::default()
            }
            Err(error) => {
                self.fault(None, error.to_string());
                Resolved::default()
            }
        }
    }

    /// What a component is made of, except what needs the application itself.
    fn component(
        &mut self,
        component: &'a LockedComponent,
        resolved: &Resolved,
    ) -> Option<Part<'a>> {
        let config = self.config;
        let id = component.id.as_str();
        let before = self.faults.len();
        let variables = match resolved.component(component) {
            Ok(variables) => variables,
            // A required variable without a value was named already.
            Err(_) if !self.faults.is_empty() => BTreeMap::new(),
            Err(error) => {
                self.fault(Some(id), chain(&error));
                BTreeMap::new()
            }
        };
        let ids: Vec<&str> = config
            .locked
            .components
            .iter()
            .map(|other| other.id.as_str())
            .collect();
        let allowed = AllowedHosts::parse(
            &component.allowed_outbound_hosts(),
            |name| resolved.get(name),
            &ids,
        );
        let allowed = match allowed {
            Ok(allowed) => allowed,
            Err(error) => {
                if self.faults.is_empty() {
                    self.fault(
                        Some(id),
                        format!("allowed_outbound_hosts: {}", chain(&error)),
                    );
                }
                AllowedHosts::default()
            }
        };
        let mut sqlite = Grants::default();
        for label in component.sqlite_databases() {
            match self.databases.get(label) {
                Some(database) => sqlite.grant(label, Arc::clone(database)),
                None => self.fault(Some(id), unconfigured("SQLite database", label)),
            }
        }
        let mut key_value = Grants::default();
        for label in component.key_value_stores() {
            match self.stores.get(label) {
                Some(store) => key_value.grant(label, Arc::clone(store)),
                None => self.fault(Some(id), unconfigured("key-value store", label)),
            }
        }
        let Some(files) = config.components.get(id) else {
            self.fault(Some(id), "has no module");
            return None;
        };
        if !files.module.is_file() {
            self.fault(
                Some(id),
                format!("its module {} is not there", files.module.display()),
            );
        }
        if let Some(folder) = files
            .files
            .as_deref()
            .filter(|folder| !Path::is_dir(folder))
        {
            self.fault(
                Some(id),
                format!("its files {} are not there", folder.display()),
            );
        }
        (self.faults.len() == before).then(|| Part {
            id: component.id.clone(),
            component,
            variables,
            allowed,
            sqlite,
            key_value,
        })
    }

    fn assemble(&self, part: Part<'_>, app: &Weak<App>, closing: &Arc<Closing>) -> Component {
        let config = self.config;
        let limits = config.limits_of(&part.id).clone();
        // What the manifest says, as far as the platform allows it; else what the platform says.
        let (max_requests, concurrent) = match part.component.reuse() {
            Some(reuse) => (
                reuse.requests.min(limits.instance_requests),
                reuse.concurrent.min(limits.instance_concurrency),
            ),
            None => (config.reuse.max_requests_per_instance, 1),
        };
        let files = &config.components[&part.id];
        // What is configured for a deployment wins over what its author wrote, as with Spin's `--env`.
        let mut environment = part.component.env.clone();
        environment.extend(config.environment.clone());
        let outbound_limits = if config.trusted {
            outbound_http::Limits::platform()
        } else {
            outbound_http::Limits::tenant()
        };
        let egress = if config.egress.private_addresses {
            outbound_http::Egress::Any
        } else {
            outbound_http::Egress::Public
        };
        let allowed = part.allowed;
        let outbound = OutboundHttp::new(
            Arc::new(move |scheme: &str, host: &str, port| match host {
                "self" => allowed.allows_self(scheme),
                _ => allowed.allows(scheme, host, Some(port)),
            }),
            egress,
            Some(Arc::new(ChainTo(app.clone()))),
            Arc::new(ComponentLog {
                log: Arc::clone(&self.log),
                component: part.id.clone(),
            }),
            outbound_limits,
            self.share.outbound.clone(),
        );
        Component::new(ComponentShared {
            engine: self.engine.clone(),
            id: part.id.as_str().into(),
            log: Arc::clone(&self.log),
            wall: Duration::from_millis(limits.wall_ms),
            idle: Duration::from_millis(config.reuse.idle_ms),
            max_requests: max_requests.max(1) as usize,
            concurrent: concurrent.max(1) as usize,
            limits,
            environment: environment.into_iter().collect(),
            files: files.files.clone(),
            module: files.module.clone(),
            variables: Arc::new(part.variables),
            sqlite: Arc::new(part.sqlite),
            key_value: Arc::new(part.key_value),
            outbound: Arc::new(outbound),
            closing: Arc::clone(closing),
            share: Arc::clone(&self.share),
            pre: OnceCell::new(),
        })
    }
}

struct Part<'a> {
    id: String,
    component: &'a LockedComponent,
    variables: BTreeMap<String, String>,
    allowed: AllowedHosts,
    sqlite: Grants<sqlite::Database>,
    key_value: Grants<key_value::Store>,
}

fn unconfigured(kind: &str, label: &str) -> String {
    format!(
        "the {kind} {label:?} is not configured; add it to the runtime configuration, or use \"default\""
    )
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Remarks of host functions, in the application's log.
struct ComponentLog {
    log: Arc<AppLog>,
    component: String,
}

impl LogSink for ComponentLog {
    fn system(&self, request_id: Option<&str>, text: &str) {
        self.log.system(Some(&self.component), request_id, text);
    }
}
