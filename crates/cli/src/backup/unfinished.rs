//! Where something is made that is not whole yet. It holds the platform's keys, so it goes with the command, also with one
//! that is interrupted.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A folder of this user alone.
pub(super) fn folder(parent: &Path, prefix: &str) -> anyhow::Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(parent)
        .with_context(|| format!("{} cannot be written", parent.display()))?;
    let mut all = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(folder.path().to_owned());
    Ok(folder)
}

/// Ctrl-C and SIGTERM end the command, and remove what it has not finished.
pub(super) fn removed_when_interrupted() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be caught")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be caught")?;
    drop(guard);
    std::thread::Builder::new()
        .name("interrupted".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            let all = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
            for folder in all.iter() {
                let _ = fs::remove_dir_all(folder);
            }
            // 128 + SIGINT, as shells have it.
            std::process::exit(130);
        })?;
    Ok(())
}
