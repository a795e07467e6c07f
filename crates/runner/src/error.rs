//! How a build ends other than well, and why a runner cannot run.

use std::path::PathBuf;

/// Why a runner cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// Its folder.
    #[error("cannot prepare the runner's folder {}", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    /// Another runner works in it.
    #[error("another runner uses the folder {}; give this one its own", .0.display())]
    FolderInUse(PathBuf),
    /// The toolchain file.
    #[error("cannot use the toolchain file {}: {}", .0.display(), .1)]
    Toolchain(PathBuf, String),
    /// The HTTP client.
    #[error("cannot make an HTTP client for the platform")]
    Client(#[source] reqwest::Error),
}

/// Why a build ends without an artifact.
#[derive(Debug)]
pub(crate) enum BuildError {
    /// The source or its build is at fault: one sentence for the user.
    Source(String),
    /// The platform or this machine is at fault: another attempt may go well.
    Platform(String),
    /// The runner was told to stop.
    Stopped,
    /// The lease is lost or the build was cancelled: there is nobody to tell.
    Lost,
}

impl BuildError {
    /// The source's fault.
    pub(crate) fn source(message: impl Into<String>) -> Self {
        Self::Source(message.into())
    }

    /// This machine's fault, while doing something ("cannot make a folder").
    pub(crate) fn io(doing: &str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Platform(format!("{doing}: {error}"))
    }
}

/// What the steps of a build answer.
pub(crate) type BuildStep<T> = Result<T, BuildError>;
