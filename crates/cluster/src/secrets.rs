//! Desired state in the cluster: one Secret per deployment in the sidecar's own namespace, so that it
//! outlives this pod and its node. Tenants' secrets in it stay sealed.
//!
//! Each write and each removal names the version it is of. A sidecar that was leader once, and does not know yet that
//! another one is, is refused by the cluster itself.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use nokube_sidecar::{Keep, Kept};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::api::{CallError, Cluster, Meta, Place, Why};

/// The Secrets' type; no other program makes or reads such ones.
pub(crate) const TYPE: &str = "nokube.dev/deployment";
const KEPT_LABEL: &str = "nokube.dev/kept";
const KEPT: &str = "desired";
/// Who wrote it last: each process has a name of its own.
const HOLDER: &str = "nokube.dev/holder";
const DATA: &str = "desired.json.gz";
/// What a Secret may hold (core/v1, `MaxSecretSize`): 1 MiB.
const MOST_BYTES: usize = 1 << 20;
/// A spec is at most 4 MiB, and there may be two.
const MOST_UNPACKED_BYTES: u64 = 16 << 20;
/// A version may be out of date after a write whose answer was lost.
const ATTEMPTS: u32 = 4;

/// Secrets as the place where desired state is kept.
pub(crate) struct Secrets {
    cluster: Cluster,
    runtime: Handle,
    namespace: String,
    platform: String,
    holder: String,
    /// Versions as this process last saw them.
    versions: Mutex<HashMap<String, String>>,
    /// What was found at the start, until it is asked for.
    found: Mutex<Vec<Kept>>,
    /// Set when another sidecar wrote: this one no longer leads.
    superseded: watch::Sender<bool>,
}

#[derive(Deserialize)]
struct Secret {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    data: HashMap<String, String>,
}

impl Secrets {
    /// Reads everything that is kept. `holder` names this process alone.
    pub(crate) async fn open(
        cluster: Cluster,
        namespace: String,
        platform: String,
        holder: String,
    ) -> Result<Self, CallError> {
        let place = Place {
            kind: "Secret",
            namespace: Some(&namespace),
        };
        let labels = format!("{KEPT_LABEL}={KEPT},nokube.dev/platform={platform}");
        let all: Vec<Secret> = cluster.list(place, &labels).await?;
        let mut versions = HashMap::new();
        let mut found = Vec::new();
        for secret in all {
            match unpacked(&secret) {
                Ok(bytes) => found.push(Kept {
                    name: secret.metadata.name.clone(),
                    bytes,
                }),
                Err(error) => {
                    tracing::error!(secret = secret.metadata.name, %error, "desired state cannot be read");
                }
            }
            versions.insert(secret.metadata.name, secret.metadata.resource_version);
        }
        Ok(Self {
            cluster,
            runtime: Handle::current(),
            namespace,
            platform,
            holder,
            versions: Mutex::new(versions),
            found: Mutex::new(found),
            superseded: watch::Sender::new(false),
        })
    }

    /// Turns true when another sidecar was found to write.
    pub(crate) fn superseded(&self) -> watch::Receiver<bool> {
        self.superseded.subscribe()
    }

    fn place(&self) -> Place<'_> {
        Place {
            kind: "Secret",
            namespace: Some(&self.namespace),
        }
    }

    async fn store(&self, deployment_id: &str, bytes: &[u8]) -> io::Result<()> {
        let name = name(deployment_id);
        let packed = STANDARD.encode(packed(bytes)?);
        for _ in 0..ATTEMPTS {
            let version = self.version(&name);
            let body = self.body(&name, version.as_deref(), &packed);
            let written = match &version {
                Some(_) => self.cluster.replace(self.place(), &name, &body).await,
                None => self.cluster.create(self.place(), &body).await,
            };
            match written {
                Ok(meta) => {
                    self.set_version(&name, Some(meta.resource_version));
                    return Ok(());
                }
                Err(error) => self.look_again(&name, &error).await?,
            }
        }
        Err(not_now())
    }

    /// After a write that may have happened or not: whose is what is there now?
    async fn look_again(&self, name: &str, error: &CallError) -> io::Result<()> {
        let may_pass = matches!(
            error.why(),
            None | Some(Why::Conflict | Why::Exists | Why::NotFound | Why::Busy)
        );
        if !may_pass {
            tracing::error!(%error, "desired state cannot be written");
            return Err(not_now());
        }
        tracing::debug!(%error, name, "desired state is looked at again");
        self.look(name).await
    }

    /// Whose is what is there?
    async fn look(&self, name: &str) -> io::Result<()> {
        let meta = self
            .cluster
            .metadata(self.place(), name)
            .await
            .map_err(|_| not_now())?;
        match meta {
            None => self.set_version(name, None),
            Some(meta)
                if meta.annotations.get(HOLDER) == Some(&self.holder)
                    || self.version(name).as_ref() == Some(&meta.resource_version) =>
            {
                self.set_version(name, Some(meta.resource_version));
            }
            Some(_) => {
                tracing::error!(name, "another sidecar writes desired state");
                self.superseded.send_replace(true);
                return Err(not_now());
            }
        }
        Ok(())
    }

    /// Removes what this process knows, or wrote.
    async fn take_away(&self, name: &str) -> io::Result<()> {
        for _ in 0..ATTEMPTS {
            let Some(version) = self.version(name) else {
                self.look(name).await?;
                if self.version(name).is_none() {
                    return Ok(());
                }
                continue;
            };
            let removed = self
                .cluster
                .delete_version(self.place(), name, &version)
                .await;
            match removed {
                Ok(_) => {
                    self.set_version(name, None);
                    return Ok(());
                }
                Err(error) => self.look_again(name, &error).await?,
            }
        }
        Err(not_now())
    }

    fn body(&self, name: &str, version: Option<&str>, packed: &str) -> Value {
        let mut body = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": TYPE,
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {
                    "app.kubernetes.io/managed-by": "nokube",
                    "nokube.dev/platform": self.platform,
                    KEPT_LABEL: KEPT,
                },
                "annotations": { HOLDER: self.holder },
            },
            "data": { DATA: packed },
        });
        if let Some(version) = version {
            body["metadata"]["resourceVersion"] = Value::from(version);
        }
        body
    }

    fn version(&self, name: &str) -> Option<String> {
        self.versions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    fn set_version(&self, name: &str, version: Option<String>) {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        match version {
            Some(version) => versions.insert(name.to_owned(), version),
            None => versions.remove(name),
        };
    }
}

impl Keep for Secrets {
    fn read(&self) -> io::Result<Vec<Kept>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *found))
    }

    fn write(&self, deployment_id: &str, bytes: &[u8]) -> io::Result<()> {
        self.runtime.block_on(self.store(deployment_id, bytes))
    }

    fn remove(&self, deployment_id: &str) -> io::Result<()> {
        self.runtime.block_on(self.take_away(&name(deployment_id)))
    }
}

fn name(deployment_id: &str) -> String {
    format!("nokube-deployment-{deployment_id}")
}

/// The caller may try again.
fn not_now() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// Compressed. What does not fit loses the earlier revision, which only brings something back sooner;
/// what then does not fit is not taken.
fn packed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let packed = gzip(bytes)?;
    if packed.len() <= MOST_BYTES {
        return Ok(packed);
    }
    let mut entry: Value = serde_json::from_slice(bytes)?;
    entry["settled"] = Value::Null;
    let packed = gzip(entry.to_string().as_bytes())?;
    if packed.len() <= MOST_BYTES {
        Ok(packed)
    } else {
        Err(io::ErrorKind::StorageFull.into())
    }
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn unpacked(secret: &Secret) -> io::Result<Vec<u8>> {
    let text = secret.data.get(DATA).ok_or(io::ErrorKind::InvalidData)?;
    let packed = STANDARD.decode(text).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    GzDecoder::new(packed.as_slice())
        .take(MOST_UNPACKED_BYTES)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text that does not compress.
    fn noise(bytes: usize) -> String {
        let mut state = 1_u64;
        (0..bytes)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                char::from(b' ' + u8::try_from((state >> 33) % 64).unwrap())
            })
            .filter(|letter| !matches!(letter, '"' | '\\'))
            .collect()
    }

    #[test]
    fn what_does_not_fit_loses_the_earlier_revision_first() {
        let half = noise(900 << 10);
        let both = json!({ "wanted": half, "settled": noise(901 << 10) }).to_string();
        let kept = packed(both.as_bytes()).unwrap();
        assert!(kept.len() <= MOST_BYTES);
        let mut text = String::new();
        GzDecoder::new(kept.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        let kept: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(kept["wanted"], json!(half));
        assert_eq!(kept["settled"], Value::Null);
        let alone = json!({ "wanted": noise(3 << 20) }).to_string();
        let error = packed(alone.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
