//! A control group per build command, where this machine lets the runner make one: hard bounds on
//! memory and processes. Without one, resource limits and the memory watch remain.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// The group of one build command; gone with this value.
pub(crate) struct ControlGroup {
    folders: Vec<PathBuf>,
}

impl ControlGroup {
    /// Makes a group (cgroup v2, else v1), or nothing when that is not allowed here.
    pub(crate) fn make(name: &str, memory_bytes: u64, processes: u64) -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let group = if root.join("cgroup.controllers").exists() {
            Self::make_v2(&own_v2(root)?, name, memory_bytes, processes)
        } else {
            Self::make_v1(root, name, memory_bytes, processes)
        };
        group.filter(|group| !group.folders.is_empty())
    }

    fn make_v2(parent: &Path, name: &str, memory_bytes: u64, processes: u64) -> Option<Self> {
        let folder = parent.join(name);
        fs::create_dir(&folder).ok()?;
        let group = Self {
            folders: vec![folder.clone()],
        };
        fs::write(folder.join("memory.max"), memory_bytes.to_string()).ok()?;
        drop(fs::write(folder.join("memory.swap.max"), "0"));
        fs::write(folder.join("pids.max"), processes.to_string()).ok()?;
        drop(fs::write(folder.join("memory.oom.group"), "1"));
        Some(group)
    }

    fn make_v1(root: &Path, name: &str, memory_bytes: u64, processes: u64) -> Option<Self> {
        let mut group = Self {
            folders: Vec::new(),
        };
        for (controller, file, value) in [
            ("memory", "memory.limit_in_bytes", memory_bytes),
            ("pids", "pids.max", processes),
        ] {
            let folder = root.join(controller).join(name);
            if fs::create_dir(&folder).is_err() {
                continue;
            }
            let bounded = fs::write(folder.join(file), value.to_string()).is_ok();
            group.folders.push(folder);
            if !bounded {
                return None;
            }
        }
        Some(group)
    }

    /// Makes the program start inside, so that no process of it was ever outside.
    #[expect(
        unsafe_code,
        reason = "joining between fork and exec is the one way without a race"
    )]
    pub(crate) fn join(&self, command: &mut Command) {
        let open = |folder: &PathBuf| {
            fs::OpenOptions::new()
                .write(true)
                .open(folder.join("cgroup.procs"))
                .ok()
        };
        let files: Vec<fs::File> = self.folders.iter().filter_map(open).collect();
        let join = move || {
            for file in &files {
                // SAFETY: write(2) on an open file with a static buffer; allowed after fork. A failure
                // leaves the other bounds in place.
                unsafe { libc::write(file.as_raw_fd(), c"0".as_ptr().cast(), 1) };
            }
            Ok(())
        };
        // SAFETY: the closure only calls write(2), which is async-signal-safe, and allocates nothing.
        unsafe { command.pre_exec(join) };
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            // The last processes may still be on their way out.
            for _ in 0..20 {
                match fs::remove_dir(folder) {
                    Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(std::time::Duration::from_millis(5));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// The runner's own v2 group, when groups can be made in it that have memory and pids controllers.
fn own_v2(root: &Path) -> Option<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // A group that holds processes cannot hand on controllers: use the one above it.
    let parent = root
        .join(path)
        .parent()
        .filter(|parent| parent.starts_with(root))
        .map_or_else(|| root.to_owned(), Path::to_owned);
    let controllers = fs::read_to_string(parent.join("cgroup.subtree_control")).ok()?;
    let has = |name: &str| controllers.split_whitespace().any(|word| word == name);
    (has("memory") && has("pids")).then_some(parent)
}
