//! The file that keeps a session: `$NOKUBE_CONFIG`, else `$XDG_CONFIG_HOME/nokube/credentials.json`,
//! else `~/.config/nokube/credentials.json`. Mode 0600, replaced by rename, guarded by a lock.
//!
//! The lock matters: a refresh token works once, and two commands that spend the same one at the same
//! time would look like a thief and end the session.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// A session on a platform.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// Base address of the platform.
    pub(crate) url: String,
    /// Who is signed in.
    pub(crate) username: String,
    /// Good for minutes.
    pub(crate) access_token: String,
    /// Good for one refresh; empty when there is an API token.
    pub(crate) refresh_token: String,
    /// What is exchanged for the next access token when somebody signed in with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_token: Option<String>,
    /// When the access token ends, Unix seconds.
    pub(crate) expires_at: i64,
}

/// The credentials file, locked for as long as this lives.
pub(crate) struct CredentialsFile {
    path: PathBuf,
    _lock: File,
}

impl CredentialsFile {
    /// Opens and locks it; waits for another command that holds it.
    pub(crate) fn lock() -> anyhow::Result<Self> {
        let path = path()?;
        let folder = path
            .parent()
            .context("the credentials file has no folder")?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let lock_path = path.with_extension("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .with_context(|| format!("cannot open {}", lock_path.display()))?;
        lock.lock()
            .with_context(|| format!("cannot lock {}", lock_path.display()))?;
        Ok(Self { path, _lock: lock })
    }

    /// What it holds, if anything.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Credentials>> {
        read(&self.path)
    }

    /// Replaces what it holds.
    pub(crate) fn write(&self, credentials: &Credentials) -> anyhow::Result<()> {
        let temporary = self.path.with_extension("new");
        // A leftover of a command that was killed may have other permissions.
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)
            .with_context(|| format!("cannot write {}", temporary.display()))?;
        file.write_all(&serde_json::to_vec_pretty(credentials)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Forgets the session.
    pub(crate) fn remove(&self) -> anyhow::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The present session.
///
/// # Errors
/// When nobody is signed in.
pub(crate) fn current() -> anyhow::Result<Credentials> {
    read(&path()?)?
        .context("you are not signed in: run `nokube login` (or `nokube register`) first")
}

fn read(path: &Path) -> anyhow::Result<Option<Credentials>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .with_context(|| format!("{} is damaged: run `nokube login` again", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn path() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("NOKUBE_CONFIG") {
        return Ok(path.into());
    }
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".config")))
        .context("no home folder: set NOKUBE_CONFIG to where the session shall be kept")?;
    Ok(base.join("nokube").join("credentials.json"))
}
