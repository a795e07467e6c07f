//! Finding a component's WebAssembly and files below the source's root.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, File, Metadata, OpenOptions, OpenOptionsExt};
use glob::Pattern;
use nokube_spinapp::Fault;
use nokube_spinapp::manifest::{Component, FileMount};
use rustix::fs::OFlags;

use super::{PackError, PackLimits};
use crate::wasm;

/// Folders may be nested so deep. A symbolic link that leads back up would have no end.
const MAX_DEPTH: usize = 64;
/// Names looked at for all mounts together. Links that lead back, or many `**`, multiply without end.
const MAX_VISITED: usize = 250_000;

const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// A component's files: where each appears, and where it is, relative to the root.
pub(super) type Files = BTreeMap<String, PathBuf>;

/// What may still be taken.
pub(super) struct Budget {
    limits: PackLimits,
    files: usize,
    bytes: u64,
    visited: usize,
}

impl Budget {
    pub(super) fn new(limits: PackLimits) -> Self {
        Self {
            limits,
            files: 0,
            bytes: 0,
            visited: 0,
        }
    }

    fn visit(&mut self) -> Result<(), PackError> {
        self.visited += 1;
        if self.visited > MAX_VISITED {
            return Err(PackError::Limit(format!(
                "more than {MAX_VISITED} names were found below the mounted folders"
            )));
        }
        Ok(())
    }

    /// Before it is read: all components are held in memory until they are stored.
    fn spend_wasm(&mut self, size: u64) -> Result<(), PackError> {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.total_bytes {
            return Err(PackError::Limit(format!(
                "the application has more than {} bytes of components and files",
                self.limits.total_bytes
            )));
        }
        Ok(())
    }

    fn spend(&mut self, path: &Path, size: u64) -> Result<(), PackError> {
        self.files += 1;
        self.bytes += size;
        let limits = &self.limits;
        if size > limits.file_bytes {
            let path = path.display();
            let limit = limits.file_bytes;
            return Err(PackError::Limit(format!(
                "the file {path} has {size} bytes; {limit} are allowed"
            )));
        }
        if self.files > limits.files || self.bytes > limits.total_bytes {
            return Err(PackError::Limit(format!(
                "the application has more than {} files or {} bytes of components and files",
                limits.files, limits.total_bytes
            )));
        }
        Ok(())
    }
}

/// Opens a regular file below the root. Never waits, as opening a pipe would.
pub(super) fn open_file(root: &Dir, path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(NONBLOCK);
    let file = root.open_with(path, &options)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata.len()))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"))
    }
}

const UNREADABLE: &str = "`source` has to be a readable file inside the repository";
const NO_COMPONENT: &str =
    "name the component that the build makes, such as one for the target wasm32-wasip2";

/// The component's WebAssembly, made a component when it is a module. A fault is the user's; an error
/// ends the packing.
pub(super) fn read_wasm(
    root: &Dir,
    manifest_dir: &Path,
    component: &Component,
    serves: bool,
    budget: &mut Budget,
) -> Result<Result<Vec<u8>, Fault>, PackError> {
    let path = manifest_dir.join(&component.source);
    let (file, size) = match open_wasm(root, &path, component, budget.limits.wasm_bytes) {
        Ok(opened) => opened,
        Err(fault) => return Ok(Err(fault)),
    };
    budget.spend_wasm(size)?;
    Ok(componentize(file.take(size), &path, component, serves))
}

fn open_wasm(
    root: &Dir,
    path: &Path,
    component: &Component,
    limit: u64,
) -> Result<(File, u64), Fault> {
    let (file, size) = open_file(root, path).map_err(|error| {
        let remedy = if error.kind() == io::ErrorKind::NotFound {
            match &component.build {
                Some(_) => {
                    "the build command did not make it: compare its output path with `source`"
                }
                None => {
                    "add the file, or a `[component.<id>.build]` with a `command` that makes it"
                }
            }
        } else {
            UNREADABLE
        };
        component.source_fault(explain(path, &error), remedy)
    })?;
    if size > limit {
        let message = format!("the file has {size} bytes; {limit} are allowed");
        let remedy = "build it for release and without debug information";
        return Err(component.source_fault(message, remedy));
    }
    Ok((file, size))
}

fn componentize(
    mut file: impl Read,
    path: &Path,
    component: &Component,
    serves: bool,
) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(|error| component.source_fault(explain(path, &error), UNREADABLE))?;
    let no_component =
        |error: wasm::WasmError| component.source_fault(error.to_string(), NO_COMPONENT);
    let bytes = wasm::componentize(&bytes)
        .map_err(no_component)?
        .into_owned();
    let info = wasm::inspect(&bytes).map_err(no_component)?;
    if serves && !info.serves_http() {
        return Err(component.source_fault(
            "this component does not answer HTTP requests",
            "export `wasi:http/incoming-handler`",
        ));
    }
    Ok(bytes)
}

/// Why a file can't be used, in words for the user.
fn explain(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!("there is no file {path}"),
        // What cap-std answers when a path or a symbolic link leads out of the root.
        io::ErrorKind::PermissionDenied => {
            format!("{path} leads out of the application's source, or may not be read")
        }
        _ => format!("can't read {path}: {error}"),
    }
}

/// The component's files. Faults are the user's; an error ends the packing.
pub(super) fn collect(
    root: &Dir,
    manifest_dir: &Path,
    component: &Component,
    budget: &mut Budget,
) -> Result<Result<Files, Vec<Fault>>, PackError> {
    let mut faults = Vec::new();
    let mut excludes = Vec::new();
    for (n, pattern) in component.exclude_files.iter().enumerate() {
        match Pattern::new(pattern) {
            Ok(pattern) => excludes.push(pattern),
            Err(error) => {
                faults.push(component.files_fault(&format!("exclude_files[{n}]"), error.msg))
            }
        }
    }
    let mut walk = Walk {
        root,
        manifest_dir,
        excludes,
        skip: |_| false,
        budget,
        files: Files::new(),
    };
    for (n, mount) in component.files.iter().enumerate() {
        match walk.mount(mount) {
            Ok(()) => {}
            Err(WalkError::Fault(message)) => {
                faults.push(component.files_fault(&format!("files[{n}]"), message));
            }
            Err(WalkError::Limit(error)) => return Err(error),
        }
    }
    let files = walk.files;
    if let Some(path) = file_and_folder(&files) {
        let message = format!("{path} would be a file and a folder at once");
        faults.push(component.files_fault("files", message));
    }
    Ok(if faults.is_empty() {
        Ok(files)
    } else {
        Err(faults)
    })
}

/// Everything below a folder that `skip` (asked for each name) lets through.
pub(super) fn collect_folder(
    root: &Dir,
    skip: fn(&str) -> bool,
    budget: &mut Budget,
) -> Result<Files, PackError> {
    let mut walk = Walk {
        root,
        manifest_dir: Path::new(""),
        excludes: Vec::new(),
        skip,
        budget,
        files: Files::new(),
    };
    match walk.folder(Path::new("."), Path::new(""), 0) {
        Ok(()) => Ok(walk.files),
        Err(WalkError::Limit(error)) => Err(error),
        Err(WalkError::Fault(message)) => Err(PackError::fault(Fault::unplaced(
            "",
            message,
            "keep what is to be served in the folder itself, and leave the rest out of it",
        ))),
    }
}

fn file_and_folder(files: &Files) -> Option<&str> {
    files.keys().find_map(|path| {
        path.match_indices('/')
            .map(|(at, _)| &path[..at])
            .find(|folder| files.contains_key(*folder))
    })
}

enum WalkError {
    Fault(String),
    Limit(PackError),
}

impl From<PackError> for WalkError {
    fn from(error: PackError) -> Self {
        Self::Limit(error)
    }
}

struct Walk<'a> {
    root: &'a Dir,
    manifest_dir: &'a Path,
    excludes: Vec<Pattern>,
    skip: fn(&str) -> bool,
    budget: &'a mut Budget,
    files: Files,
}

impl Walk<'_> {
    fn mount(&mut self, mount: &FileMount) -> Result<(), WalkError> {
        match mount {
            FileMount::Placement {
                source,
                destination,
            } => {
                let path = self.manifest_dir.join(source);
                let to = destination.trim_start_matches('/');
                if self.metadata(&path)?.is_dir() {
                    self.folder(&path, Path::new(to), 0)
                } else if to.is_empty() || to.ends_with('/') {
                    Err(WalkError::Fault(format!(
                        "{source:?} is a file, and {destination:?} is not the name of a file"
                    )))
                } else {
                    self.file(&path, to)
                }
            }
            FileMount::Pattern(pattern) => self.pattern(pattern),
        }
    }

    /// A file, a folder or a pattern; each keeps its path.
    fn pattern(&mut self, text: &str) -> Result<(), WalkError> {
        let path = self.manifest_dir.join(text);
        if self.root.exists(&path) {
            return if self.metadata(&path)?.is_dir() {
                self.folder(&path, &plain(Path::new(text)), 0)
            } else {
                self.file(&path, &guest_path(&plain(Path::new(text)))?)
            };
        }
        if Pattern::escape(text) == text {
            // Neither there nor a pattern; or there, but not for us.
            return match self.root.symlink_metadata(&path) {
                Ok(_) => Err(WalkError::Fault(format!(
                    "{text} leads out of the application's source, or nowhere"
                ))),
                Err(_) => Err(WalkError::Fault(format!("there is no file {text}"))),
            };
        }
        let parts = text
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .map(|part| {
                Pattern::new(part).map_err(|error| {
                    WalkError::Fault(format!("{text:?} is not a pattern: {}", error.msg))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let start = self.manifest_dir.to_owned();
        self.matching(&start, Path::new(""), &parts, 0)
    }

    /// What a pattern's remaining parts match below a folder; `at` is the path that is kept.
    fn matching(
        &mut self,
        dir: &Path,
        at: &Path,
        parts: &[Pattern],
        depth: usize,
    ) -> Result<(), WalkError> {
        let Some((part, rest)) = parts.split_first() else {
            return Ok(());
        };
        self.check_depth(dir, depth)?;
        let recursive = part.as_str() == "**";
        if recursive {
            // It may stand for no folder at all.
            self.matching(dir, at, rest, depth)?;
        }
        for name in self.names(dir)? {
            let (path, at) = (dir.join(&name), at.join(&name));
            if !recursive && !part.matches(&name) {
                continue;
            }
            let Some(metadata) = self.metadata_if_there(&path)? else {
                continue;
            };
            if metadata.is_dir() {
                let next = if recursive { parts } else { rest };
                self.matching(&path, &at, next, depth + 1)?;
            } else if rest.is_empty() && !recursive && metadata.is_file() {
                self.file_unless_excluded(&path, &at)?;
            }
        }
        Ok(())
    }

    /// Every file below a folder.
    fn folder(&mut self, dir: &Path, to: &Path, depth: usize) -> Result<(), WalkError> {
        self.check_depth(dir, depth)?;
        for name in self.names(dir)? {
            if (self.skip)(&name) {
                continue;
            }
            let (path, to) = (dir.join(&name), to.join(&name));
            let Some(metadata) = self.metadata_if_there(&path)? else {
                continue;
            };
            if metadata.is_dir() {
                self.folder(&path, &to, depth + 1)?;
            } else if metadata.is_file() {
                self.file_unless_excluded(&path, &to)?;
            }
        }
        Ok(())
    }

    fn file_unless_excluded(&mut self, path: &Path, to: &Path) -> Result<(), WalkError> {
        // Patterns are about the path in the source, relative to the manifest.
        let relative = path.strip_prefix(self.manifest_dir).unwrap_or(path);
        let relative = plain(relative);
        if self.excludes.iter().any(|p| p.matches_path(&relative)) {
            return Ok(());
        }
        self.file(path, &guest_path(to)?)
    }

    fn file(&mut self, path: &Path, to: &str) -> Result<(), WalkError> {
        let (_, size) =
            open_file(self.root, path).map_err(|error| WalkError::Fault(explain(path, &error)))?;
        self.budget.spend(path, size)?;
        self.files
            .insert(guest_path(&plain(Path::new(to)))?, path.to_owned());
        Ok(())
    }

    fn metadata(&self, path: &Path) -> Result<Metadata, WalkError> {
        self.root
            .metadata(path)
            .map_err(|error| WalkError::Fault(explain(path, &error)))
    }

    /// What a name of a folder is. A symbolic link that leads nowhere is passed over, as Spin does;
    /// one that leads out of the source is a fault.
    fn metadata_if_there(&self, path: &Path) -> Result<Option<Metadata>, WalkError> {
        match self.root.metadata(path) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(WalkError::Fault(explain(path, &error))),
        }
    }

    /// The names in a folder, sorted; those that are not UTF-8 are passed over, as by Spin's globs.
    fn names(&mut self, dir: &Path) -> Result<Vec<String>, WalkError> {
        let fault = |error: io::Error| WalkError::Fault(explain(dir, &error));
        let dir = if dir.as_os_str().is_empty() {
            Path::new(".")
        } else {
            dir
        };
        let mut names = Vec::new();
        for entry in self.root.read_dir(dir).map_err(fault)? {
            self.budget.visit()?;
            if let Ok(name) = entry.map_err(fault)?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn check_depth(&self, dir: &Path, depth: usize) -> Result<(), WalkError> {
        if depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(WalkError::Fault(format!(
            "folders are nested more than {MAX_DEPTH} deep below {} (a symbolic link that leads back?)",
            dir.iter().take(4).collect::<PathBuf>().display()
        )))
    }
}

/// The path without `.` and doubled slashes.
fn plain(path: &Path) -> PathBuf {
    path.components()
        .filter(|part| matches!(part, std::path::Component::Normal(_)))
        .collect()
}

fn guest_path(path: &Path) -> Result<String, WalkError> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| WalkError::Fault(format!("{} is not UTF-8", path.display())))
}
