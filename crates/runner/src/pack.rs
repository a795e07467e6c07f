//! What was found and built becomes an artifact, is kept, pushed and handed over.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use nokube_artifact::Digest;
use nokube_artifact::layout::{Layout, LayoutError};
use nokube_artifact::pack::{self, PackError, PackLimits, Packed, SiteOptions};
use nokube_artifact::push::{Credentials, PushOptions, Reference};

use crate::client::CallError;
use crate::detect::Found;
use crate::error::{BuildError, BuildStep};
use crate::job::Build;
use crate::source::Source;

/// Artifacts that the runner keeps itself, besides what the platform has: enough to look at.
const KEPT_ARTIFACTS: usize = 20;
const UPLOAD_ATTEMPTS: u32 = 6;

/// Packs a source and hands the artifact over; its digest.
pub(crate) async fn pack(build: &Build, source: &Source, found: &Found) -> BuildStep<String> {
    nokube_faults::crash_point("runner.packing");
    build.log.system("packing").await;
    // The commit's time, so that the same commit gives the same digest.
    let time = source
        .committed_at
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .unwrap_or_else(Utc::now);
    let job = PackJob {
        layout: build.machine.folders.oci(),
        created: time.to_rfc3339_opts(SecondsFormat::Secs, true),
        limits: limits(build),
    };
    let packed = match found {
        Found::Spin(manifest) => {
            let (manifest, source) = (manifest.clone(), source.clone());
            blocking(move || {
                let below = source
                    .folder
                    .strip_prefix(&source.root)
                    .unwrap_or(Path::new(""));
                let source = pack::Source {
                    root: &source.root,
                    manifest_dir: below,
                };
                Ok(pack::pack(
                    &job.layout()?,
                    &manifest,
                    source,
                    &job.created,
                    job.limits,
                ))
            })
            .await?
        }
        Found::Site(folder) => {
            let (folder, name, fileserver) = (
                folder.clone(),
                build.job.service_name.clone(),
                fileserver(build)?,
            );
            blocking(move || Ok(job.site(&folder, &name, &fileserver))).await?
        }
        Found::Npm { .. } => {
            return Err(BuildError::Platform(
                "an npm project was not built".to_owned(),
            ));
        }
    };
    let packed = match packed {
        Ok(packed) => packed,
        Err(error) => return Err(explain(build, error).await),
    };
    hand_over(build, &packed).await
}

/// A folder as a static site, with a given time: also for simulated builds.
pub(crate) async fn pack_site(
    build: &Build,
    folder: PathBuf,
    created: String,
) -> BuildStep<String> {
    let job = PackJob {
        layout: build.machine.folders.oci(),
        created,
        limits: limits(build),
    };
    let (name, fileserver) = (build.job.service_name.clone(), fileserver(build)?);
    match blocking(move || Ok(job.site(&folder, &name, &fileserver))).await? {
        Ok(packed) => hand_over(build, &packed).await,
        Err(error) => Err(explain(build, error).await),
    }
}

struct PackJob {
    layout: PathBuf,
    created: String,
    limits: PackLimits,
}

impl PackJob {
    fn layout(&self) -> BuildStep<Layout> {
        open_layout(&self.layout)
    }

    fn site(&self, folder: &Path, name: &str, fileserver: &[u8]) -> Result<Packed, PackError> {
        let layout = Layout::open(&self.layout).map_err(PackError::Layout)?;
        let options = SiteOptions {
            name,
            fileserver,
            created: &self.created,
            limits: self.limits,
        };
        pack::pack_static_site(&layout, folder, options)
    }
}

fn open_layout(folder: &Path) -> BuildStep<Layout> {
    Layout::open(folder).map_err(|error| layout_error(&error))
}

fn layout_error(error: &LayoutError) -> BuildError {
    BuildError::Platform(format!("cannot keep the artifact: {}", chain(error)))
}

fn limits(build: &Build) -> PackLimits {
    PackLimits {
        total_bytes: build.machine.options.limits.artifact_bytes,
        ..PackLimits::default()
    }
}

fn fileserver(build: &Build) -> BuildStep<Vec<u8>> {
    let Some(path) = &build.machine.options.fileserver_wasm else {
        return Err(BuildError::source(
            "this build machine has no file server for static sites; its operator must give it one (--fileserver)",
        ));
    };
    fs::read(path).map_err(BuildError::io(
        "cannot read the file server for static sites",
    ))
}

/// Runs what reads and writes many files. A build that is over does not wait for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> BuildStep<T> + Send + 'static,
) -> BuildStep<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| BuildError::Platform("packing broke off".to_owned()))?
}

/// Faults go to the log, one line each; the first is the message.
async fn explain(build: &Build, error: PackError) -> BuildError {
    match error {
        PackError::Faults(faults) => {
            for fault in &faults.0 {
                build.log.system(fault.to_string()).await;
            }
            BuildError::Source(match faults.0.as_slice() {
                [first, more @ ..] if !more.is_empty() => {
                    format!(
                        "{} faults, all in the log; the first: {first}",
                        more.len() + 1
                    )
                }
                _ => faults.to_string(),
            })
        }
        PackError::Limit(text) => BuildError::Source(text),
        PackError::Layout(error) if error.is_of_the_content() => BuildError::Source(chain(&error)),
        other => BuildError::Platform(chain(&other)),
    }
}

/// Pushes the artifact where it is wanted and gives it to the platform.
async fn hand_over(build: &Build, packed: &Packed) -> BuildStep<String> {
    let digest = packed.digest;
    build.log.system(format!("packed {digest}")).await;
    push(build, &digest).await?;
    let (folder, file) = (
        build.machine.folders.oci(),
        build.work.path().join("artifact.tar"),
    );
    let tar = file.clone();
    let size = blocking(move || {
        let layout = open_layout(&folder)?;
        let target = fs::File::create(&tar).map_err(BuildError::io("cannot write the artifact"))?;
        layout
            .export_tar(&digest, std::io::BufWriter::new(target))
            .map_err(|error| layout_error(&error))?;
        if let Err(error) = forget_old(&layout, &digest) {
            tracing::warn!(
                error = chain(&error),
                "old artifacts of the runner could not be removed"
            );
        }
        fs::metadata(&tar)
            .map(|metadata| metadata.len())
            .map_err(BuildError::io("cannot write the artifact"))
    })
    .await?;
    build
        .log
        .system(format!("storing the artifact, {} KiB", size.div_ceil(1024)))
        .await;
    let mut pause = Duration::from_millis(200);
    for attempt in 1.. {
        match build
            .platform
            .upload(&build.job.artifact_upload_url, &file)
            .await
        {
            Ok(()) => break,
            Err(CallError::Unreachable(reason)) if attempt < UPLOAD_ATTEMPTS => {
                tracing::warn!(
                    build = build.job.build_id,
                    reason,
                    "the artifact will be sent again"
                );
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            // Also when an earlier answer was lost on the way: another attempt has a new address.
            Err(error) => {
                return Err(BuildError::Platform(format!(
                    "the platform did not take the artifact: {}",
                    error.text()
                )));
            }
        }
    }
    Ok(digest.to_string())
}

/// Keeps the newest artifacts only; this one in any case.
fn forget_old(layout: &Layout, newest: &Digest) -> Result<(), LayoutError> {
    let mut kept = layout.list()?;
    kept.retain(|descriptor| descriptor.digest != *newest);
    let surplus = (kept.len() + 1).saturating_sub(KEPT_ARTIFACTS);
    for old in &kept[..surplus] {
        layout.delete(&old.digest)?;
    }
    if surplus > 0 {
        layout.collect()
    } else {
        Ok(())
    }
}

async fn push(build: &Build, digest: &Digest) -> BuildStep<()> {
    let Some(registry) = &build.machine.options.push_registry else {
        return Ok(());
    };
    let plain_http = registry.url.starts_with("http://");
    let host = registry
        .url
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .trim_end_matches('/');
    // The image's name without the registry it is called by.
    let name = build
        .job
        .image_full_name
        .split_once('/')
        .map_or(build.job.image_full_name.as_str(), |(_, rest)| rest);
    let reference: Reference = format!("{host}/{name}")
        .parse()
        .map_err(|error| BuildError::Source(format!("cannot push: {error}")))?;
    build.log.system(format!("pushing to {reference}")).await;
    let credentials = registry
        .credentials
        .clone()
        .map(|(username, password)| Credentials { username, password });
    let layout = open_layout(&build.machine.folders.oci())?;
    let options = PushOptions {
        credentials,
        plain_http,
    };
    nokube_artifact::push::push(&layout, digest, &reference, &options)
        .await
        .map(drop)
        .map_err(|error| {
            let message = format!(
                "cannot push the artifact to {}: {}",
                reference.registry(),
                chain(&error)
            );
            if error.is_retryable() {
                BuildError::Platform(message)
            } else {
                BuildError::Source(message)
            }
        })
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    crate::client::chain(error)
}
