//! Streaming a request's body to a file: bounded, hashed on the way, removed unless it is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::durable::UNFINISHED;

/// A body that sends nothing for this long is given up.
const STALL: Duration = Duration::from_secs(30);
/// Fewer, larger writes: each is a hop to the blocking pool.
const BUFFER_BYTES: usize = 256 << 10;
/// The disk is looked at after each so many bytes: others write to it, too.
const LOOK_EVERY_BYTES: u64 = 16 << 20;

/// Why a body could not be stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error("the body is larger than allowed")]
    TooLarge,
    #[error("the body stalled or broke off")]
    Incomplete,
    #[error("the disk has no room for it")]
    NoRoom,
    #[error("the body could not be written")]
    Io(#[from] io::Error),
}

/// A stored body without a name yet. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct Received {
    path: Option<PathBuf>,
    digest: String,
    size_bytes: u64,
}

impl Received {
    /// `sha256:<hex>` of the body.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(crate) fn path(&self) -> &Path {
        self.path
            .as_deref()
            .expect("the path is taken by rename alone, which consumes the value")
    }

    pub(crate) fn rename(mut self, to: &Path) -> io::Result<()> {
        fs::rename(self.path(), to)?;
        self.path = None;
        Ok(())
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What stays after a failure here is removed at the next start.
            let _ = fs::remove_file(path);
        }
    }
}

pub(crate) async fn receive(
    dir: &Path,
    body: Body,
    max_bytes: u64,
    has_room: impl Fn() -> io::Result<bool>,
) -> Result<Received, ReceiveError> {
    let path = dir.join(format!("{UNFINISHED}{}", uuid::Uuid::now_v7()));
    let file = tokio::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .await?;
    let mut received = Received {
        path: Some(path),
        digest: String::new(),
        size_bytes: 0,
    };
    let mut file = tokio::io::BufWriter::with_capacity(BUFFER_BYTES, file);
    let mut hash = Sha256::new();
    let mut look_at = 0;
    let mut body: BodyDataStream = body.into_data_stream();
    while let Some(chunk) = tokio::time::timeout(STALL, body.next())
        .await
        .map_err(|_| ReceiveError::Incomplete)?
    {
        let chunk = chunk.map_err(|_| ReceiveError::Incomplete)?;
        received.size_bytes += chunk.len() as u64;
        if received.size_bytes > max_bytes {
            return Err(ReceiveError::TooLarge);
        }
        if received.size_bytes >= look_at {
            look_at = received.size_bytes + LOOK_EVERY_BYTES;
            if !has_room()? {
                return Err(ReceiveError::NoRoom);
            }
        }
        hash.update(&chunk);
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    file.get_ref().sync_all().await?;
    received.digest = format!("sha256:{}", hex::encode(hash.finalize()));
    Ok(received)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_within_the_bound_is_stored_and_removed_unless_kept() {
        let dir = tempfile::tempdir().unwrap();
        let received = receive(dir.path(), Body::from("abc"), 3, || Ok(true))
            .await
            .unwrap();
        assert_eq!(fs::read(received.path()).unwrap(), b"abc");
        assert_eq!(
            received.digest(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        drop(received);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_larger_body_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let outcome = receive(dir.path(), Body::from("abcd"), 3, || Ok(true)).await;
        assert!(matches!(outcome, Err(ReceiveError::TooLarge)));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_body_that_finds_no_room_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let outcome = receive(dir.path(), Body::from("abc"), 3, || Ok(false)).await;
        assert!(matches!(outcome, Err(ReceiveError::NoRoom)));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
