//! What is in an archive: the manifest, and which paths there may be.

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Grows when an older `restore` could not read what is written.
pub(super) const FORMAT: u32 = 1;
/// The manifest's own path.
pub(super) const MANIFEST: &str = "manifest.json";
/// The platform's keys.
pub(super) const KEYS: &str = "keys.env";
/// The database that names artifacts, deployments and sources.
pub(super) const PLATFORM_DATABASE: &str = "db/platform.db";
/// Names and digests of [`MAX_FILES`] files.
pub(super) const MAX_MANIFEST_BYTES: u64 = 64 << 20;
/// 5,000 applications with ten stores each, and as many artifacts of a few blobs.
pub(super) const MAX_FILES: usize = 200_000;
/// Databases, or key-value stores, of one deployment. It has 16 at a time; those of labels that it had before stay.
pub(super) const MAX_STORES: usize = 1_000;

/// What an archive holds, and what made it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// The version of the program that made it.
    pub(super) nokube: String,
    /// When it was begun, RFC 3339.
    pub(super) created_at: String,
    pub(super) files: Vec<Entry>,
    /// Artifacts that rows named and that were not there.
    pub(super) missing_artifacts: Vec<String>,
    /// Files of applications that could not be read.
    pub(super) left_out: Vec<String>,
    /// Why, by digest or path.
    #[serde(default)]
    pub(super) reasons: BTreeMap<String, String>,
}

impl Manifest {
    /// Whether something is not in it that should be.
    pub(super) fn is_incomplete(&self) -> bool {
        !self.missing_artifacts.is_empty() || !self.left_out.is_empty()
    }

    /// `: ` and the reason that it lacks `what`, if it is known.
    pub(super) fn reason(&self, what: &str) -> String {
        let reason = self.reasons.get(what);
        reason.map_or_else(String::new, |reason| format!(": {reason}"))
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) size_bytes: u64,
    /// Hexadecimal.
    pub(super) sha256: String,
}

/// What a path of an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Manifest,
    Keys,
    /// Of the platform.
    Database,
    Blob,
    Source,
    /// Of an application.
    Store,
}

impl Kind {
    /// What this path is; nothing when no archive of ours has it. Every path that is something stays
    /// inside: its parts are fixed words and names of harmless characters.
    pub(super) fn of(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').collect();
        if !parts.iter().all(|part| is_harmless(part)) {
            return None;
        }
        match parts.as_slice() {
            [MANIFEST] => Some(Self::Manifest),
            [KEYS] => Some(Self::Keys),
            ["db", name] if is_database(name) => Some(Self::Database),
            ["artifacts", "blobs", "sha256", hex] if is_sha256(hex) => Some(Self::Blob),
            ["sidecar", "sources", name] if name.ends_with(".tar.gz") => Some(Self::Source),
            ["tenants", "state", _id, "sqlite" | "key-value", name] if is_database(name) => {
                Some(Self::Store)
            }
            _ => None,
        }
    }
}

/// A file name of letters, digits, `-`, `_` and `.` that is no hidden one, nor `..`.
fn is_harmless(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Databases and key-value stores, which are databases too.
pub(super) fn is_database(name: &str) -> bool {
    name.ends_with(".db") || name.ends_with(".kv")
}

fn is_sha256(hex: &str) -> bool {
    hex.len() == 64
        && hex
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Digests what is read through it.
pub(super) struct Digesting<R> {
    inner: R,
    hash: Sha256,
    size_bytes: u64,
}

impl<R: Read> Digesting<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            size_bytes: 0,
        }
    }

    /// The entry of a file that was read to its end.
    pub(super) fn entry(self, path: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            size_bytes: self.size_bytes,
            sha256: hex::encode(self.hash.finalize()),
        }
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.size_bytes += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_a_backup_are_something() {
        let hex = "ab".repeat(32);
        for path in [
            "manifest.json",
            "keys.env",
            "db/platform.db",
            "db/cache.kv",
            &format!("artifacts/blobs/sha256/{hex}"),
            "sidecar/sources/01940000-0000-7000-8000-0000000000b1.tar.gz",
            "tenants/state/01940000-0000-7000-8000-0000000000d1/sqlite/default.db",
        ] {
            assert!(Kind::of(path).is_some(), "{path}");
        }
        for path in [
            "",
            "/keys.env",
            "./keys.env",
            "../keys.env",
            "db/../keys.env",
            "db/.db",
            "db/a/b.db",
            "db/platform.db-wal",
            "tenants/state/../sqlite/default.db",
            "tenants/state/x/logs/default.db",
            "artifacts/blobs/sha256/AB",
            "artifacts/index.json",
            "run/lock",
        ] {
            assert!(Kind::of(path).is_none(), "{path}");
        }
    }
}
