//! What must hold whatever strangers send: for `cargo xtask fuzz`, and for its corpora as ordinary tests.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::source::{Escapes, Unpack, confine};

const MOST_BYTES: u64 = 1 << 20;
const MOST_ENTRIES: u64 = 50;

/// An uploaded source: a tar archive, packed here unless it is already.
pub fn source_archives(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().canonicalize().expect("a folder");
    let (file, target) = (root.join("source.tar.gz"), root.join("src"));
    let packed = if data.starts_with(&[0x1f, 0x8b]) {
        data.to_vec()
    } else {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
        gzip.write_all(data).expect("in memory");
        gzip.finish().expect("in memory")
    };
    fs::write(&file, &packed).expect("written");
    fs::create_dir(&target).expect("a folder");
    let unpack = Unpack {
        file,
        digest: format!("sha256:{}", hex::encode(Sha256::digest(&packed))),
        target: target.clone(),
        bytes_max: MOST_BYTES,
        entries_max: MOST_ENTRIES,
        stop: CancellationToken::new(),
    };
    let unpacked = unpack.run();
    let beside = fs::read_dir(&root).expect("a folder").count();
    assert_eq!(beside, 2, "something was written elsewhere");
    let mut left = Left {
        bytes: MOST_BYTES,
        entries: MOST_ENTRIES,
    };
    look_through(&target, &mut left);
    let stop = CancellationToken::new();
    if unpacked.is_ok() && matches!(confine(&target, Escapes::Refuse, &stop), Ok(None)) {
        check_links(&target, &target);
    }
}

struct Left {
    bytes: u64,
    entries: u64,
}

fn look_through(folder: &Path, left: &mut Left) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("an entry");
        left.entries = left.entries.checked_sub(1).expect("as many as allowed");
        if metadata.is_dir() {
            look_through(&path, left);
        } else if metadata.is_file() {
            assert_eq!(metadata.nlink(), 1, "{}", path.display());
            assert_eq!(metadata.mode() & 0o7022, 0, "{}", path.display());
            let bytes = left.bytes.checked_sub(metadata.len());
            left.bytes = bytes.expect("as much as allowed");
        } else {
            assert!(metadata.is_symlink(), "{}", path.display());
        }
    }
}

/// No link leads out of a source that was let through.
fn check_links(folder: &Path, root: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("an entry");
        if kind.is_dir() {
            check_links(&entry.path(), root);
        } else if kind.is_symlink()
            && let Ok(end) = entry.path().canonicalize()
        {
            assert!(end.starts_with(root), "{}", entry.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_of_source_archives_holds() {
        nokube_corpus::replay("source_archives", super::source_archives);
    }
}
