//! Compiled modules, by the hash of their source and what they were compiled for.
//!
//! The folder is this process's own (0700). The files are native code: written by us from a child's
//! output, never by a build or a tenant.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use nokube_sidecar::durable::{UNFINISHED, create_private_dir, remove_unfinished, sync_dir};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, Semaphore, SemaphorePermit};

use super::cache_sweep::note_use;
use super::child::THIS_PROGRAM;
use super::compile::EXIT_INVALID;

/// Compiling takes seconds; a module that takes longer than this is refused.
const COMPILE_WITHIN: Duration = Duration::from_secs(300);
/// Modules are read from the disk's cache mostly; more at once would not be faster.
const HASHED_AT_ONCE: usize = 4;
/// Compilers at once.
const COMPILERS: usize = 2;
/// What is passed on of a compiler's complaint.
const LONGEST_REASON_BYTES: usize = 2000;

/// Why there is no compiled module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    /// The module is at fault.
    #[error("{0}")]
    Invalid(String),
    /// The compiler could not be run or its output not be kept.
    #[error("the compiler cannot be run")]
    Io(#[from] io::Error),
    /// The compiler failed without a reason that is the module's.
    #[error("the compiler failed: {0}")]
    Compiler(String),
}

/// The cache.
#[derive(Clone)]
pub(crate) struct ModuleCache(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    compatibility: String,
    uid: Option<u32>,
    /// Modules that are read at once.
    hashing: Semaphore,
    turns: Turns,
}

/// Who compiles now: several modules at once, each of them once.
struct Turns {
    /// A compiler uses every core by itself. More than one, so that a tenant's module that takes minutes does not keep
    /// everybody else's waiting; no more, since each may need gigabytes.
    compilers: Semaphore,
    /// By the compiled file: who comes second waits for what the first one makes.
    files: Mutex<HashMap<PathBuf, Weak<AsyncMutex<()>>>>,
}

impl Turns {
    fn new() -> Self {
        Self {
            compilers: Semaphore::new(COMPILERS),
            files: Mutex::default(),
        }
    }

    /// Waits until nobody else makes `file`.
    async fn of(&self, file: &Path) -> OwnedMutexGuard<()> {
        let turn = {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            files.retain(|_, turn| turn.strong_count() > 0);
            let there = files.get(file).and_then(Weak::upgrade);
            there.unwrap_or_else(|| {
                let turn = Arc::default();
                files.insert(file.to_owned(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }

    /// Waits until another compiler may run.
    async fn compiler(&self) -> io::Result<SemaphorePermit<'_>> {
        self.compilers.acquire().await.map_err(io::Error::other)
    }
}

impl ModuleCache {
    /// Opens the cache at `dir`. `compatibility` names what the engine can load; `uid` is the user the
    /// compiler becomes.
    pub(crate) fn open(dir: &Path, compatibility: &str, uid: Option<u32>) -> io::Result<Self> {
        create_private_dir(dir)?;
        remove_unfinished(dir)?;
        Ok(Self(Arc::new(Inner {
            dir: dir.to_owned(),
            compatibility: compatibility.to_owned(),
            uid,
            hashing: Semaphore::new(HASHED_AT_ONCE),
            turns: Turns::new(),
        })))
    }

    /// Where the modules are.
    pub(crate) fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// The compiled form of the component in `wasm`, compiled now if it never was.
    pub(crate) async fn compiled(&self, wasm: &Path) -> Result<PathBuf, CacheError> {
        // Waited for here, not on a thread of the pool that everything else that blocks shares.
        let turn = self.0.hashing.acquire().await;
        let source = wasm.to_owned();
        let hash = tokio::task::spawn_blocking(move || hash_of(&source))
            .await
            .map_err(io::Error::other)??;
        drop(turn);
        self.compiled_as(&hash, wasm).await
    }

    /// The compiled form of the component in `wasm`, whose SHA-256 is known to be `hash`, in hexadecimal. It is
    /// read, and compared with that, only when it has to be compiled.
    pub(crate) async fn compiled_as(&self, hash: &str, wasm: &Path) -> Result<PathBuf, CacheError> {
        let path = self.0.dir.join(self.name(hash));
        if path.try_exists()? {
            note_use(&path);
            return Ok(path);
        }
        let _turn = self.0.turns.of(&path).await;
        if !path.try_exists()? {
            let source = wasm.to_owned();
            let found = tokio::task::spawn_blocking(move || hash_of(&source))
                .await
                .map_err(io::Error::other)??;
            if found != hash {
                let text = format!("{} is damaged", wasm.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, text).into());
            }
            let _compiler = self.0.turns.compiler().await?;
            self.compile(wasm, &path).await?;
        }
        Ok(path)
    }

    /// What the compiled form of the component with this hash is called.
    pub(crate) fn name(&self, hash: &str) -> String {
        format!("{hash}{}", self.ending())
    }

    /// How the names of all modules for this engine end.
    pub(crate) fn ending(&self) -> String {
        format!("-{}.cwasm", self.0.compatibility)
    }

    async fn compile(&self, wasm: &Path, path: &Path) -> Result<(), CacheError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = Unfinished(self.0.dir.join(format!("{UNFINISHED}{name}")));
        let output = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished.0)?;
        let mut command = Command::new(THIS_PROGRAM);
        command
            .arg0("nokube")
            .args(["compile", "-", "-", "--parent"])
            .arg(std::process::id().to_string())
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(File::open(wasm)?))
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0);
        if let Some(uid) = self.0.uid {
            command.uid(uid).gid(uid);
        }
        let begun = std::time::Instant::now();
        let ended = tokio::time::timeout(COMPILE_WITHIN, command.spawn()?.wait_with_output())
            .await
            .map_err(|_| {
                CacheError::Invalid("takes more than five minutes to compile".to_owned())
            })??;
        let reason = String::from_utf8_lossy(&ended.stderr);
        let reason = reason.trim();
        let reason = reason.get(..LONGEST_REASON_BYTES).unwrap_or(reason);
        if ended.status.code() == Some(i32::from(EXIT_INVALID)) {
            return Err(CacheError::Invalid(reason.to_owned()));
        }
        // An allocation above the limit aborts, CPU above it kills: the module asked for too much.
        if ended.status.signal().is_some() {
            return Err(CacheError::Invalid(
                "needs more memory or time to compile than is allowed".to_owned(),
            ));
        }
        if !ended.status.success() {
            return Err(CacheError::Compiler(reason.to_owned()));
        }
        tracing::info!(
            milliseconds = begun.elapsed().as_millis(),
            "compiled a component"
        );
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || {
            // The tenants' process reads it with another user id, through a link of its own.
            output.set_permissions(Permissions::from_mode(0o644))?;
            output.sync_all()?;
            fs::rename(&unfinished.0, &path)?;
            path.parent().map_or(Ok(()), sync_dir)
        })
        .await
        .map_err(io::Error::other)??;
        Ok(())
    }
}

/// Removed unless it was renamed.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Mostly renamed by now.
        let _ = fs::remove_file(&self.0);
    }
}

fn hash_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            length => hash.update(&buffer[..length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_module_is_made_once_and_does_not_keep_others_waiting() {
        let turns = Turns::new();
        let first = turns.of(Path::new("a")).await;
        let compiler = turns.compiler().await.unwrap();
        let mut second = Box::pin(turns.of(Path::new("a")));
        assert!(second.as_mut().now_or_never().is_none(), "a is being made");
        let other = turns.of(Path::new("b")).now_or_never();
        assert!(other.is_some(), "b is not");
        let another = turns
            .compiler()
            .now_or_never()
            .expect("a second one")
            .unwrap();
        assert!(turns.compiler().now_or_never().is_none(), "no third one");
        drop((compiler, another, first));
        second.await;
        drop(other);
        drop(turns.of(Path::new("c")).await);
        assert_eq!(
            turns.files.lock().unwrap().len(),
            1,
            "what is over is forgotten"
        );
    }
}
