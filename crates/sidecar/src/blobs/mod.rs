//! The blob store: sources on their way to a runner, artifacts on their way to a target.
//!
//! What comes in is streamed to a file of no name yet, flushed, and only then given its name.

mod receive;
mod spent;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use nokube_api::sidecar::ArtifactInfo;
use nokube_artifact::Digest;
use nokube_artifact::layout::{ImportLimits, Layout, LayoutError};
use nokube_domain::BuildId;
use nokube_keys::{BlobTicket, TicketUse};

use crate::durable::{create_private_dir, remove_unfinished, sync_dir};
use crate::space::has_room;
pub(crate) use receive::{ReceiveError, Received};
pub(crate) use spent::SpentTickets;

const SOURCE_ENDING: &str = ".tar.gz";

/// Where sources and artifacts are kept.
pub(crate) struct BlobStore {
    incoming: PathBuf,
    sources: PathBuf,
    layout: Layout,
    spent: SpentTickets,
    /// Bytes that have to stay free.
    reserve: Option<u64>,
    in_use: Mutex<HashSet<String>>,
}

impl BlobStore {
    /// Opens the store in `dir`, with artifacts in the OCI image layout at `artifacts`. `reserve` is
    /// what [`has_room`] leaves free.
    pub(crate) fn open(dir: &Path, artifacts: &Path, reserve: Option<u64>) -> io::Result<Self> {
        let incoming = dir.join("incoming");
        let sources = dir.join("sources");
        create_private_dir(&incoming)?;
        create_private_dir(&sources)?;
        create_private_dir(artifacts)?;
        remove_unfinished(&incoming)?;
        Ok(Self {
            layout: Layout::open(artifacts).map_err(io::Error::other)?,
            spent: SpentTickets::open(&dir.join("spent"))?,
            incoming,
            sources,
            reserve,
            in_use: Mutex::new(HashSet::new()),
        })
    }

    /// The tickets that were used.
    pub(crate) fn spent(&self) -> &SpentTickets {
        &self.spent
    }

    /// The artifacts.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether `wanted` more bytes may be stored.
    pub(crate) fn has_room(&self, wanted: u64) -> io::Result<bool> {
        has_room(&self.incoming, wanted, self.reserve)
    }

    /// Takes what a ticket stores into use, so that two requests do not race for it: all tickets for the source of
    /// one build are one. None when it is in use already.
    pub(crate) fn claim(self: &Arc<Self>, ticket: &BlobTicket) -> Option<Claim> {
        let name = match ticket.allows {
            TicketUse::PutSource => &ticket.build_id,
            TicketUse::PutArtifact | TicketUse::GetSource => &ticket.id,
        };
        let fresh = self
            .in_use
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.clone());
        fresh.then(|| Claim {
            store: Arc::clone(self),
            name: name.clone(),
        })
    }

    /// Streams `body` to disk: at most `max_bytes`.
    pub(crate) async fn receive(
        &self,
        body: axum::body::Body,
        max_bytes: u64,
    ) -> Result<Received, ReceiveError> {
        receive::receive(&self.incoming, body, max_bytes, || self.has_room(0)).await
    }

    /// Names a received file as the source of a build, so that it survives a crash.
    pub(crate) fn keep_source(&self, build: BuildId, received: Received) -> io::Result<()> {
        received.rename(&self.source_path(build))?;
        sync_dir(&self.sources)
    }

    /// Where the source of a build is, if it was stored.
    pub(crate) fn source_path(&self, build: BuildId) -> PathBuf {
        self.sources.join(format!("{build}{SOURCE_ENDING}"))
    }

    /// Removes sources that `is_needed` does not want and that were stored before `before`. Returns how
    /// many.
    pub(crate) fn remove_sources(
        &self,
        before: SystemTime,
        is_needed: impl Fn(&str) -> bool,
    ) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.sources)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(build) = name
                .to_str()
                .and_then(|name| name.strip_suffix(SOURCE_ENDING))
            else {
                continue;
            };
            if !is_needed(build) && entry.metadata()?.modified()? < before {
                fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Takes the artifact of a received OCI image layout archive over.
    pub(crate) fn keep_artifact(&self, received: &Received) -> Result<ArtifactInfo, LayoutError> {
        let archive = File::open(received.path()).map_err(LayoutError::Read)?;
        let limits = ImportLimits {
            // An archive of a layout is not compressed: its blobs are no larger than it is.
            bytes: received.size_bytes(),
            ..ImportLimits::default()
        };
        let digest = self.layout.import_tar(BufReader::new(archive), limits)?;
        Ok(ArtifactInfo {
            digest: digest.to_string(),
            size_bytes: self.layout.artifact_size(&digest)?,
        })
    }

    /// What is known of an artifact, if it is here.
    pub(crate) fn artifact(&self, digest: &Digest) -> Result<Option<ArtifactInfo>, LayoutError> {
        if !self.layout.lists(digest)? {
            return Ok(None);
        }
        Ok(Some(ArtifactInfo {
            digest: digest.to_string(),
            size_bytes: self.layout.artifact_size(digest)?,
        }))
    }
}

/// What a ticket in use stores; dropped when the request is over.
pub(crate) struct Claim {
    store: Arc<BlobStore>,
    name: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.store
            .in_use
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.name);
    }
}
