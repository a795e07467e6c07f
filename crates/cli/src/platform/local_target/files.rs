//! A deployment's files: made for the tenants' process to read, removed when nobody needs them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nokube_sidecar::TargetError;

use super::LocalTarget;
use crate::platform::tenants::folders::Folders;

impl LocalTarget {
    pub(super) async fn has_files(&self, id: &str) -> Result<bool, TargetError> {
        let dirs = all_dirs(&self.options.outside, id);
        on_disk(move || dirs.iter().any(|dir| dir.exists())).await
    }

    pub(super) async fn remove_files(&self, id: &str) -> Result<(), TargetError> {
        let dirs = all_dirs(&self.options.outside, id);
        on_disk(move || {
            dirs.iter()
                .try_for_each(|dir| remove_dir(dir))
                .map_err(disk_fault)
        })
        .await?
    }

    /// Removes what was unpacked for deployments that are not wanted any more. State and logs stay:
    /// they go when a deployment is deleted, never by inference.
    pub(super) async fn remove_strangers(&self, kept: BTreeSet<String>) {
        let apps = self.options.outside.apps();
        let removed = on_disk(move || -> io::Result<()> {
            for entry in fs::read_dir(apps)? {
                let entry = entry?;
                if !kept.contains(&*entry.file_name().to_string_lossy()) {
                    remove_dir(&entry.path())?;
                }
            }
            Ok(())
        })
        .await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "unpacked applications that nobody wants stay");
        }
    }

    /// Removes what was unpacked for other revisions once their last requests have ended.
    pub(super) fn remove_old_files_later(&self, id: &str) {
        let (apps, files) = (Arc::clone(&self.apps), Arc::clone(&self.files));
        let (id, dir) = (id.to_owned(), self.options.outside.app(id));
        tokio::spawn(async move {
            tokio::time::sleep(super::OLD_FILES_KEPT).await;
            let turn = files.lock_owned().await;
            let removed = on_disk(move || -> io::Result<()> {
                let _turn = turn;
                for entry in fs::read_dir(dir)? {
                    let entry = entry?;
                    let name = entry.file_name();
                    let used = name
                        .to_str()
                        .is_some_and(|hex| apps.uses(&id, &format!("sha256:{hex}")));
                    if !used {
                        remove_dir(&entry.path())?;
                    }
                }
                Ok(())
            })
            .await;
            if let Ok(Err(error)) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "an old revision's files stay");
            }
        });
    }
}

/// Runs `work` where it may block.
pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, TargetError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| TargetError::Unavailable("the sidecar stops".to_owned()))
}

fn all_dirs(folders: &Folders, id: &str) -> [PathBuf; 3] {
    [folders.app(id), folders.state(id), folders.log(id)]
}

fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a folder that the tenants' process, another user perhaps, can look into.
pub(super) fn make_public_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
}

pub(super) fn link_or_copy(dir: &Path, from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        return Ok(());
    }
    make_public_dir(dir)?;
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Ok(()) => Ok(()),
        // Another file system, or one without links. A copy that a crash cuts off is found when it is
        // loaded, so it gets its name only when it is whole.
        Err(_) => {
            let unfinished = to.with_extension("unfinished");
            fs::copy(from, &unfinished)?;
            fs::File::open(&unfinished)?.sync_all()?;
            fs::rename(&unfinished, to)
        }
    }
}

pub(super) fn disk_fault(error: io::Error) -> TargetError {
    tracing::error!(%error, "an application's files");
    TargetError::Unavailable("the application's files cannot be changed now".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiled_module_is_linked_beside_the_artifact() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("cached");
        fs::write(&from, "code").unwrap();
        let native = dir.path().join("app/native");
        let to = native.join("cached");
        for _ in 0..2 {
            link_or_copy(&native, &from, &to).unwrap();
        }
        assert_eq!(fs::read(&to).unwrap(), b"code");
    }
}
