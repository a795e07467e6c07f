//! A build's source, fetched and confined: a folder in which nothing leads out.

pub(crate) mod address;
mod archive;
mod confine;
mod git;
mod git_errors;
mod git_version;

use std::path::{Path, PathBuf};

use nokube_api::runner::JobSource;
use nokube_domain::git_source::{AddressPolicy, BranchName, CommitId, RepositoryUrl};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use archive::Unpack;
pub(crate) use confine::hand_over;
pub(crate) use confine::{Escapes, confine};
pub(crate) use git::bytes;

use crate::error::{BuildError, BuildStep};
use crate::job::Build;

/// What was fetched.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The whole of it.
    pub(crate) root: PathBuf,
    /// The folder to build in: the root, or the subdirectory that was asked for.
    pub(crate) folder: PathBuf,
    /// Seconds since 1970 of the commit; nothing for an archive.
    pub(crate) committed_at: Option<i64>,
}

impl Source {
    /// How many folders the build's folder is below the root.
    pub(crate) fn depth(&self) -> usize {
        self.folder
            .strip_prefix(&self.root)
            .map_or(0, |below| below.components().count())
    }
}

/// Fetches the source of a build and refuses what leads out of it.
pub(crate) async fn fetch(build: &Build) -> BuildStep<Source> {
    let root = build.work.source();
    let owner = build.owner();
    std::fs::create_dir(&root).map_err(BuildError::io("cannot make a folder for the source"))?;
    if let Some(owner) = owner {
        std::os::unix::fs::chown(&root, Some(owner), Some(owner))
            .map_err(BuildError::io("cannot hand over the source's folder"))?;
    }
    let mut committed_at = None;
    match &build.job.source {
        JobSource::Git {
            url,
            branch,
            commit,
        } => {
            let policy = AddressPolicy {
                access: build.machine.options.git_access,
                denied_ports: &build.machine.options.denied_ports,
            };
            let url = RepositoryUrl::parse(url, &policy)
                .map_err(|error| BuildError::source(format!("the repository's address {error}")))?;
            let branch = branch.as_deref().map(BranchName::parse).transpose();
            let branch =
                branch.map_err(|error| BuildError::source(format!("the branch {error}")))?;
            let commit = commit.as_deref().map(CommitId::parse).transpose();
            let commit =
                commit.map_err(|error| BuildError::source(format!("the commit {error}")))?;
            let checkout =
                git::fetch(build, &url, branch.as_ref(), commit.as_ref(), &policy).await?;
            build.set_commit(&checkout.commit);
            committed_at = Some(checkout.committed_at);
        }
        JobSource::Archive { url, digest } => archive::fetch(build, url, digest).await?,
    }
    let (walked, stop) = (root.clone(), build.cancel.clone());
    let refused =
        tokio::task::spawn_blocking(move || confine(&walked, Escapes::Refuse, &stop)).await;
    refused
        .map_err(|_| BuildError::Lost)?
        .map_err(BuildError::io("cannot look through the source"))?
        .map_or(Ok(()), |escape| {
            Err(BuildError::source(format!(
                "the source is refused: {escape}. Links must stay inside the repository"
            )))
        })?;
    let folder = subdirectory(&root, build.job.subdirectory.as_deref())?;
    Ok(Source {
        root,
        folder,
        committed_at,
    })
}

/// The folder that was asked for, inside the source.
fn subdirectory(root: &Path, asked: Option<&str>) -> BuildStep<PathBuf> {
    let Some(asked) = asked
        .map(|asked| asked.trim_matches('/'))
        .filter(|asked| !asked.is_empty() && *asked != ".")
    else {
        return Ok(root.to_owned());
    };
    let plain = Path::new(asked).components().all(|part| {
        matches!(
            part,
            std::path::Component::Normal(_) | std::path::Component::CurDir
        )
    });
    if !plain || asked.contains('\0') {
        return Err(BuildError::source(format!(
            "the subdirectory \"{asked}\" leads out of the source; give a folder inside it"
        )));
    }
    // No link leads out any more, but one may lead from the folder to elsewhere inside.
    match root.join(asked).canonicalize() {
        Ok(folder) if folder.starts_with(root) && folder.is_dir() => Ok(folder),
        Ok(_) => Err(BuildError::source(format!(
            "the subdirectory \"{asked}\" is not a folder of the source"
        ))),
        Err(_) => Err(BuildError::source(format!(
            "the source has no folder \"{asked}\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subdirectory_is_a_folder_inside_the_source() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("a path");
        std::fs::create_dir_all(root.join("a/b")).expect("a folder");
        std::fs::write(root.join("file"), "").expect("a file");
        assert_eq!(subdirectory(&root, None).expect("the root"), root);
        assert_eq!(subdirectory(&root, Some("./")).expect("the root"), root);
        assert_eq!(
            subdirectory(&root, Some("/a/b/")).expect("a folder"),
            root.join("a/b")
        );
        for bad in ["..", "a/../..", "file", "missing", "a/\0"] {
            assert!(subdirectory(&root, Some(bad)).is_err(), "{bad}");
        }
    }
}
