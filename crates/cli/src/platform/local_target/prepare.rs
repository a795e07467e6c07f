//! From an artifact to what the tenants' process is told: unpacked, compiled, configured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nokube_api::sidecar::AppSpec;
use nokube_artifact::Digest;
use nokube_artifact::layout::LayoutError;
use nokube_artifact::unpack::{UnpackError, UnpackLimits, Unpacked, unpack};
use nokube_domain::Quantity;
use nokube_engine::{AppConfig, ComponentFiles, EngineOptions, Limits, Reuse, ShareLimits};
use nokube_keys::Secret;
use nokube_sidecar::TargetError;
use nokube_spinapp::locked::LockedApp;

use super::LocalTarget;
use super::files::{disk_fault, link_or_copy, make_public_dir, on_disk};
use crate::platform::cache::CacheError;
use crate::platform::tenants::control::{ApplyApp, Probe};

/// Below this a component does not even start.
const LEAST_MEMORY_BYTES: u64 = 1 << 20;
/// Probes end by then, whatever their settings add up to.
const LONGEST_PROBING: Duration = Duration::from_secs(600);
/// Compiled modules beside an unpacked artifact.
pub(super) const NATIVE: &str = "native";

/// An application that the tenants' process can be told of.
pub(super) struct Prepared {
    /// What it is told now: with the readiness probe.
    pub(super) first: Bytes,
    /// What it is told again after a restart: what was ready once is not probed.
    pub(super) again: Bytes,
    /// How long probing may take.
    pub(super) within: Duration,
}

impl LocalTarget {
    pub(super) async fn prepare(
        &self,
        app: &AppSpec,
        secrets: &BTreeMap<String, Secret>,
        hosts: &[String],
        wakes: bool,
    ) -> Result<Prepared, TargetError> {
        let unpacked = self.unpack(app).await?;
        let native = self.compile(&unpacked).await?;
        let config = self.configure(app, secrets, hosts, &unpacked, &native)?;
        let mut apply = ApplyApp {
            config,
            probe: None,
        };
        let again = to_json(&apply)?;
        // What was ready once is not probed again.
        if wakes || !app.spec.health_check_enabled {
            return Ok(Prepared {
                first: again.clone(),
                again,
                within: Duration::ZERO,
            });
        }
        let probe = probe_of(app);
        let within = Duration::from_millis(probe.within_ms);
        apply.probe = Some(probe);
        Ok(Prepared {
            first: to_json(&apply)?,
            again,
            within,
        })
    }

    async fn unpack(&self, app: &AppSpec) -> Result<Unpacked, TargetError> {
        let digest: Digest = app
            .digest
            .parse()
            .map_err(|_| TargetError::Refused("the digest is not one".to_owned()))?;
        let layout = self.options.layout.clone();
        let parent = self.options.outside.app(&app.deployment_id);
        let to = parent.join(digest.hex());
        self.apps.prepares(&app.deployment_id, &app.digest);
        // Waited for here, not on a thread of the pool, which everything else that blocks shares.
        let turn = Arc::clone(&self.files).lock_owned().await;
        on_disk(move || {
            let _turn = turn;
            make_public_dir(&parent).map_err(disk_fault)?;
            unpack(&layout, &digest, &to, UnpackLimits::default()).map_err(|error| {
                tracing::debug!(error = &error as &dyn std::error::Error, "unpacking");
                unpack_fault(&error)
            })
        })
        .await?
        .inspect(|_| nokube_faults::crash_point("target.unpacked"))
    }

    /// Compiles what was never compiled. Returns the compiled modules by component, beside the
    /// artifact.
    async fn compile(&self, unpacked: &Unpacked) -> Result<BTreeMap<String, PathBuf>, TargetError> {
        let mut native = BTreeMap::new();
        for component in &unpacked.app.components {
            let module = unpacked.module_path(component);
            // Unpacking checked the module against it, and the folder is writable for this program alone.
            let digest = component.source.content.digest.as_deref();
            let hash = digest
                .and_then(|digest| digest.parse::<Digest>().ok())
                .ok_or_else(|| TargetError::Refused("the digest is not one".to_owned()))?
                .hex();
            let link = unpacked
                .dir
                .join(NATIVE)
                .join(self.options.cache.name(&hash));
            if link.exists() {
                native.insert(component.id.clone(), link);
                continue;
            }
            let compiled = self
                .options
                .cache
                .compiled_as(&hash, &module)
                .await
                .map_err(|error| match error {
                    CacheError::Invalid(reason) => {
                        TargetError::Refused(format!("component {}: {reason}", component.id))
                    }
                    error => {
                        tracing::error!(error = &error as &dyn std::error::Error, "compiling");
                        TargetError::Unavailable("the component cannot be compiled now".to_owned())
                    }
                })?;
            let dir = unpacked.dir.join(NATIVE);
            native.insert(component.id.clone(), link.clone());
            let turn = Arc::clone(&self.files).lock_owned().await;
            on_disk(move || {
                let _turn = turn;
                link_or_copy(&dir, &compiled, &link).map_err(disk_fault)
            })
            .await??;
        }
        Ok(native)
    }

    fn configure(
        &self,
        app: &AppSpec,
        secrets: &BTreeMap<String, Secret>,
        hosts: &[String],
        unpacked: &Unpacked,
        native: &BTreeMap<String, PathBuf>,
    ) -> Result<AppConfig, TargetError> {
        let (inside, id) = (&self.options.inside, &app.deployment_id);
        let components = unpacked
            .app
            .components
            .iter()
            .map(|component| {
                let module = native.get(&component.id).map(|path| self.seen_inside(path));
                let files = ComponentFiles {
                    module: module.unwrap_or_default(),
                    files: unpacked
                        .files_dir(component)
                        .map(|dir| self.seen_inside(&dir)),
                };
                (component.id.clone(), files)
            })
            .collect();
        let settings = settings_of(app, secrets);
        let (sqlite, key_value) = stores_of(&unpacked.app, &inside.state(id));
        Ok(AppConfig {
            id: id.clone(),
            owner: app.owner.clone(),
            generation: app.generation,
            hosts: hosts.to_vec(),
            locked: without_content(&unpacked.app),
            components,
            variables: settings
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
                .collect(),
            environment: settings,
            sqlite,
            key_value,
            limits: limits_of(app)?,
            component_limits: BTreeMap::new(),
            share: ShareLimits::default(),
            egress: self.options.egress.clone(),
            reuse: Reuse::default(),
            trusted: false,
            log_dir: inside.log(id),
            lazy: false,
        })
    }

    /// A path below the tenants' folders, as the tenants' process sees it.
    fn seen_inside(&self, path: &Path) -> PathBuf {
        let (outside, inside) = (self.options.outside.apps(), self.options.inside.apps());
        path.strip_prefix(outside)
            .map_or_else(|_| path.to_owned(), |rest| inside.join(rest))
    }
}

/// The locked application without bytes: the engine takes them from files.
fn without_content(app: &LockedApp) -> LockedApp {
    let mut app = app.clone();
    for component in &mut app.components {
        component.files.clear();
        if component.source.content.digest.is_some() {
            component.source.content.inline = None;
        }
    }
    app
}

/// Plain configuration and secrets, by the names they were given.
fn settings_of(app: &AppSpec, secrets: &BTreeMap<String, Secret>) -> BTreeMap<String, String> {
    let secrets = secrets
        .iter()
        .map(|(name, secret)| (name.clone(), secret.expose().to_owned()));
    app.spec
        .env_vars
        .clone()
        .into_iter()
        .chain(secrets)
        .collect()
}

type Stores = BTreeMap<String, PathBuf>;

/// One file per label, for this deployment alone and over all its revisions.
fn stores_of(app: &LockedApp, state: &Path) -> (Stores, Stores) {
    let files = |labels: Vec<&str>, kind: &str| -> Stores {
        labels
            .into_iter()
            .map(|label| {
                (
                    label.to_owned(),
                    state.join(kind).join(format!("{label}.db")),
                )
            })
            .collect()
    };
    let (mut sqlite, mut key_value) = (Stores::new(), Stores::new());
    for component in &app.components {
        sqlite.extend(files(component.sqlite_databases(), "sqlite"));
        key_value.extend(files(component.key_value_stores(), "key-value"));
    }
    (sqlite, key_value)
}

fn limits_of(app: &AppSpec) -> Result<Limits, TargetError> {
    let memory = Quantity::parse(&app.spec.memory_limit)
        .map_err(|fault| TargetError::Refused(format!("memory_limit: {fault}")))?;
    Ok(Limits {
        memory_bytes: memory.units().clamp(
            LEAST_MEMORY_BYTES,
            EngineOptions::tenants().max_memory_bytes,
        ),
        ..Limits::default()
    })
}

fn probe_of(app: &AppSpec) -> Probe {
    let spec = &app.spec;
    let ms = |seconds: u32| u64::from(seconds) * 1000;
    let timeout_ms = ms(spec.health_check_timeout.max(1));
    let period_ms = ms(spec.health_check_period.max(1));
    let within_ms = ms(spec.readiness_initial_delay)
        + period_ms * u64::from(spec.health_check_failure_threshold.max(1));
    let longest_ms = u64::try_from(LONGEST_PROBING.as_millis()).unwrap_or(u64::MAX);
    Probe {
        path: spec.readiness_check_path.clone(),
        timeout_ms,
        period_ms,
        within_ms: within_ms.max(timeout_ms).min(longest_ms),
    }
}

fn to_json(apply: &ApplyApp) -> Result<Bytes, TargetError> {
    serde_json::to_vec(apply).map(Bytes::from).map_err(|error| {
        tracing::error!(%error, "an application's configuration cannot be written");
        TargetError::Refused("the application's configuration cannot be written".to_owned())
    })
}

fn unpack_fault(error: &UnpackError) -> TargetError {
    match error {
        UnpackError::Layout(LayoutError::Missing(_)) => TargetError::Refused(
            "the artifact is not on this machine (any more); build it again".to_owned(),
        ),
        UnpackError::Layout(source) if source.is_of_the_content() => {
            TargetError::Refused(format!("{error}: {source}"))
        }
        UnpackError::Layout(_) | UnpackError::Io { .. } => {
            TargetError::Unavailable("the artifact cannot be unpacked now".to_owned())
        }
        error => TargetError::Refused(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::tests::spec;
    use super::*;
    use nokube_spinapp::locked::LockedComponent;

    #[test]
    fn a_probe_lasts_as_long_as_its_settings_add_up_to() {
        let mut app = spec();
        app.spec.readiness_initial_delay = 5;
        let probe = probe_of(&app);
        assert_eq!(probe.within_ms, 5_000 + 3 * 10_000);
        app.spec.health_check_period = 10_000;
        assert_eq!(probe_of(&app).within_ms, 600_000);
    }

    #[test]
    fn memory_is_bounded_by_the_spec_and_by_the_engine() {
        let mut app = spec();
        assert_eq!(limits_of(&app).unwrap().memory_bytes, 128 << 20);
        app.spec.memory_limit = "1Ti".into();
        assert_eq!(
            limits_of(&app).unwrap().memory_bytes,
            EngineOptions::tenants().max_memory_bytes
        );
    }

    #[test]
    fn settings_are_variables_and_secrets_alike() {
        let mut app = spec();
        app.spec
            .env_vars
            .insert("API_URL".into(), "http://x".into());
        let secrets = [("KEY".to_owned(), Secret::new("s".into()))].into();
        let settings = settings_of(&app, &secrets);
        assert_eq!(settings["API_URL"], "http://x");
        assert_eq!(settings["KEY"], "s");
    }

    #[test]
    fn every_label_is_a_file_of_the_deployment_itself() {
        let mut component = LockedComponent::default();
        component
            .metadata
            .insert("databases".into(), serde_json::json!(["auth", "platform"]));
        component
            .metadata
            .insert("key_value_stores".into(), serde_json::json!(["default"]));
        let app = LockedApp {
            components: vec![component],
            ..LockedApp::default()
        };
        let (sqlite, key_value) = stores_of(&app, Path::new("/state/d1"));
        let paths: Vec<_> = sqlite.values().chain(key_value.values()).collect();
        assert_eq!(
            paths,
            [
                Path::new("/state/d1/sqlite/auth.db"),
                Path::new("/state/d1/sqlite/platform.db"),
                Path::new("/state/d1/key-value/default.db")
            ]
        );
    }
}
