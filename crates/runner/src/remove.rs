//! Removing a folder that a build filled, however it did that.
//!
//! Folders may be nested deeper than this process may have files open and than a path may be long, and
//! may have lost the permission to look into them. So nothing here recurses, and no path is longer than
//! one name: what lies deeper is moved to the top (renameat(2)) and removed from there. Links are
//! removed, never followed.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;

/// A folder itself, and no link to one.
pub(crate) const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Removes a folder with everything in it, or a file, or nothing.
///
/// # Errors
/// What the system says; some of it may be gone then.
pub(crate) fn remove_all(path: &Path) -> io::Result<()> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let above = if above.as_os_str().is_empty() {
        Path::new(".")
    } else {
        above
    };
    let above = match openat(
        CWD,
        above,
        OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    let name = CString::new(name.as_bytes())?;
    if unlink(&above, &name, FileType::Unknown)? {
        return Ok(());
    }
    let Some(top) = open_folder(&above, &name)? else {
        return Ok(());
    };
    let mut moved = 0;
    empty(&above, &name, &top, |folder| {
        let Some(inner) = open_folder(&top, folder)? else {
            return Ok(());
        };
        empty(&top, folder, &inner, |deeper| {
            hoist(&inner, deeper, &top, &mut moved)
        })
    })
}

/// Removes what is in `folder`, which is `name` in `above`, and then `folder`; `rid` deals with the
/// folders in it.
fn empty(
    above: &OwnedFd,
    name: &CStr,
    folder: &OwnedFd,
    mut rid: impl FnMut(&CStr) -> io::Result<()>,
) -> io::Result<()> {
    loop {
        let mut found = false;
        // What is added or removed meanwhile is in the listing or not; the next round knows.
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let inner = entry.file_name();
            if inner == c"." || inner == c".." {
                continue;
            }
            found = true;
            if !unlink(folder, inner, entry.file_type())? {
                rid(inner)?;
            }
        }
        match unlinkat(above, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) if found => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes what is no folder; whether it was none.
fn unlink(folder: &OwnedFd, name: &CStr, kind: FileType) -> io::Result<bool> {
    if kind == FileType::Directory {
        return Ok(false);
    }
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Moves a folder to the top, under a name that nothing has there.
fn hoist(folder: &OwnedFd, name: &CStr, top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    let mut opened = false;
    loop {
        *moved += 1;
        match renameat(folder, name, top, format!(".hoisted-{moved}")) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // The build made something of that name.
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
            // To move a folder is to change its `..`: it has to be writable.
            Err(Errno::ACCESS) if !opened => {
                drop(open_folder(folder, name)?);
                opened = true;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens a folder in a folder, with every permission for its owner; none when it is gone.
fn open_folder(at: &OwnedFd, name: &CStr) -> io::Result<Option<OwnedFd>> {
    let opened = match openat(at, name, FOLDER, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let closed = openat(at, name, FOLDER | OFlags::PATH, Mode::empty())?;
            let path = format!("/proc/self/fd/{}", closed.as_fd().as_raw_fd());
            rustix::fs::chmod(path, Mode::RWXU)?;
            openat(at, name, FOLDER, Mode::empty())
        }
        other => other,
    };
    match opened {
        Ok(folder) => {
            // When it is not ours to change, what follows says so.
            let _ = rustix::fs::fchmod(&folder, Mode::RWXU);
            Ok(Some(folder))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::fs::mkdirat;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;

    #[test]
    fn a_tree_deeper_than_open_files_and_paths_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path().join("top");
        fs::create_dir(&top).expect("a folder");
        let mut at = fs::File::open(&top).map(OwnedFd::from).expect("a folder");
        // Names of 40 bytes: a path of 4096 ends after a hundred of them.
        let name = "d".repeat(40);
        for _ in 0..3000 {
            mkdirat(&at, &name, Mode::RWXU).expect("a folder");
            mkdirat(&at, "beside", Mode::RWXU).expect("a folder");
            at = openat(&at, &name, FOLDER, Mode::empty()).expect("a folder");
        }
        // The other tests of this process need a few descriptors each.
        let before = getrlimit(Resource::Nofile);
        let few = Rlimit {
            current: Some(1000),
            maximum: before.maximum,
        };
        setrlimit(Resource::Nofile, few).expect("a lower limit");
        let removed = remove_all(&top);
        setrlimit(Resource::Nofile, before).expect("the limit as it was");
        removed.expect("removed");
        assert!(!top.exists());
    }

    #[test]
    fn links_go_and_what_they_lead_to_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (top, kept) = (folder.path().join("top"), folder.path().join("kept"));
        fs::create_dir_all(top.join("a/b")).expect("a folder");
        fs::create_dir(&kept).expect("a folder");
        fs::write(kept.join("file"), "x").expect("a file");
        symlink(&kept, top.join("link")).expect("a link");
        symlink(&kept, top.join("a/b/link")).expect("a link");
        remove_all(&top).expect("removed");
        assert!(!top.exists() && kept.join("file").exists());
        symlink(&kept, &top).expect("a link");
        remove_all(&top).expect("removed");
        assert!(fs::symlink_metadata(&top).is_err() && kept.join("file").exists());
        remove_all(&top).expect("nothing to remove");
        remove_all(&top.join("below")).expect("nothing to remove");
    }

    #[test]
    fn closed_folders_and_taken_names_do_not_hinder() {
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path().join("top");
        for path in ["a/b/c", ".hoisted-1/x", "a/.hoisted-2/y"] {
            fs::create_dir_all(top.join(path)).expect("a folder");
        }
        fs::write(top.join(".hoisted-3"), "x").expect("a file");
        for path in ["a/b", "a"] {
            let closed = fs::Permissions::from_mode(0o0);
            fs::set_permissions(top.join(path), closed).expect("closed");
        }
        remove_all(&top).expect("removed");
        assert!(!top.exists());
    }
}
