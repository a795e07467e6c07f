//! The platform's own application: its `spin.toml`, compiled and configured for the engine in this
//! process, as Spin would run it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nokube_engine::{AppConfig, ComponentFiles, Egress, Limits, Reuse};
use nokube_sidecar::durable::create_private_dir;
use nokube_spinapp::locked::{ContentRef, LockedApp};
use nokube_spinapp::manifest::{ComponentContent, Manifest};
use nokube_spinapp::runtime_config::{
    KeyValueStore, RuntimeConfig, SqliteDatabase, VariablesProvider,
};

use super::cache::ModuleCache;

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
        let runtime = self.read_runtime_config()?;
        let (sqlite, key_value) = self.stores(&locked, &runtime)?;
        let mut limits = Limits::platform();
        if let Some(most) = runtime.max_instance_memory {
            limits.memory_bytes = limits.memory_bytes.min(most);
        }
        let mut variables = variables_of(&runtime)?;
        variables.extend(self.variables);
        Ok(AppConfig {
            id: ID.to_owned(),
            generation: 0,
            hosts: Vec::new(),
            locked,
            components,
            variables,
            environment: BTreeMap::new(),
            sqlite,
            key_value,
            limits,
            component_limits: BTreeMap::new(),
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

    fn read_runtime_config(&self) -> anyhow::Result<RuntimeConfig> {
        let Some(path) = self.runtime_config else {
            return Ok(RuntimeConfig::default());
        };
        let text = fs::read_to_string(path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        RuntimeConfig::parse(&text)
            .map_err(|faults| anyhow::anyhow!("{} has faults:\n{faults}", path.display()))
    }

    /// A file for each label. The data folder wins over relative paths of the runtime configuration;
    /// absolute ones stay.
    fn stores(
        &self,
        locked: &LockedApp,
        runtime: &RuntimeConfig,
    ) -> anyhow::Result<(BTreeMap<String, PathBuf>, BTreeMap<String, PathBuf>)> {
        create_private_dir(self.databases)
            .with_context(|| format!("{} cannot be made", self.databases.display()))?;
        let file = |label: &str, ending: &str, path: Option<&String>| match path.map(Path::new) {
            Some(path) if path.is_absolute() => path.to_owned(),
            _ => self.databases.join(format!("{label}.{ending}")),
        };
        let (mut sqlite, mut key_value) = (BTreeMap::new(), BTreeMap::new());
        for component in &locked.components {
            for label in component.sqlite_databases() {
                let path = match runtime.sqlite_databases.get(label) {
                    None => None,
                    Some(SqliteDatabase::Spin { path, .. }) => path.as_ref(),
                    Some(SqliteDatabase::LibSql { .. }) => bail!(
                        "the database `{label}` is a libSQL server, which `nokube up` does not use; run the platform under Spin for that"
                    ),
                };
                sqlite.insert(label.to_owned(), file(label, "db", path));
            }
            for label in component.key_value_stores() {
                let path = match runtime.key_value_stores.get(label) {
                    None => None,
                    Some(KeyValueStore::Spin { path }) => path.as_ref(),
                    Some(KeyValueStore::Redis { .. }) => bail!(
                        "the key-value store `{label}` is a Redis server, which `nokube up` does not use; run the platform under Spin for that"
                    ),
                };
                key_value.insert(label.to_owned(), file(label, "kv", path));
            }
        }
        Ok((sqlite, key_value))
    }
}

fn variables_of(runtime: &RuntimeConfig) -> anyhow::Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    // The first that has a value wins.
    for provider in runtime.variables_providers.iter().rev() {
        match provider {
            VariablesProvider::Static { values } => variables.extend(
                values
                    .iter()
                    .map(|(name, value)| (name.clone(), value.expose().to_owned())),
            ),
            // The environment and keys are read anyway.
            VariablesProvider::Env { .. } => {}
            VariablesProvider::Vault { .. } => {
                bail!("variables from Vault are not supported by `nokube up`; use --variable")
            }
        }
    }
    Ok(variables)
}
