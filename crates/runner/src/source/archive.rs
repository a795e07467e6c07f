//! An uploaded `.tar.gz`: fetched once, checked against its digest, unpacked without trust.
//!
//! Every path is plain and stays inside, files are made anew (never written through a link), devices
//! and hard links are refused, and what comes out is bounded in bytes, entries and ratio.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tar::{Archive, EntryType};
use tokio_util::sync::CancellationToken;

use super::bytes;
use crate::client::CallError;
use crate::error::{BuildError, BuildStep};
use crate::job::Build;

/// Text packs to a twentieth at best; a hundredfold over the first mebibytes is a bomb.
const RATIO_MAX: u64 = 100;
/// A path has at most 4096 bytes; pax headers hold a few fields.
const EXTENSION_MAX_BYTES: u64 = 64 * 1024;
const RATIO_FREE_BYTES: u64 = 64 * 1024 * 1024;
/// Folders in folders; what packs sites goes no deeper.
const DEPTH_MAX: usize = 64;

/// Fetches and unpacks it into the build's source folder.
pub(super) async fn fetch(build: &Build, url: &str, digest: &str) -> BuildStep<()> {
    build.log.system("fetching the uploaded source").await;
    let limits = &build.machine.options.limits;
    let file = build.work.path().join("source.tar.gz");
    build
        .platform
        .download(url, &file, limits.source_bytes)
        .await
        .map_err(|error| match error {
            CallError::Gone => BuildError::Platform(
                "the uploaded source is not there any more; upload it again".to_owned(),
            ),
            other => BuildError::Platform(format!(
                "the uploaded source cannot be fetched: {}",
                other.text()
            )),
        })?;
    nokube_faults::crash_point("runner.cloning");
    let job = Unpack {
        file: file.clone(),
        digest: digest.to_owned(),
        target: build.work.source(),
        bytes_max: limits.source_bytes,
        entries_max: limits.source_entries,
        stop: build.cancel.clone(),
    };
    let count = tokio::task::spawn_blocking(move || job.run())
        .await
        .map_err(|_| BuildError::Lost)??;
    drop(fs::remove_file(&file));
    if let Some(owner) = build.owner() {
        super::hand_over(&build.work.source(), owner)
            .map_err(BuildError::io("cannot hand over the source"))?;
    }
    build
        .log
        .system(format!("unpacked {count} files and folders"))
        .await;
    Ok(())
}

/// An archive in a file, and how much of it may come out.
pub(crate) struct Unpack {
    pub(crate) file: PathBuf,
    /// `sha256:<hex>` of the archive.
    pub(crate) digest: String,
    /// A folder, empty.
    pub(crate) target: PathBuf,
    pub(crate) bytes_max: u64,
    pub(crate) entries_max: u64,
    pub(crate) stop: CancellationToken,
}

impl Unpack {
    /// How many entries it made.
    pub(crate) fn run(&self) -> BuildStep<u64> {
        let mut file =
            File::open(&self.file).map_err(BuildError::io("cannot read the uploaded source"))?;
        let mut hash = Sha256::new();
        let packed = io::copy(&mut file, &mut hash)
            .map_err(BuildError::io("cannot read the uploaded source"))?;
        if format!("sha256:{}", hex::encode(hash.finalize())) != self.digest {
            return Err(BuildError::Platform(
                "the uploaded source is not what was uploaded (its digest differs)".to_owned(),
            ));
        }
        let most = self
            .bytes_max
            .min(RATIO_FREE_BYTES.max(packed.saturating_mul(RATIO_MAX)));
        let plain = |file: File| Bounded {
            inner: MultiGzDecoder::new(io::BufReader::new(file)),
            left: most,
            stop: &self.stop,
        };
        let again =
            || File::open(&self.file).map_err(BuildError::io("cannot read the uploaded source"));

        let broken = |error: io::Error| {
            BuildError::Source(
                match error
                    .get_ref()
                    .and_then(|inner| inner.downcast_ref::<TooMuch>())
                {
                    Some(_) => format!("the uploaded source unpacks to more than {}", bytes(most)),
                    None => format!("the uploaded source is not a whole .tar.gz: {error}"),
                },
            )
        };
        self.check_extensions(Archive::new(plain(again()?)), broken)?;
        let mut archive = Archive::new(plain(again()?));
        let mut count = 0;
        for entry in archive.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            self.spend(&mut count)?;
            let kind = entry.header().entry_type();
            if matches!(kind, EntryType::XGlobalHeader) {
                continue;
            }
            let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let refuse = |why: &str| {
                BuildError::Source(format!("the uploaded source is refused: \"{shown}\" {why}"))
            };
            let path = plain_path(&entry.path().map_err(broken)?)
                .ok_or_else(|| refuse("leads out of it"))?;
            // Git's own folder would be published with a site, and nothing reads it.
            if path.as_os_str().is_empty()
                || path.components().next() == Some(Component::Normal(".git".as_ref()))
            {
                continue;
            }
            if path.components().count() > DEPTH_MAX {
                return Err(refuse(&format!("is nested more than {DEPTH_MAX} deep")));
            }
            let (place, made) = self
                .prepare(&path)
                .map_err(|error| refuse(&format!("cannot be unpacked: {error}")))?;
            for _ in 0..made {
                self.spend(&mut count)?;
            }
            let done = match kind {
                EntryType::Directory => fs::create_dir(&place)
                    .or_else(|error| if place.is_dir() { Ok(()) } else { Err(error) }),
                // No sparse files: what they expand to would escape the bound on bytes.
                EntryType::Regular | EntryType::Continuous => {
                    let executable = entry.header().mode().unwrap_or(0o644) & 0o111 != 0;
                    let mut options = File::options();
                    // Never through what is there already: a link among it.
                    options.write(true).create_new(true).mode(if executable {
                        0o755
                    } else {
                        0o644
                    });
                    drop(fs::remove_file(&place));
                    let mut file = options
                        .open(&place)
                        .map_err(|error| refuse(&format!("cannot be unpacked: {error}")))?;
                    copy(&mut entry, &mut file).map_err(broken)?;
                    Ok(())
                }
                EntryType::Symlink => {
                    let target = entry
                        .link_name()
                        .map_err(broken)?
                        .ok_or_else(|| refuse("is a link to nothing"))?;
                    drop(fs::remove_file(&place));
                    // Where it leads is judged when everything is there.
                    std::os::unix::fs::symlink(target, &place)
                }
                _ => return Err(refuse("is neither a file, a folder nor a symbolic link")),
            };
            done.map_err(|error| refuse(&format!("cannot be unpacked: {error}")))?;
        }
        Ok(count)
    }

    /// Long names and the like are read into memory as a whole: none may be large.
    fn check_extensions(
        &self,
        mut archive: Archive<impl Read>,
        broken: impl Fn(io::Error) -> BuildError,
    ) -> BuildStep<()> {
        for entry in archive.entries().map_err(&broken)?.raw(true) {
            let entry = entry.map_err(&broken)?;
            let kind = entry.header().entry_type();
            let is_extension = kind.is_gnu_longname()
                || kind.is_gnu_longlink()
                || kind.is_pax_local_extensions()
                || kind.is_pax_global_extensions();
            if is_extension && entry.size() > EXTENSION_MAX_BYTES {
                return Err(BuildError::source(
                    "the uploaded source has a name or header that is too long",
                ));
            }
        }
        Ok(())
    }

    /// One file or folder more.
    fn spend(&self, count: &mut u64) -> BuildStep<()> {
        *count += 1;
        if *count > self.entries_max {
            return Err(BuildError::Source(format!(
                "the uploaded source has more than {} files and folders",
                self.entries_max
            )));
        }
        Ok(())
    }

    /// Where an entry goes, and how many of the folders above it were made; none of them may be a link.
    fn prepare(&self, path: &Path) -> io::Result<(PathBuf, usize)> {
        let (mut place, mut made) = (self.target.clone(), 0);
        let Some(parent) = path.parent() else {
            return Ok((self.target.join(path), made));
        };
        for part in parent.components() {
            place.push(part);
            match fs::symlink_metadata(&place) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => {
                    return Err(io::Error::other(
                        "a file or link stands where its folder should be",
                    ));
                }
                Err(_) => {
                    fs::create_dir(&place)?;
                    made += 1;
                }
            }
        }
        Ok((self.target.join(path), made))
    }
}

/// The path without `.`; nothing when it is absolute or has `..`.
fn plain_path(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(plain)
}

fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    io::copy(from, to).map(drop)
}

#[derive(Debug, thiserror::Error)]
#[error("too much")]
struct TooMuch;

/// Reads at most so much, and stops when the build does.
struct Bounded<'a, R> {
    inner: R,
    left: u64,
    stop: &'a CancellationToken,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            // Any kind but `Interrupted`, after which everybody tries again at once.
            return Err(io::Error::other("the build is over"));
        }
        let read = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other(TooMuch))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(packed: &[u8]) -> (tempfile::TempDir, BuildStep<u64>) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.tar.gz");
        fs::write(&file, packed).expect("a file");
        let target = folder.path().join("src");
        fs::create_dir(&target).expect("a folder");
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(packed)));
        let job = Unpack {
            file,
            digest,
            target,
            bytes_max: 200 << 20,
            entries_max: 100,
            stop: CancellationToken::new(),
        };
        let done = job.run();
        (folder, done)
    }

    #[test]
    fn a_build_that_is_over_is_not_unpacked_to_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let packed = pack(&[("a", EntryType::Regular, "text")]);
        let (file, target) = (folder.path().join("a.tar.gz"), folder.path().join("src"));
        fs::write(&file, &packed).expect("a file");
        fs::create_dir(&target).expect("a folder");
        let job = Unpack {
            file,
            digest: format!("sha256:{}", hex::encode(Sha256::digest(&packed))),
            target: target.clone(),
            bytes_max: 1 << 20,
            entries_max: 100,
            stop: CancellationToken::new(),
        };
        job.stop.cancel();
        assert!(job.run().is_err());
        assert_eq!(fs::read_dir(&target).expect("a folder").count(), 0);
    }

    fn header(name: &[u8], kind: EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(size);
        header
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).expect("memory");
        gzip.finish().expect("a gzip")
    }

    fn pack(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        gzip(&tar_of(entries))
    }

    fn tar_of(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            let mut header = header(
                name.as_bytes(),
                *kind,
                if is_link { 0 } else { content.len() as u64 },
            );
            if is_link {
                header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            }
            header.set_cksum();
            let data = if is_link { &[][..] } else { content.as_bytes() };
            builder.append(&header, data).expect("an entry");
        }
        builder.into_inner().expect("a tar")
    }

    #[test]
    fn ordinary_archives_are_unpacked() {
        let (folder, done) = unpack(&pack(&[
            ("./", EntryType::Directory, ""),
            ("./a/b.txt", EntryType::Regular, "hello"),
            ("./a/link", EntryType::Symlink, "b.txt"),
            ("./.git/config", EntryType::Regular, "x"),
        ]));
        done.expect("unpacked");
        assert_eq!(
            fs::read_to_string(folder.path().join("src/a/link")).expect("a file"),
            "hello"
        );
        assert!(!folder.path().join("src/.git").exists());
    }

    #[test]
    fn what_leads_out_is_refused() {
        for entries in [
            vec![("../x", EntryType::Regular, "y")],
            vec![("/x", EntryType::Regular, "y")],
            vec![("a/../../x", EntryType::Regular, "y")],
            vec![
                ("a", EntryType::Symlink, "/tmp"),
                ("a/x", EntryType::Regular, "y"),
            ],
            vec![("a", EntryType::Link, "/etc/passwd")],
            vec![("a", EntryType::Char, "")],
            vec![("a", EntryType::Block, "")],
            vec![("a", EntryType::GNUSparse, "")],
            vec![("a", EntryType::new(b'Z'), "")],
            // One link after another, each harmless to look at: nothing is written through the last.
            vec![
                ("a", EntryType::Symlink, "."),
                ("a/b", EntryType::Symlink, ".."),
                ("a/b/x", EntryType::Regular, "y"),
            ],
            vec![
                ("a/b", EntryType::Directory, ""),
                ("c", EntryType::Symlink, "a/b"),
                ("c/d", EntryType::Symlink, "../../.."),
                ("c/d/x", EntryType::Regular, "y"),
            ],
            vec![
                ("x", EntryType::Symlink, "../x"),
                ("x/", EntryType::Directory, ""),
                ("x/y", EntryType::Regular, "y"),
            ],
            vec![("a", EntryType::Fifo, "")],
        ] {
            let (folder, done) = unpack(&pack(&entries));
            assert!(
                matches!(done, Err(BuildError::Source(_))),
                "{entries:?}: {done:?}"
            );
            assert!(!folder.path().join("x").exists());
        }
    }

    #[test]
    fn folders_that_no_entry_names_are_counted_and_bounded_in_depth() {
        // Ten entries of 50 folders each are more than the hundred that are allowed.
        let paths: Vec<String> = (0..10)
            .map(|n| format!("{n}/{}f", "d/".repeat(48)))
            .collect();
        let entries: Vec<_> = paths
            .iter()
            .map(|path| (path.as_str(), EntryType::Regular, ""))
            .collect();
        let (folder, done) = unpack(&pack(&entries));
        assert!(matches!(done, Err(BuildError::Source(text)) if text.contains("more than 100")));
        let made = crate::usage::disk_usage(&folder.path().join("src")).entries;
        // The folders above one entry are made before they are counted.
        assert!(made <= 100 + DEPTH_MAX as u64, "{made}");
        let deep = "a/".repeat(DEPTH_MAX);
        let named = |path: &str| {
            unpack(&pack(&[
                ("././@LongLink", EntryType::GNULongName, path),
                ("a", EntryType::Directory, ""),
            ]))
        };
        let (_folder, done) = named(&deep);
        done.expect("as deep as may be");
        let (_folder, done) = named(&format!("{deep}a/"));
        assert!(matches!(done, Err(BuildError::Source(text)) if text.contains("nested")));
    }

    #[test]
    fn a_name_of_a_megabyte_is_refused_before_it_is_read() {
        let name = "n".repeat(1 << 20);
        let (_folder, done) = unpack(&pack(&[
            ("././@LongLink", EntryType::GNULongName, &name),
            ("a", EntryType::Regular, "x"),
        ]));
        assert!(matches!(done, Err(BuildError::Source(text)) if text.contains("too long")));
    }

    #[test]
    fn bombs_broken_archives_and_other_digests_are_refused() {
        let zeros = "\0".repeat(70 << 20);
        assert!(
            matches!(unpack(&pack(&[("a", EntryType::Regular, &zeros)])).1, Err(BuildError::Source(text)) if text.contains("more than"))
        );
        // The same in a hundred gzip members, each of which is a small file of its own.
        let whole = tar_of(&[("a", EntryType::Regular, &zeros)]);
        let members: Vec<u8> = whole.chunks(whole.len() / 100).flat_map(gzip).collect();
        assert!(members.len() < 1 << 20, "{}", members.len());
        assert!(
            matches!(unpack(&members).1, Err(BuildError::Source(text)) if text.contains("more than"))
        );
        let many: Vec<String> = (0..101).map(|n| format!("f{n}")).collect();
        let many: Vec<_> = many
            .iter()
            .map(|name| (name.as_str(), EntryType::Regular, ""))
            .collect();
        assert!(matches!(unpack(&pack(&many)).1, Err(BuildError::Source(_))));
        assert!(matches!(unpack(b"not gzip").1, Err(BuildError::Source(_))));
        let whole = pack(&[("a", EntryType::Regular, &"random ".repeat(9000))]);
        assert!(matches!(
            unpack(&whole[..whole.len() / 2]).1,
            Err(BuildError::Source(_))
        ));
    }
}
