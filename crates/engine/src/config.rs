//! What an application is to the engine: its locked manifest, where its files are, what it is granted.
//!
//! It travels as JSON over the control socket of the tenants' process, so it carries paths, not handles.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use nokube_spinapp::locked::LockedApp;
use serde::{Deserialize, Serialize};

use crate::host_limits::HostLimits;

/// One application.
///
/// Variables and environment may hold secrets: `Debug` names them without their values.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppConfig {
    /// Names it in the registry, such as a deployment's UUID.
    pub id: String,
    /// Whose it is: all applications of one owner share what one owner gets. Empty: nobody's, it counts alone.
    #[serde(default)]
    pub owner: String,
    /// Told back by [`crate::registry::Registry::list`], so that a caller knows what it applied last.
    #[serde(default)]
    pub generation: u64,
    /// Host names it answers to, without port. The platform application may have none.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// The manifest. Read from JSON it is checked again.
    #[serde(with = "locked_json")]
    pub locked: LockedApp,
    /// Files by component id; each component of `locked` needs an entry.
    pub components: BTreeMap<String, ComponentFiles>,
    /// Values of variables, above the defaults in `locked`.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Environment of every component, above what its own manifest sets.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Database files by label. A label that is not here does not exist for this application.
    #[serde(default)]
    pub sqlite: BTreeMap<String, PathBuf>,
    /// Key-value files by label.
    #[serde(default)]
    pub key_value: BTreeMap<String, PathBuf>,
    /// Bounds of every component.
    #[serde(default)]
    pub limits: Limits,
    /// Bounds of single components, instead of `limits`.
    #[serde(default)]
    pub component_limits: BTreeMap<String, Limits>,
    /// What all its instances may take together.
    #[serde(default)]
    pub share: ShareLimits,
    /// Where it may connect to, beside what its manifest says.
    #[serde(default)]
    pub egress: Egress,
    /// Whether instances serve more than one request.
    #[serde(default)]
    pub reuse: Reuse,
    /// One of the platform's own: host interfaces are bounded less tightly (sizes of databases and results,
    /// outgoing connections).
    #[serde(default)]
    pub trusted: bool,
    /// Folder of its log.
    pub log_dir: PathBuf,
    /// Open the modules at the first request instead of at once. Faults that only the modules show
    /// (a missing import) are then found at that request.
    #[serde(default)]
    pub lazy: bool,
}

impl AppConfig {
    /// The bounds of one component.
    pub fn limits_of(&self, component: &str) -> &Limits {
        self.component_limits.get(component).unwrap_or(&self.limits)
    }
}

impl fmt::Debug for AppConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppConfig")
            .field("id", &self.id)
            .field("owner", &self.owner)
            .field("generation", &self.generation)
            .field("hosts", &self.hosts)
            .field("components", &self.components)
            .field("variables", &self.variables.keys())
            .field("environment", &self.environment.keys())
            .field("sqlite", &self.sqlite)
            .field("key_value", &self.key_value)
            .field("limits", &self.limits)
            .field("share", &self.share)
            .field("egress", &self.egress)
            .field("reuse", &self.reuse)
            .field("log_dir", &self.log_dir)
            .field("lazy", &self.lazy)
            .finish_non_exhaustive()
    }
}

/// Where a component's parts are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentFiles {
    /// `<name>.cwasm` (made by [`crate::Engine::compile`] with the same version of this program; mapped, not
    /// read) or a WebAssembly component, which is compiled when it is loaded.
    ///
    /// A `.cwasm` is native code: its folder must belong to this program and be writable by nobody else.
    pub module: PathBuf,
    /// A folder that the component sees, read-only, at `/`.
    #[serde(default)]
    pub files: Option<PathBuf>,
}

/// Bounds of one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of linear memory of one instance, all its memories together.
    pub memory_bytes: u64,
    /// Milliseconds from a request's start until its answer is complete.
    pub wall_ms: u64,
    /// Milliseconds of computing per request.
    pub cpu_ms: u64,
    /// Bytes of a request's body that a guest can read. Longer ones are 413 as soon as it tries; a guest that does
    /// not read may answer them.
    pub request_body_bytes: u64,
    /// Requests served at once.
    pub concurrency: u32,
    /// Requests that may wait for their turn; above that 503.
    pub queue: u32,
    /// Milliseconds a request may wait for its turn; then 503.
    pub queue_ms: u64,
    /// The most requests that a manifest may have one instance serve.
    pub instance_requests: u32,
    /// The most requests that a manifest may have one instance serve at once.
    pub instance_concurrency: u32,
    /// What the host keeps and does for one instance.
    pub host: HostLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 128 << 20,
            wall_ms: 30_000,
            cpu_ms: 5_000,
            request_body_bytes: 10 << 20,
            concurrency: 32,
            queue: 128,
            queue_ms: 5_000,
            // A linear memory never shrinks, hence a count; one instance in a thousand requests costs next to nothing.
            instance_requests: 1_000,
            // All of them, then: what they can do to each other is their author's choice.
            instance_concurrency: 32,
            host: HostLimits::default(),
        }
    }
}

impl Limits {
    /// For the platform's own components. Bodies are bounded by the guests, which answer in the words of the
    /// API; this bound only keeps nonsense out. Event streams end by themselves after 25 s.
    pub fn platform() -> Self {
        Self {
            memory_bytes: 256 << 20,
            wall_ms: 60_000,
            cpu_ms: 10_000,
            request_body_bytes: 8 << 20,
            concurrency: 32,
            queue: 512,
            queue_ms: 10_000,
            host: HostLimits::platform(),
            ..Self::default()
        }
    }
}

/// What all instances of an application may take together, unless it is trusted. Generations of one application count
/// together too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShareLimits {
    /// Instances that may live at once, idle ones included. One with more than two memories or four tables counts as
    /// several.
    pub instances: u32,
    /// Bytes of linear memory that they have grown to. Half of what the engine has for all applications is the most,
    /// whatever is said here.
    pub memory_bytes: u64,
    /// Bytes on disk of its databases and key-value stores together, with their logs.
    pub disk_bytes: u64,
}

impl Default for ShareLimits {
    fn default() -> Self {
        Self {
            // A quarter of an engine's: see `EngineOptions::max_instances`.
            instances: 64,
            memory_bytes: 1 << 30,
            // Four databases of the largest size, as `sqlite::Limits::tenant` has it.
            disk_bytes: 1 << 30,
        }
    }
}

/// Where an application may connect to. The manifest's `allowed_outbound_hosts` holds as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// Loopback, private, link-local and metadata addresses too. They are refused after name
    /// resolution otherwise.
    pub private_addresses: bool,
}

/// The locked application inside other JSON, in Spin's own form.
mod locked_json {
    use nokube_spinapp::locked::LockedApp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
    use serde_json::Value;

    pub(super) fn serialize<S: Serializer>(app: &LockedApp, to: S) -> Result<S::Ok, S::Error> {
        let value: Value = serde_json::from_slice(&app.to_json()).map_err(ser::Error::custom)?;
        value.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<LockedApp, D::Error> {
        let bytes = Value::deserialize(from)?.to_string();
        LockedApp::from_json(bytes.as_bytes()).map_err(de::Error::custom)
    }
}

/// Whether instances serve more than one request, for components whose manifest does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reuse {
    /// Requests one instance serves, one after another, before it is dropped. 1: a fresh instance for each.
    pub max_requests_per_instance: u32,
    /// Milliseconds an instance without work is kept.
    pub idle_ms: u64,
}

impl Default for Reuse {
    fn default() -> Self {
        Self {
            max_requests_per_instance: 1,
            idle_ms: 1_000,
        }
    }
}

impl Reuse {
    /// For the platform's own components. A linear memory never shrinks, hence the count.
    pub fn platform() -> Self {
        Self {
            max_requests_per_instance: 1_000,
            idle_ms: 30_000,
        }
    }
}
