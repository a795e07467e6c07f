//! Manifests: which artifacts a layout has, and what they keep alive.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::SystemTime;

use super::{Layout, LayoutError, Result};
use crate::oci::{Descriptor, ImageManifest, Index, MANIFEST_TYPE, MAX_JSON_BYTES};
use crate::{Digest, durable};

impl Layout {
    /// Reads an image manifest.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn manifest(&self, digest: &Digest) -> Result<ImageManifest> {
        let bytes = self.read_blob(digest, MAX_JSON_BYTES)?;
        parse_manifest(&bytes)
    }

    /// The manifests of the index.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn list(&self) -> Result<Vec<Descriptor>> {
        Ok(self.read_index()?.manifests)
    }

    /// Whether the index has this manifest.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn lists(&self, digest: &Digest) -> Result<bool> {
        Ok(self.list()?.iter().any(|known| known.digest == *digest))
    }

    /// Stores a manifest whose blobs are all there and adds it to the index.
    ///
    /// # Errors
    /// [`LayoutError`]; [`LayoutError::Missing`] when a blob is not there.
    pub fn put_manifest(&self, bytes: &[u8]) -> Result<Digest> {
        let manifest = parse_manifest(bytes)?;
        for blob in manifest.blobs() {
            let (_, size) = self.open_blob(&blob.digest)?;
            if size != blob.size {
                return Err(LayoutError::Malformed {
                    what: format!("the size of {}", blob.digest),
                    reason: format!("it is {size}, not {}", blob.size),
                });
            }
        }
        let digest = self.put_bytes(bytes)?;
        let files = manifest.blobs().map(|blob| self.blob_path(&blob.digest));
        let files = files.chain([self.blob_path(&digest)]).collect();
        durable::sync_files(&self.blobs(), &files)
            .map_err(LayoutError::io("can't write", &self.blobs()))?;
        self.add(Descriptor::of(MANIFEST_TYPE, bytes))?;
        Ok(digest)
    }

    /// Bytes of an artifact: its manifest and its blobs.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn artifact_size(&self, digest: &Digest) -> Result<u64> {
        let manifest = self.manifest(digest)?;
        let blobs: BTreeSet<_> = manifest.blobs().map(|b| (b.digest, b.size)).collect();
        let (_, own) = self.open_blob(digest)?;
        Ok(own + blobs.iter().map(|(_, size)| size).sum::<u64>())
    }

    /// Takes a manifest out of the index and removes the blobs that nothing refers to any more.
    /// Whether it was there.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn delete(&self, digest: &Digest) -> Result<bool> {
        let was_there = {
            let _lock = self.lock("index.lock", true)?;
            let mut index = self.read_index()?;
            let before = index.manifests.len();
            index.manifests.retain(|known| known.digest != *digest);
            let was_there = index.manifests.len() != before;
            if was_there {
                self.write_index(&index)?;
            }
            was_there
        };
        self.collect()?;
        Ok(was_there)
    }

    /// Removes the artifacts that `is_kept` does not want and that were stored before `before`, with
    /// the blobs that nothing refers to any more. Waits for whoever is storing, and storing again
    /// makes an artifact new: what was just stored is never removed. Returns what was.
    ///
    /// # Errors
    /// [`LayoutError`]; what was removed until then is gone, and the next call does the rest.
    pub fn remove_unused(
        &self,
        before: SystemTime,
        is_kept: impl Fn(&Digest) -> bool,
    ) -> Result<Vec<Digest>> {
        let _storing = self.lock("blobs.lock", true)?;
        let removed = {
            let _lock = self.lock("index.lock", true)?;
            let mut index = self.read_index()?;
            let mut removed = Vec::new();
            for known in &index.manifests {
                if !is_kept(&known.digest) && self.stored_before(&known.digest, before)? {
                    removed.push(known.digest);
                }
            }
            if !removed.is_empty() {
                index
                    .manifests
                    .retain(|known| !removed.contains(&known.digest));
                self.write_index(&index)?;
            }
            removed
        };
        self.collect_alone()?;
        Ok(removed)
    }

    fn stored_before(&self, digest: &Digest, before: SystemTime) -> Result<bool> {
        let path = self.blob_path(digest);
        match fs::metadata(&path).and_then(|metadata| metadata.modified()) {
            Ok(stored) => Ok(stored < before),
            // Nothing can be made of it any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(LayoutError::io("can't read", &path)(error)),
        }
    }

    /// Removes blobs that no manifest of the index refers to. Waits for whoever is storing.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn collect(&self) -> Result<()> {
        let _storing = self.lock("blobs.lock", true)?;
        self.collect_alone()
    }

    /// The same in the hands of who keeps others from storing.
    fn collect_alone(&self) -> Result<()> {
        let mut kept = BTreeSet::new();
        for known in self.list()? {
            kept.insert(known.digest.hex());
            match self.manifest(&known.digest) {
                Ok(manifest) => kept.extend(manifest.blobs().map(|blob| blob.digest.hex())),
                // Damaged: nothing can be read by it. It must not keep others from going.
                Err(error) if error.is_of_the_content() => {}
                Err(error) => return Err(error),
            }
        }
        let blobs = self.blobs();
        let io = |error| LayoutError::io("can't read", &blobs)(error);
        for entry in fs::read_dir(&blobs).map_err(io)? {
            let entry = entry.map_err(io)?;
            if !entry.file_name().to_str().is_some_and(|n| kept.contains(n)) {
                let path = entry.path();
                fs::remove_file(&path).map_err(LayoutError::io("can't remove", &path))?;
            }
        }
        Ok(())
    }

    fn add(&self, descriptor: Descriptor) -> Result<()> {
        let _lock = self.lock("index.lock", true)?;
        let mut index = self.read_index()?;
        if index
            .manifests
            .iter()
            .all(|m| m.digest != descriptor.digest)
        {
            index.manifests.push(descriptor);
            self.write_index(&index)?;
        }
        Ok(())
    }

    fn read_index(&self) -> Result<Index> {
        let path = self.index_path();
        let bytes = fs::read(&path).map_err(LayoutError::io("can't read", &path))?;
        serde_json::from_slice(&bytes).map_err(|error| LayoutError::Malformed {
            what: "index.json".to_owned(),
            reason: error.to_string(),
        })
    }

    pub(super) fn write_index(&self, index: &Index) -> Result<()> {
        let bytes = serde_json::to_vec(index).expect("maps with text keys always serialise");
        self.write_file(&self.index_path(), &bytes)
    }
}

pub(super) fn parse_manifest(bytes: &[u8]) -> Result<ImageManifest> {
    let malformed = |reason: String| LayoutError::Malformed {
        what: "the image manifest".to_owned(),
        reason,
    };
    let manifest: ImageManifest =
        serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
    if manifest.schema_version != 2 {
        return Err(malformed(format!(
            "schemaVersion is {}",
            manifest.schema_version
        )));
    }
    Ok(manifest)
}
