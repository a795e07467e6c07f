//! The platform's own application: its `spin.toml`, compiled and configured for the engine in this
//! process, as Spin would run it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nokube_engine::{AppConfig, ComponentFiles, Egress, Limits, Reuse, ShareLimits};
use nokube_spinapp::locked::{ContentRef, LockedApp};
use nokube_spinapp::manifest::{ComponentContent, Manifest};
use nokube_spinapp::runtime_config::RuntimeConfig;

use super::cache::ModuleCache;
use super::{runtime_config, settled};

/// Its id in the registry and in logs.
const ID: &str = "platform";
/// Requests at once for a component: each waits for a database that one writes to at a time.
const DEEPEST_SOURCE: usize = 8;

/// What the platform's application is run with.
pub(crate) struct PlatformApp<'a> {
    pub(crate) manifest: &'a Path,
    pub(crate) runtime_config: Option<&'a Path>,
    pub(crate) databases: &'a Path,
    pub(crate) log_dir: PathBuf,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) egress: Egress,
    pub(crate) cache: &'a ModuleCache,
}

impl PlatformApp<'_> {
    /// The application for the engine. Components that were never compiled are, which takes seconds.
    pub(crate) async fn configure(self) -> anyhow::Result<AppConfig> {
        let locked = self.read_manifest()?;
        let dir = self
            .manifest
            .parent()
            .filter(|dir| !dir.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let mut components = BTreeMap::new();
        for component in &locked.components {
            let source = component
                .source
                .content
                .source
                .as_deref()
                .unwrap_or_default();
            let module = self
                .cache
                .compiled(&dir.join(source))
                .await
                .with_context(|| {
                    format!(
                        "component {}: {source} cannot be used; `cargo xtask build` makes it",
                        component.id
                    )
                })?;
            let files = ComponentFiles {
                module,
                files: None,
            };
            components.insert(component.id.clone(), files);
        }
        let runtime = match self.runtime_config {
            Some(path) => runtime_config::read(path)?,
            None => RuntimeConfig::default(),
        };
        let stores = runtime_config::stores(&locked, &runtime, self.databases)?;
        let mut limits = Limits::platform();
        if let Some(most) = runtime.max_instance_memory {
            limits.memory_bytes = limits.memory_bytes.min(most);
        }
        let environment = runtime_config::environment();
        let mut variables = runtime_config::variables(&runtime, &locked.variables, &environment)?;
        settled::check_configured(&variables, &self.variables)?;
        for (name, value) in &self.variables {
            if variables.get(name).is_some_and(|other| other != value) {
                tracing::warn!(
                    "the runtime configuration has another value for the variable {name}, which is not used: \
                     it comes from the data folder's keys, the addresses in use or an option"
                );
            }
        }
        variables.extend(self.variables);
        Ok(AppConfig {
            id: ID.to_owned(),
            owner: String::new(),
            generation: 0,
            hosts: Vec::new(),
            locked,
            components,
            variables,
            environment: BTreeMap::new(),
            sqlite: stores.sqlite,
            key_value: stores.key_value,
            limits,
            component_limits: BTreeMap::new(),
            share: ShareLimits::default(),
            egress: self.egress,
            reuse: Reuse::platform(),
            trusted: true,
            log_dir: self.log_dir,
            lazy: false,
        })
    }

    fn read_manifest(&self) -> anyhow::Result<LockedApp> {
        let path = self.manifest.display();
        let text = fs::read_to_string(self.manifest)
            .with_context(|| format!("the platform's manifest {path} cannot be read"))?;
        let manifest = Manifest::parse_at_depth(&text, DEEPEST_SOURCE)
            .map_err(|faults| anyhow::anyhow!("{path} has faults:\n{faults}"))?;
        if let Some(component) = manifest
            .components
            .iter()
            .find(|component| !component.files.is_empty())
        {
            bail!(
                "{path}: component {} has files, which the platform's own may not",
                component.id
            );
        }
        Ok(manifest.lock(|component| ComponentContent {
            source: ContentRef {
                source: Some(component.source.clone()),
                ..ContentRef::default()
            },
            files: Vec::new(),
        }))
    }
}
