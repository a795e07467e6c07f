//! The parts of the OCI image specification (1.1) that Spin artifacts use.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// An image manifest.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image's configuration.
pub const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
/// A locked Spin application.
pub const SPIN_APPLICATION_TYPE: &str = "application/vnd.fermyon.spin.application.v1+config";
/// A WebAssembly component.
pub const WASM_TYPE: &str = "application/vnd.wasm.content.layer.v1+wasm";
/// A file of a component.
pub const DATA_TYPE: &str = "application/vnd.wasm.content.layer.v1+data";
/// All files of a component, in one compressed archive.
pub const ARCHIVE_TYPE: &str = "application/vnd.wasm.content.bundle.v1.tar+gzip";
/// The largest manifest, config or locked application that is read into memory: 4 MiB, the limit
/// the distribution specification suggests for manifests.
pub const MAX_JSON_BYTES: u64 = 4 * 1024 * 1024;

/// A blob by its digest. Fields are in the order of their names: canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Descriptor {
    /// Free information.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The name of the bytes.
    pub digest: Digest,
    /// What they are.
    #[serde(rename = "mediaType")]
    pub media_type: String,
    /// How many they are.
    pub size: u64,
}

impl Descriptor {
    /// Describes bytes.
    #[must_use]
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }

    /// Describes what has this digest and size.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            annotations: BTreeMap::new(),
            digest,
            media_type: media_type.to_owned(),
            size,
        }
    }
}

/// An image manifest. Fields are in the order of their names: canonical JSON, as Spin's client
/// pushes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageManifest {
    /// Who made it, when, what it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The image's configuration.
    pub config: Descriptor,
    /// Its content.
    pub layers: Vec<Descriptor>,
    /// [`MANIFEST_TYPE`], when written.
    #[serde(default, rename = "mediaType", skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// 2.
    #[serde(rename = "schemaVersion")]
    pub schema_version: u32,
}

impl ImageManifest {
    /// The manifest's own bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("maps with text keys always serialise")
    }

    /// The blobs it is made of, itself not included.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

/// `index.json` of a layout.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Descriptor>,
    #[serde(default, rename = "mediaType", skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    #[serde(rename = "schemaVersion")]
    pub(crate) schema_version: u32,
}

impl Index {
    pub(crate) fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            manifests,
            media_type: Some("application/vnd.oci.image.index.v1+json".to_owned()),
            schema_version: 2,
        }
    }
}
