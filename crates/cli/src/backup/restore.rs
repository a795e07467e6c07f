//! Making a data folder of an archive.
//!
//! It is made beside its place, checked there, and gets its name when everything is on the disk: what
//! fails leaves nothing. Nothing of the archive is believed: paths, sizes and digests are checked, and
//! of a tar archive's kinds of entries only plain files are taken.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use flate2::read::GzDecoder;
use nokube_artifact::Digest;
use nokube_artifact::layout::Layout;
use nokube_sidecar::durable::sync_dir;
use tar::EntryType;

use super::contents::{
    Digesting, Entry, FORMAT, KEYS, Kind, MANIFEST, MAX_FILES, MAX_MANIFEST_BYTES, Manifest,
    PLATFORM_DATABASE,
};
use super::databases::{self, Named, Verdict};
use super::{RestoreArgs, parent_of, unfinished};
use crate::platform::keys::Keys;

/// What follows the last entry: two empty blocks, and what the writer fills its last record with.
const MAX_PADDING_BYTES: u64 = 64 << 10;
/// An OCI image manifest is a few kilobytes.
const MAX_IMAGE_MANIFEST_BYTES: u64 = 4 << 20;

/// How long an application's database is looked at: a large one takes some seconds. Each that takes longer leaves less
/// for the others, so that nobody's can hold a restore up.
const PATIENCE: Duration = Duration::from_secs(30);
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// `nokube restore`.
#[expect(clippy::print_stdout, reason = "the command's answer")]
#[expect(clippy::print_stderr, reason = "what the archive lacks")]
pub(crate) fn run(args: &RestoreArgs, json: bool) -> anyhow::Result<()> {
    let most_bytes = args.most_gib.saturating_mul(1 << 30);
    unfinished::removed_when_interrupted()?;
    let restored = restore(&args.file, &args.data_dir, most_bytes)?;
    for text in &restored.warnings {
        eprintln!("{text}");
    }
    if json {
        println!(
            "{}",
            serde_json::json!({
                "data_dir": args.data_dir, "created_at": restored.manifest.created_at,
                "files": restored.manifest.files.len(), "warnings": restored.warnings,
            })
        );
    } else {
        println!(
            "{} is as it was at {}. `nokube up --data-dir {}` starts it; applications are up within a minute.",
            args.data_dir.display(),
            restored.manifest.created_at,
            args.data_dir.display()
        );
    }
    Ok(())
}

/// What was made.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) manifest: Manifest,
    /// What is not as it should be and keeps nothing else from working.
    pub(super) warnings: Vec<String>,
}

/// Makes the folder `to`, which is missing or empty, of the archive `from`.
pub(super) fn restore(from: &Path, to: &Path, most_bytes: u64) -> anyhow::Result<Restored> {
    check_place(to)?;
    let parent = parent_of(to);
    let staging = unfinished::folder(parent, ".nokube-restore-")?;
    let root = staging.path();
    let file = File::open(from).with_context(|| format!("{} cannot be read", from.display()))?;
    let (manifest, found) = unpack(file, root, most_bytes)
        .with_context(|| format!("{} is no whole backup", from.display()))?;
    compare(&manifest, &found).with_context(|| format!("{} is damaged", from.display()))?;
    let warnings = check(root, &manifest)?;
    rustix::fs::syncfs(File::open(root)?)?;
    // Over an empty folder rename(2) works, and over any other it does not.
    fs::rename(root, to).with_context(|| format!("{} cannot be made", to.display()))?;
    sync_dir(parent)?;
    // It is no temporary folder any more.
    let _ = staging.keep();
    Ok(Restored { manifest, warnings })
}

fn check_place(to: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be used", to.display())),
        Ok(metadata) if metadata.is_dir() && fs::read_dir(to)?.next().is_none() => Ok(()),
        Ok(_) => bail!(
            "{} is there already: a backup is restored into a new folder",
            to.display()
        ),
    }
}

/// Unpacks an archive's files below `root`. Returns its manifest and what was really there.
fn unpack(file: File, root: &Path, most_bytes: u64) -> anyhow::Result<(Manifest, Vec<Entry>)> {
    let mut archive = tar::Archive::new(GzDecoder::new(io::BufReader::new(file)));
    let mut found = Vec::new();
    let mut manifest = None;
    let mut left = most_bytes;
    // Raw: names that do not fit the plain header come as entries of their own, which are refused
    // here instead of being read into memory.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        let path =
            String::from_utf8(entry.path_bytes().into_owned()).context("a path is not UTF-8")?;
        let shown: String = path.chars().take(200).collect();
        ensure!(
            entry.header().entry_type() == EntryType::Regular,
            "{shown} is no plain file"
        );
        ensure!(manifest.is_none(), "{shown} follows the manifest");
        ensure!(
            found.len() < MAX_FILES,
            "it has more than {MAX_FILES} files"
        );
        let size_bytes = entry.header().size()?;
        match Kind::of(&path) {
            None => bail!("{shown} is no file of a backup"),
            Some(Kind::Manifest) => {
                ensure!(
                    size_bytes <= MAX_MANIFEST_BYTES,
                    "its manifest is too large"
                );
                let mut json = Vec::new();
                entry.read_to_end(&mut json)?;
                manifest = Some(serde_json::from_slice(&json).context("its manifest")?);
            }
            Some(_) => {
                left = left
                    .checked_sub(size_bytes)
                    .context("it is larger than --most-gib allows")?;
                found.push(unpack_file(&mut entry, root, &path)?);
            }
        }
    }
    // To the end of the compressed stream, whose checksum is there.
    let mut rest = archive.into_inner().take(MAX_PADDING_BYTES);
    io::copy(&mut rest, &mut io::sink())?;
    ensure!(rest.limit() > 0, "something follows the archive");
    let manifest: Manifest = manifest.context("it has no manifest: it was cut off")?;
    Ok((manifest, found))
}

fn unpack_file(content: &mut impl Read, root: &Path, path: &str) -> anyhow::Result<Entry> {
    let to = root.join(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent_of(&to))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&to)
        .with_context(|| format!("{path} cannot be written"))?;
    let mut content = Digesting::new(content);
    io::copy(&mut content, &mut file).with_context(|| format!("{path} cannot be unpacked"))?;
    Ok(content.entry(path))
}

/// Holds what was there against what the manifest says.
fn compare(manifest: &Manifest, found: &[Entry]) -> anyhow::Result<()> {
    ensure!(
        manifest.format == FORMAT && !is_newer(&manifest.nokube),
        "it was made by nokube {}, and this is {}; use that version or a newer one",
        manifest.nokube,
        env!("CARGO_PKG_VERSION")
    );
    let said: BTreeMap<&str, &Entry> = manifest
        .files
        .iter()
        .map(|entry| (entry.path.as_str(), entry))
        .collect();
    for entry in found {
        let said = said.get(entry.path.as_str());
        ensure!(
            said == Some(&entry),
            "{} is not what {MANIFEST} says",
            entry.path
        );
        let digest_of_name = entry.path.strip_prefix("artifacts/blobs/sha256/");
        ensure!(
            digest_of_name.is_none_or(|name| name == entry.sha256),
            "{} has another digest",
            entry.path
        );
    }
    ensure!(
        said.len() == found.len() && manifest.files.len() == found.len(),
        "files are missing"
    );
    for needed in [KEYS, PLATFORM_DATABASE] {
        ensure!(said.contains_key(needed), "{needed} is missing");
    }
    Ok(())
}

/// Whether a version is of a program that may write what this one does not know.
fn is_newer(version: &str) -> bool {
    let parts = |text: &str| -> Vec<u64> {
        let core = text.split(['-', '+']).next().unwrap_or_default();
        core.split('.')
            .map(|part| part.parse().unwrap_or(u64::MAX))
            .collect()
    };
    parts(version) > parts(env!("CARGO_PKG_VERSION"))
}

/// Checks that what was unpacked can be worked with.
fn check(root: &Path, manifest: &Manifest) -> anyhow::Result<Vec<String>> {
    let mut warnings = Vec::new();
    let mut patience = PATIENCE;
    for entry in &manifest.files {
        let path = &entry.path;
        match Kind::of(path) {
            Some(Kind::Database) => {
                databases::check(&root.join(path)).with_context(|| format!("{path} is damaged"))?;
            }
            // An application's own: it was so when it was backed up.
            Some(Kind::Store) => match databases::check_tenants(&root.join(path), patience)? {
                Verdict::Whole => {}
                Verdict::Damaged(reason) => warnings.push(format!("{path} is damaged: {reason}")),
                Verdict::Unknown => {
                    warnings.push(format!(
                        "{path} was not checked: that takes more than {} s.",
                        patience.as_secs()
                    ));
                    patience = (patience / 2).max(LEAST_PATIENCE);
                }
            },
            _ => {}
        }
    }
    let keys = Keys::read(&root.join(KEYS))?;
    for name in ["jwt_private_key", "sealing_key", "system_token"] {
        keys.get(name)?;
    }
    let named = Named::read(&root.join(PLATFORM_DATABASE))
        .context("the platform's database cannot be read")?;
    let layout = Layout::open(root.join("artifacts"))?;
    for text in &named.artifacts {
        if manifest.missing_artifacts.contains(text) {
            warnings.push(format!(
                "The artifact {text} was missing when the backup was made; build it again{}",
                manifest.reason(text)
            ));
            continue;
        }
        take_artifact(&layout, text)
            .with_context(|| format!("the artifact {text}, which a row names, is not usable"))?;
    }
    for path in &manifest.left_out {
        warnings.push(format!(
            "{path} could not be read when the backup was made{}",
            manifest.reason(path)
        ));
    }
    Ok(warnings)
}

/// Lists an artifact whose blobs were unpacked; all of them have to be there.
fn take_artifact(layout: &Layout, text: &str) -> anyhow::Result<()> {
    let digest: Digest = text.parse()?;
    let _storing = layout.storing()?;
    let bytes = layout.read_blob(&digest, MAX_IMAGE_MANIFEST_BYTES)?;
    layout.put_manifest(&bytes)?;
    Ok(())
}
