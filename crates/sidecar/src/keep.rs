//! Where desired state is kept: a folder here, Secrets in a cluster.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable::{create_private_dir, remove_durably, remove_unfinished, write_durably};

const ENDING: &str = "json";

/// A place that keeps one entry per deployment. What an entry says is the sidecar's alone; secrets in
/// it are sealed.
///
/// Its methods may block, and are called where that harms nobody. For one deployment they are called
/// one after another.
pub trait Keep: Send + Sync + 'static {
    /// Everything that is kept. Called once, before anything else.
    ///
    /// # Errors
    /// When it cannot be known: what is missing here is taken to be wanted no more.
    fn read(&self) -> io::Result<Vec<Kept>>;

    /// Replaces a deployment's entry. When this returns it survives a crash of anything.
    ///
    /// # Errors
    /// When it may not be kept.
    fn write(&self, deployment_id: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes a deployment's entry. A missing one is fine.
    ///
    /// # Errors
    /// When it may still be kept.
    fn remove(&self, deployment_id: &str) -> io::Result<()>;
}

/// An entry that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What it is called there, for the log.
    pub name: String,
    /// What was written.
    pub bytes: Vec<u8>,
}

/// One file per deployment in a folder.
pub(crate) struct Files {
    dir: PathBuf,
}

impl Files {
    /// Uses the folder, making it when missing.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        create_private_dir(dir)?;
        remove_unfinished(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// Ids are checked to be UUIDs before they come here, so they are safe file names.
    fn path(&self, deployment_id: &str) -> PathBuf {
        self.dir.join(format!("{deployment_id}.{ENDING}"))
    }
}

impl Keep for Files {
    fn read(&self) -> io::Result<Vec<Kept>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                all.push(Kept {
                    bytes: fs::read(&path)?,
                    name: path.display().to_string(),
                });
            }
        }
        Ok(all)
    }

    fn write(&self, deployment_id: &str, bytes: &[u8]) -> io::Result<()> {
        write_durably(&self.path(deployment_id), bytes)
    }

    fn remove(&self, deployment_id: &str) -> io::Result<()> {
        remove_durably(&self.path(deployment_id))
    }
}
