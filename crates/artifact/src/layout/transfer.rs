//! Artifacts in and out of a layout as tar archives of a layout.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};

use tar::{Archive, Builder, EntryType, Header};
use tempfile::NamedTempFile;

use super::{LAYOUT_FILE, Layout, LayoutError, Result, copy_marking, parse_manifest};
use crate::Digest;
use crate::digest::{Copied, copy_digesting};
use crate::oci::{Descriptor, Index, MANIFEST_TYPE, MAX_JSON_BYTES};

/// What an archive may hold.
#[derive(Debug, Clone, Copy)]
pub struct ImportLimits {
    /// Entries, folders included.
    pub entries: usize,
    /// Bytes of all blobs together.
    pub bytes: u64,
}

impl Default for ImportLimits {
    /// 2,000 entries, 1 GiB.
    fn default() -> Self {
        Self {
            entries: 2_000,
            bytes: 1024 * 1024 * 1024,
        }
    }
}

/// What was read from an archive, not yet visible.
struct Staged {
    blobs: BTreeMap<Digest, (NamedTempFile, u64)>,
    index: Option<Vec<u8>>,
}

impl Layout {
    /// Reads an archive of a layout with one image manifest and keeps that artifact. Blobs that the
    /// manifest doesn't refer to are dropped; blobs that it refers to and that are here already need
    /// not be in the archive.
    ///
    /// # Errors
    /// [`LayoutError`]; nothing is kept then.
    pub fn import_tar(&self, from: impl Read, limits: ImportLimits) -> Result<Digest> {
        let mut staged = self.stage(from, limits)?;
        // Only now: whoever sends slowly must not hold off a deletion.
        let _storing = self.storing()?;
        let digest = one_manifest(staged.index.as_deref())?;
        let bytes = match staged.blobs.remove(&digest) {
            Some((file, size)) => {
                if size > MAX_JSON_BYTES {
                    return Err(LayoutError::TooLarge {
                        what: "the image manifest".to_owned(),
                        limit: MAX_JSON_BYTES,
                    });
                }
                fs::read(file.path()).map_err(LayoutError::io("can't read", file.path()))?
            }
            None => self.read_blob(&digest, MAX_JSON_BYTES)?,
        };
        let manifest = parse_manifest(&bytes)?;
        for blob in manifest.blobs() {
            if let Some((file, size)) = staged.blobs.remove(&blob.digest) {
                if size != blob.size {
                    return Err(LayoutError::Malformed {
                        what: format!("the size of {}", blob.digest),
                        reason: format!("it is {size}, not {}", blob.size),
                    });
                }
                self.keep(file, &blob.digest)?;
            }
        }
        self.put_manifest(&bytes)
    }

    fn stage(&self, from: impl Read, limits: ImportLimits) -> Result<Staged> {
        let mut staged = Staged {
            blobs: BTreeMap::new(),
            index: None,
        };
        let mut left = limits.bytes;
        let mut archive = Archive::new(from);
        // Raw: extension headers are entries of their own here, so that none is read into memory.
        // A layout's own paths fit the plain header.
        let entries = archive.entries().map_err(LayoutError::Read)?.raw(true);
        for (count, entry) in entries.enumerate() {
            let mut entry = entry.map_err(LayoutError::Read)?;
            let path = entry.path_bytes();
            let path = String::from_utf8_lossy(&path).into_owned();
            let refuse = |reason| LayoutError::Entry {
                entry: path.chars().take(100).collect(),
                reason,
            };
            if count >= limits.entries {
                return Err(refuse("too many entries"));
            }
            let name = path.strip_prefix("./").unwrap_or(&path);
            match entry.header().entry_type() {
                EntryType::Directory => {
                    let name = name.trim_end_matches('/');
                    if !matches!(name, "" | "." | "blobs" | "blobs/sha256") {
                        return Err(refuse("not a folder of a layout"));
                    }
                    continue;
                }
                EntryType::XHeader | EntryType::XGlobalHeader => continue,
                EntryType::Regular => {}
                _ => return Err(refuse("neither a file nor a folder")),
            }
            match name {
                "oci-layout" => {
                    read_small(&mut entry)?;
                }
                "index.json" => staged.index = Some(read_small(&mut entry)?),
                _ => {
                    let digest: Digest = name
                        .strip_prefix("blobs/sha256/")
                        .and_then(|hex| format!("sha256:{hex}").parse().ok())
                        .ok_or_else(|| refuse("not a file of a layout"))?;
                    let (file, size) = self.stage_blob(&mut entry, &digest, left)?;
                    left -= size;
                    staged.blobs.insert(digest, (file, size));
                }
            }
        }
        Ok(staged)
    }

    fn stage_blob(
        &self,
        from: &mut dyn Read,
        expected: &Digest,
        limit: u64,
    ) -> Result<(NamedTempFile, u64)> {
        let staging = self.staging();
        let io = |error| LayoutError::io("can't write in", &staging)(error);
        let mut file = NamedTempFile::new_in(&staging).map_err(io)?;
        match copy_marking(from, &mut file, limit, io)? {
            Copied::TooLarge => Err(LayoutError::TooLarge {
                what: "the archive's content".to_owned(),
                limit,
            }),
            Copied::Whole(found, _) if found != *expected => Err(LayoutError::Mismatch {
                expected: *expected,
                found,
            }),
            Copied::Whole(_, size) => Ok((file, size)),
        }
    }

    /// Writes an artifact as an archive of a layout: the same bytes for the same artifact.
    ///
    /// # Errors
    /// [`LayoutError`]; [`LayoutError::Read`] when `to` fails.
    pub fn export_tar(&self, digest: &Digest, to: impl Write) -> Result<()> {
        let bytes = self.read_blob(digest, MAX_JSON_BYTES)?;
        let manifest = parse_manifest(&bytes)?;
        let index = Index::new(vec![Descriptor::of(MANIFEST_TYPE, &bytes)]);
        let index = serde_json::to_vec(&index).expect("maps with text keys always serialise");
        let mut builder = Builder::new(to);
        append(
            &mut builder,
            "oci-layout",
            LAYOUT_FILE.len() as u64,
            LAYOUT_FILE,
        )?;
        append(&mut builder, "index.json", index.len() as u64, &index[..])?;
        let blobs: BTreeSet<_> = manifest
            .blobs()
            .map(|blob| blob.digest)
            .chain([*digest])
            .collect();
        for blob in blobs {
            let (file, size): (File, u64) = self.open_blob(&blob)?;
            append(
                &mut builder,
                &format!("blobs/sha256/{}", blob.hex()),
                size,
                file,
            )?;
        }
        let mut to = builder.into_inner().map_err(LayoutError::Read)?;
        to.flush().map_err(LayoutError::Read)
    }
}

fn append(
    builder: &mut Builder<impl Write>,
    path: &str,
    size: u64,
    content: impl Read,
) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    builder
        .append_data(&mut header, path, content)
        .map_err(LayoutError::Read)
}

fn read_small(entry: &mut dyn Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match copy_digesting(entry, &mut bytes, MAX_JSON_BYTES).map_err(LayoutError::Read)? {
        Copied::Whole(..) => Ok(bytes),
        Copied::TooLarge => Err(LayoutError::TooLarge {
            what: "the archive's index".to_owned(),
            limit: MAX_JSON_BYTES,
        }),
    }
}

/// The one image manifest of an archive's index.
fn one_manifest(index: Option<&[u8]>) -> Result<Digest> {
    let malformed = |reason: String| LayoutError::Malformed {
        what: "the archive's index.json".to_owned(),
        reason,
    };
    let index = index.ok_or_else(|| malformed("it is missing".to_owned()))?;
    let index: Index =
        serde_json::from_slice(index).map_err(|error| malformed(error.to_string()))?;
    match index.manifests.as_slice() {
        [one] if one.media_type == MANIFEST_TYPE => Ok(one.digest),
        [one] => Err(malformed(format!("{:?} is no image", one.media_type))),
        many => Err(malformed(format!("{} manifests, not one", many.len()))),
    }
}
