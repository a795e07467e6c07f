//! The locked application: what an OCI artifact carries and what the engine runs.
//!
//! Written and read as Spin does it: version 0 without requirements of the host and 1 with them; what
//! `must_understand` names and we don't know is refused; fields nobody asks us to understand are
//! passed over. [`LockedApp::from_json`] checks everything in it, since artifacts come from outside.

mod build;
mod check;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub(crate) use build::from_manifest;

use crate::Faults;
use crate::reuse::{self, Reuse};
use crate::routes::{Route, RouteError};

/// The content type of a component's source.
pub const WASM_CONTENT_TYPE: &str = "application/wasm";

/// A locked application.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LockedApp {
    /// What a host has to understand beside the rest.
    pub must_understand: Vec<String>,
    /// `name`, `version`, `description`, `authors`, `trigger`, `triggers`.
    pub metadata: BTreeMap<String, Value>,
    /// What a host has to support for the application.
    pub host_requirements: BTreeMap<String, Value>,
    /// The application's variables.
    pub variables: BTreeMap<String, LockedVariable>,
    /// Its triggers.
    pub triggers: Vec<LockedTrigger>,
    /// Its components.
    pub components: Vec<LockedComponent>,
}

/// A variable of a locked application.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedVariable {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The value when no provider has one; without it a value is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The value is not to be shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// A trigger of a locked application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LockedTrigger {
    /// Unique in the application.
    pub id: String,
    /// `http`.
    pub trigger_type: String,
    /// `component`, `route`, `executor`.
    pub trigger_config: Value,
    /// Middleware; refused when there is any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trigger_dependencies: BTreeMap<String, Value>,
}

impl LockedTrigger {
    /// The component that answers; empty when the configuration names none.
    #[must_use]
    pub fn component(&self) -> &str {
        self.trigger_config
            .get("component")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The route it answers.
    ///
    /// # Errors
    /// [`RouteError`]; never for an application that was checked.
    pub fn route(&self) -> Result<Route, RouteError> {
        Route::from_json(self.trigger_config.get("route").unwrap_or(&Value::Null))
    }
}

/// A component of a locked application.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LockedComponent {
    /// Unique in the application.
    pub id: String,
    /// `description`, `allowed_outbound_hosts`, `key_value_stores`, `databases`, `build`, and our `nokube`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, Value>,
    /// The WebAssembly component.
    pub source: LockedSource,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Files it may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ContentPath>,
    /// Its variables: templates by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// Components to compose it with; refused when there are any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<String, Value>,
    /// Middleware; refused when there is any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trigger_dependencies: BTreeMap<String, Value>,
    /// What a host has to support for it.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "read_requirements"
    )]
    pub host_requirements: BTreeMap<String, Value>,
}

impl LockedComponent {
    /// Where it may connect to; may hold templates.
    #[must_use]
    pub fn allowed_outbound_hosts(&self) -> Vec<&str> {
        self.texts("allowed_outbound_hosts")
    }

    /// Labels of its databases.
    #[must_use]
    pub fn sqlite_databases(&self) -> Vec<&str> {
        self.texts("databases")
    }

    /// Labels of its key-value stores.
    #[must_use]
    pub fn key_value_stores(&self) -> Vec<&str> {
        self.texts("key_value_stores")
    }

    /// What it says about reusing its instances.
    #[must_use]
    pub fn reuse(&self) -> Option<Reuse> {
        // A value that can't be read was found when the application was checked.
        Reuse::from_json(self.metadata.get(reuse::KEY)?)
            .ok()
            .flatten()
    }

    fn texts(&self, key: &str) -> Vec<&str> {
        self.metadata
            .get(key)
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default()
    }
}

/// The WebAssembly of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedSource {
    /// [`WASM_CONTENT_TYPE`].
    pub content_type: String,
    /// Where it is.
    #[serde(flatten)]
    pub content: ContentRef,
}

/// A file of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentPath {
    /// Where its bytes are.
    #[serde(flatten)]
    pub content: ContentRef,
    /// Its path in the guest, relative to the guest's root.
    pub path: String,
}

/// Where bytes are: at a place, in the text itself, or in the blob of a digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRef {
    /// A path or URL; never in an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The bytes themselves.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "write_inline",
        deserialize_with = "read_inline"
    )]
    pub inline: Option<Vec<u8>>,
    /// `sha256:<hex>` of the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Base64 as Spin writes it: the standard alphabet without padding. Spin reads nothing else.
const INLINE_OUT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_encode_padding(false),
);

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

fn write_inline<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => to.serialize_str(&INLINE_OUT.encode(bytes)),
        None => to.serialize_none(),
    }
}

fn read_inline<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else {
        return Ok(None);
    };
    let alphabet = if text.contains(['-', '_']) {
        &alphabet::URL_SAFE
    } else {
        &alphabet::STANDARD
    };
    GeneralPurpose::new(alphabet, ANY_PADDING)
        .decode(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

/// A feature that is optional says nothing.
fn read_requirements<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, Value>, D::Error> {
    let mut requirements = BTreeMap::<String, Value>::deserialize(from)?;
    requirements.retain(|_, value| value.as_str() != Some("optional"));
    Ok(requirements)
}

#[derive(Serialize)]
struct Written<'a> {
    spin_lock_version: u8,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    must_understand: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    host_requirements: &'a BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    variables: &'a BTreeMap<String, LockedVariable>,
    triggers: &'a [LockedTrigger],
    components: &'a [LockedComponent],
}

#[derive(Deserialize)]
struct Read {
    spin_lock_version: u64,
    #[serde(default)]
    must_understand: Vec<String>,
    #[serde(default)]
    metadata: BTreeMap<String, Value>,
    #[serde(default, deserialize_with = "read_requirements")]
    host_requirements: BTreeMap<String, Value>,
    #[serde(default)]
    variables: BTreeMap<String, LockedVariable>,
    triggers: Vec<LockedTrigger>,
    components: Vec<LockedComponent>,
}

/// Why a locked application was refused.
#[derive(Debug, thiserror::Error)]
pub enum LockedError {
    /// Not JSON, or not of its shape.
    #[error("not a locked Spin application: {0}")]
    Malformed(String),
    /// Written for a later version.
    #[error("the locked application is of version {0}; known are 0 and 1")]
    Version(u64),
    /// Well-formed, but not something we may run.
    #[error(transparent)]
    Faults(Faults),
}

impl LockedApp {
    /// Reads and checks a locked application.
    ///
    /// # Errors
    /// [`LockedError`]; what is checked is reported all at once.
    pub fn from_json(bytes: &[u8]) -> Result<Self, LockedError> {
        let read: Read = serde_json::from_slice(bytes)
            .map_err(|error| LockedError::Malformed(error.to_string()))?;
        if read.spin_lock_version > 1 {
            return Err(LockedError::Version(read.spin_lock_version));
        }
        let app = Self {
            must_understand: read.must_understand,
            metadata: read.metadata,
            host_requirements: read.host_requirements,
            variables: read.variables,
            triggers: read.triggers,
            components: read.components,
        };
        app.check().map_err(LockedError::Faults)?;
        Ok(app)
    }

    /// Checks what can be wrong in an application that comes from outside.
    ///
    /// # Errors
    /// Every fault.
    pub fn check(&self) -> Result<(), Faults> {
        check::check(self)
    }

    /// The bytes that Spin would write.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let plain = self.must_understand.is_empty() && self.host_requirements.is_empty();
        let written = Written {
            spin_lock_version: u8::from(!plain),
            must_understand: &self.must_understand,
            metadata: &self.metadata,
            host_requirements: &self.host_requirements,
            variables: &self.variables,
            triggers: &self.triggers,
            components: &self.components,
        };
        serde_json::to_vec(&written).expect("maps with text keys always serialise")
    }

    /// The application's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The component with this id.
    #[must_use]
    pub fn component(&self, id: &str) -> Option<&LockedComponent> {
        self.components.iter().find(|component| component.id == id)
    }
}

#[cfg(test)]
mod tests;
