//! Making an archive.
//!
//! The order matters while the platform runs: its database first, so that whatever the copy names was
//! there before; artifacts are not collected until they are in the archive.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use nokube_artifact::Digest;
use nokube_artifact::layout::Layout;
use nokube_sidecar::durable::sync_dir;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::contents::{
    Digesting, Entry, FORMAT, KEYS, Kind, MANIFEST, MAX_FILES, MAX_MANIFEST_BYTES, MAX_STORES,
    Manifest, PLATFORM_DATABASE, is_database,
};
use super::databases::{self, CopyError, LOCKED_FOR, Named};
use super::{BackupArgs, parent_of, unfinished};

/// Databases that are copied before the others, in this order: a row of the first may name a user of
/// the second.
const FIRST: [&str; 2] = ["platform.db", "auth.db"];

/// An application may keep its databases locked, one after the other: each that takes long leaves less patience for the
/// next, so that nobody's can hold a backup up.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// What the command ends with when the archive is good and lacks something.
const INCOMPLETE: u8 = 3;

/// `nokube backup`.
#[expect(clippy::print_stdout, reason = "the command's answer")]
#[expect(clippy::print_stderr, reason = "what the archive lacks")]
pub(crate) fn run(args: &BackupArgs, json: bool) -> anyhow::Result<ExitCode> {
    if args.file.exists() {
        bail!("{} is there already", args.file.display());
    }
    unfinished::removed_when_interrupted()?;
    let manifest = write(&args.data_dir, &args.file)?;
    let bytes = fs::metadata(&args.file)?.len();
    for digest in &manifest.missing_artifacts {
        let reason = manifest.reason(digest);
        eprintln!(
            "The artifact {digest}, which a build or revision names, is not in the backup{reason}"
        );
    }
    for path in &manifest.left_out {
        let reason = manifest.reason(path);
        eprintln!("{path} cannot be read and is not in the backup{reason}");
    }
    let files = manifest.files.len();
    if json {
        println!(
            "{}",
            serde_json::json!({
                "file": args.file, "size_bytes": bytes, "files": files,
                "missing_artifacts": manifest.missing_artifacts, "left_out": manifest.left_out,
                "reasons": manifest.reasons,
            })
        );
    } else {
        println!(
            "{files} files in {} ({bytes} bytes). It holds the platform's keys: keep it where nobody else reads.",
            args.file.display()
        );
    }
    Ok(if manifest.is_incomplete() {
        ExitCode::from(INCOMPLETE)
    } else {
        ExitCode::SUCCESS
    })
}

/// Makes the archive `to` of the data folder `data`; it is there whole or not at all.
pub(super) fn write(data: &Path, to: &Path) -> anyhow::Result<Manifest> {
    if !data.join(PLATFORM_DATABASE).is_file() {
        bail!(
            "{} has no platform's database: is it the --data-dir of `nokube up`?",
            data.display()
        );
    }
    // Beside the archive, where there has to be room anyway.
    let parent = parent_of(to);
    let staging = unfinished::folder(parent, ".nokube-backup-")?;
    let unfinished = staging.path().join("archive");
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    let mut archive = Archive {
        data,
        staging: &staging,
        tar: Builder::new(GzEncoder::new(file, Compression::fast())),
        patience: LOCKED_FOR,
        manifest: Manifest {
            format: FORMAT,
            nokube: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: nokube_domain::Timestamp::from_millis(now_ms()).to_string(),
            files: Vec::new(),
            missing_artifacts: Vec::new(),
            left_out: Vec::new(),
            reasons: BTreeMap::new(),
        },
    };
    archive.fill()?;
    let (file, manifest) = archive.finish()?;
    file.sync_all()?;
    fs::rename(&unfinished, to).with_context(|| format!("{} cannot be made", to.display()))?;
    sync_dir(parent)?;
    Ok(manifest)
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}

struct Archive<'a> {
    data: &'a Path,
    staging: &'a TempDir,
    tar: Builder<GzEncoder<File>>,
    /// How long an application's locked database is waited for.
    patience: Duration,
    manifest: Manifest,
}

impl Archive<'_> {
    fn fill(&mut self) -> anyhow::Result<()> {
        let layout = Layout::open(self.data.join("artifacts"))?;
        // From before the first row is read: what a row names stays until it is in the archive.
        let storing = layout.storing()?;
        let mut databases = files_in(&self.data.join("db"))?;
        databases.retain(|name| is_database(name) && !FIRST.contains(&name.as_str()));
        let mut named = Named::default();
        for name in FIRST.map(str::to_owned).into_iter().chain(databases) {
            let path = format!("db/{name}");
            if !self.data.join(&path).exists() {
                continue;
            }
            let copy = self
                .copy_database(&path, LOCKED_FOR)
                .with_context(|| format!("{path} cannot be copied"))?;
            if path == PLATFORM_DATABASE {
                named = Named::read(&copy).context("the platform's database cannot be read")?;
            }
            self.append_file(&path, &copy)?;
            fs::remove_file(copy)?;
        }
        self.append_file(KEYS, &self.data.join(KEYS))
            .context("the platform's keys cannot be read")?;
        self.append_artifacts(&layout, &named.artifacts)?;
        drop(storing);
        for build in &named.sources {
            let path = format!("sidecar/sources/{build}.tar.gz");
            let file = self.data.join(&path);
            if file.is_file() {
                self.append_file(&path, &file)?;
            } else {
                self.leave_out(path, "it is not there");
            }
        }
        for deployment in &named.deployments {
            self.append_stores(deployment)?;
        }
        Ok(())
    }

    fn leave_out(&mut self, path: String, reason: impl Into<String>) {
        self.manifest.reasons.insert(path.clone(), reason.into());
        self.manifest.left_out.push(path);
    }

    fn copy_database(&self, path: &str, patience: Duration) -> Result<PathBuf, CopyError> {
        let copy = self.staging.path().join("database");
        databases::copy(&self.data.join(path), &copy, patience)?;
        Ok(copy)
    }

    fn append_artifacts(&mut self, layout: &Layout, named: &[String]) -> anyhow::Result<()> {
        let mut blobs = std::collections::BTreeSet::new();
        for text in named {
            let of = |digest: Digest| -> anyhow::Result<Vec<Digest>> {
                let manifest = layout.manifest(&digest)?;
                let all: Vec<Digest> = manifest.blobs().map(|blob| blob.digest).collect();
                anyhow::ensure!(all.iter().all(|blob| layout.has(blob)), "a blob is missing");
                Ok(all.into_iter().chain([digest]).collect())
            };
            match text.parse().map_err(anyhow::Error::new).and_then(of) {
                Ok(all) => blobs.extend(all),
                Err(error) => {
                    let reasons = &mut self.manifest.reasons;
                    reasons.insert(text.clone(), format!("{error:#}"));
                    self.manifest.missing_artifacts.push(text.clone());
                }
            }
        }
        for blob in blobs {
            let path = format!("artifacts/blobs/sha256/{}", blob.hex());
            self.append_file(&path, &layout.blob_path(&blob))?;
        }
        Ok(())
    }

    /// What an application stores. It is its own doing whether that can be read: one that cannot keeps
    /// nobody from a backup of all else.
    fn append_stores(&mut self, deployment: &str) -> anyhow::Result<()> {
        for kind in ["sqlite", "key-value"] {
            let folder = format!("tenants/state/{deployment}/{kind}");
            let names = match files_in(&self.data.join(&folder)) {
                Ok(names) => names,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    self.leave_out(folder, error.to_string());
                    continue;
                }
            };
            let names: Vec<&String> = names.iter().filter(|name| is_database(name)).collect();
            for name in names.iter().take(MAX_STORES) {
                self.append_store(format!("{folder}/{name}"))?;
            }
            if names.len() > MAX_STORES {
                let reason = format!("{MAX_STORES} of its {} files are", names.len());
                self.leave_out(folder, reason);
            }
        }
        Ok(())
    }

    fn append_store(&mut self, path: String) -> anyhow::Result<()> {
        // It may be deleted, and its deployment with it, while this runs.
        if Kind::of(&path).is_none() || !self.data.join(&path).exists() {
            return Ok(());
        }
        // A longer one would be an entry of its own, which no restore takes.
        if Header::new_ustar().set_path(&path).is_err() {
            self.leave_out(path, "its name is too long for an archive");
            return Ok(());
        }
        if self.manifest.files.len() >= MAX_FILES {
            self.leave_out(path, format!("an archive has at most {MAX_FILES} files"));
            return Ok(());
        }
        let began = Instant::now();
        match self.copy_database(&path, self.patience) {
            Ok(copy) => self.append_file(&path, &copy)?,
            Err(CopyError::Source(error)) => {
                self.leave_out(path, format!("{error:#}"));
                if began.elapsed() >= self.patience {
                    self.patience = (self.patience / 2).max(LEAST_PATIENCE);
                }
            }
            Err(CopyError::Place(error)) => {
                return Err(error.context(format!("{path} cannot be copied")));
            }
        }
        let _ = fs::remove_file(self.staging.path().join("database"));
        Ok(())
    }

    fn append_file(&mut self, path: &str, file: &Path) -> anyhow::Result<()> {
        ensure!(
            self.manifest.files.len() < MAX_FILES,
            "there are more than {MAX_FILES} files, and no archive has more"
        );
        let content = File::open(file)?;
        let size_bytes = content.metadata()?.len();
        let entry = append(&mut self.tar, path, size_bytes, content)
            .with_context(|| format!("{path} cannot be put into the archive"))?;
        self.manifest.files.push(entry);
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<(File, Manifest)> {
        let json = serde_json::to_vec_pretty(&self.manifest)?;
        ensure!(
            json.len() as u64 <= MAX_MANIFEST_BYTES,
            "the list of what is in the archive is larger than {MAX_MANIFEST_BYTES} bytes"
        );
        append(&mut self.tar, MANIFEST, json.len() as u64, &json[..])?;
        let file = self.tar.into_inner()?.finish()?;
        Ok((file, self.manifest))
    }
}

fn append(
    tar: &mut Builder<impl Write>,
    path: &str,
    size_bytes: u64,
    content: impl Read,
) -> io::Result<Entry> {
    debug_assert!(Kind::of(path).is_some(), "{path}");
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size_bytes);
    // Exactly as much as the header says, or nothing that follows could be read.
    let mut content = Digesting::new(content.take(size_bytes));
    tar.append_data(&mut header, path, &mut content)?;
    let entry = content.entry(path);
    if entry.size_bytes == size_bytes {
        Ok(entry)
    } else {
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file became shorter",
        ))
    }
}

/// Names of a folder's files, links left out, in order.
fn files_in(folder: &Path) -> io::Result<Vec<String>> {
    if !fs::symlink_metadata(folder)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::restore::restore;
    use super::*;

    const DEPLOYMENT: &str = "01940000-0000-7000-8000-0000000000d1";

    /// A platform's folder with one deployment, and what of its databases' files is there.
    fn data_folder(folder: &Path, stores: &[String]) {
        let state = format!("tenants/state/{DEPLOYMENT}/sqlite");
        for below in ["db", &state] {
            fs::create_dir_all(folder.join(below)).unwrap();
        }
        let database = rusqlite::Connection::open(folder.join(PLATFORM_DATABASE)).unwrap();
        database
            .execute_batch(&format!(
                "CREATE TABLE deployment_revisions (digest);
                 CREATE TABLE builds (digest, source_build_id, source_ready, completed_at_ms);
                 CREATE TABLE deployments (id, desired);
                 INSERT INTO deployments VALUES ('{DEPLOYMENT}', 'running');"
            ))
            .unwrap();
        crate::platform::keys::Keys::ensure(folder).unwrap();
        for store in stores {
            let path = folder.join(&state).join(store);
            let database = rusqlite::Connection::open(path).unwrap();
            database.execute_batch("CREATE TABLE t (x)").unwrap();
        }
    }

    #[test]
    fn what_no_restore_would_take_is_left_out_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let (data, archive) = (dir.path().join("data"), dir.path().join("archive"));
        let long = format!("{}.db", "a".repeat(120));
        let mut stores: Vec<String> = (0..=MAX_STORES).map(|n| format!("s{n:04}.db")).collect();
        stores.push(long.clone());
        data_folder(&data, &stores);
        let manifest = write(&data, &archive).unwrap();
        let folder = format!("tenants/state/{DEPLOYMENT}/sqlite");
        assert_eq!(manifest.left_out, [format!("{folder}/{long}"), folder]);
        let restored = restore(&archive, &dir.path().join("again"), 1 << 30).unwrap();
        assert_eq!(restored.manifest.files.len(), manifest.files.len());
    }

    #[test]
    fn a_database_that_stays_locked_is_waited_for_as_long_as_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let holder = rusqlite::Connection::open(&path).unwrap();
        holder
            .execute_batch("CREATE TABLE t (x); BEGIN EXCLUSIVE")
            .unwrap();
        let patience = Duration::from_millis(50);
        let copied = databases::copy(&path, &dir.path().join("b.db"), patience);
        assert!(matches!(copied, Err(CopyError::Source(_))), "{copied:?}");
        holder.execute_batch("COMMIT").unwrap();
        databases::copy(&path, &dir.path().join("c.db"), patience).unwrap();
    }
}
