//! A control group per build command, where this machine lets the runner make one: hard bounds on
//! memory, processes and processors. Without one, resource limits and the memory watch remain.
//!
//! Groups are made below the runner's own, so that whoever started it bounds its builds too: in version
//! 1 of the hierarchy in each controller's own folder, in version 2 beside the runner's group, since a
//! group that holds processes hands on no controllers.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// Where control groups are mounted, and what the kernel says of this process.
const MOUNT: &str = "/sys/fs/cgroup";
const OWN: &str = "/proc/self/cgroup";
/// The time over which processor time is counted, in microseconds: the kernel's own default.
const PERIOD_US: u64 = 100_000;
/// Other programs of the machine come first: a tenth of the default weight.
const V1_SHARES: &str = "102";
const V2_WEIGHT: &str = "10";

const NOT_JOINED: &[u8] = b"nokube: the build is not in its control group\n";

/// What all processes of a build command may use together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupBounds {
    pub(crate) memory_bytes: u64,
    pub(crate) processes: u64,
    /// Thousandths of a processor.
    pub(crate) processors_milli: u64,
}

impl GroupBounds {
    fn quota_us(&self) -> u64 {
        // The kernel refuses less than a millisecond.
        (self.processors_milli.saturating_mul(PERIOD_US) / 1000).max(1000)
    }
}

/// The folders in which groups can be made.
#[derive(Debug, PartialEq, Eq)]
enum Places {
    /// One for all controllers. The processor's may be missing.
    V2 { parent: PathBuf, has_cpu: bool },
    /// One per controller that is there.
    V1(Vec<(&'static str, PathBuf)>),
}

impl Places {
    /// `mount` is the folder of all groups, `own` what `/proc/self/cgroup` says (cgroups(7)).
    fn find(mount: &Path, own: &str) -> Option<Self> {
        if mount.join("cgroup.controllers").exists() {
            Self::find_v2(mount, own)
        } else {
            Self::find_v1(mount, own)
        }
    }

    fn find_v2(mount: &Path, own: &str) -> Option<Self> {
        let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let group = below(mount, path)?;
        let parent = group
            .parent()
            .filter(|parent| parent.starts_with(mount))
            .unwrap_or(mount)
            .to_owned();
        let controllers = fs::read_to_string(parent.join("cgroup.subtree_control")).ok()?;
        let has = |name: &str| controllers.split_whitespace().any(|word| word == name);
        (has("memory") && has("pids")).then(|| Self::V2 {
            has_cpu: has("cpu"),
            parent,
        })
    }

    fn find_v1(mount: &Path, own: &str) -> Option<Self> {
        let folders: Vec<_> = ["memory", "pids", "cpu"]
            .into_iter()
            .filter_map(|controller| {
                // hierarchy:controllers:path, controllers separated by commas.
                let path = own.lines().find_map(|line| {
                    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                    controllers
                        .split(',')
                        .any(|name| name == controller)
                        .then(|| path.trim_start_matches('/'))
                })?;
                let root = mount.join(controller);
                // In a container the path may be the host's, and the container's group be mounted.
                below(&root, path)
                    .filter(|folder| folder.is_dir())
                    .or_else(|| root.is_dir().then_some(root))
                    .map(|folder| (controller, folder))
            })
            .collect();
        (!folders.is_empty()).then_some(Self::V1(folders))
    }
}

/// `path` in `root`; none when it climbs: a group outside of this process's namespace.
fn below(root: &Path, path: &str) -> Option<PathBuf> {
    let climbs = path.split('/').any(|part| part == "..");
    (!climbs).then(|| root.join(path))
}

/// The group of one build command; gone with this value.
pub(crate) struct ControlGroup {
    folders: Vec<PathBuf>,
}

impl ControlGroup {
    /// Makes a group, or nothing when that is not allowed here.
    pub(crate) fn make(name: &str, bounds: &GroupBounds) -> Option<Self> {
        let own = fs::read_to_string(OWN).ok()?;
        Self::make_in(&Places::find(Path::new(MOUNT), &own)?, name, bounds)
    }

    fn make_in(places: &Places, name: &str, bounds: &GroupBounds) -> Option<Self> {
        let group = match places {
            Places::V2 { parent, has_cpu } => Self::make_v2(parent, *has_cpu, name, bounds)?,
            Places::V1(folders) => Self::make_v1(folders, name, bounds)?,
        };
        (!group.folders.is_empty()).then_some(group)
    }

    fn make_v2(parent: &Path, has_cpu: bool, name: &str, bounds: &GroupBounds) -> Option<Self> {
        let folder = parent.join(name);
        fs::create_dir(&folder).ok()?;
        let group = Self {
            folders: vec![folder.clone()],
        };
        let set = |file: &str, value: String| fs::write(folder.join(file), value);
        set("memory.max", bounds.memory_bytes.to_string()).ok()?;
        set("pids.max", bounds.processes.to_string()).ok()?;
        // Not on every kernel; the bounds above hold without them.
        drop(set("memory.swap.max", "0".to_owned()));
        drop(set("memory.oom.group", "1".to_owned()));
        if has_cpu {
            drop(set("cpu.max", format!("{} {PERIOD_US}", bounds.quota_us())));
            drop(set("cpu.weight", V2_WEIGHT.to_owned()));
        }
        Some(group)
    }

    fn make_v1(
        places: &[(&'static str, PathBuf)],
        name: &str,
        bounds: &GroupBounds,
    ) -> Option<Self> {
        let mut group = Self {
            folders: Vec::new(),
        };
        for (controller, parent) in places {
            let folder = parent.join(name);
            if fs::create_dir(&folder).is_err() {
                continue;
            }
            group.folders.push(folder.clone());
            let set = |file: &str, value: String| fs::write(folder.join(file), value);
            match *controller {
                "memory" => {
                    set("memory.limit_in_bytes", bounds.memory_bytes.to_string()).ok()?;
                }
                "pids" => set("pids.max", bounds.processes.to_string()).ok()?,
                _ => {
                    // Not on every kernel: builds are nice (nice(2)) in any case.
                    drop(set("cpu.cfs_period_us", PERIOD_US.to_string()));
                    drop(set("cpu.cfs_quota_us", bounds.quota_us().to_string()));
                    drop(set("cpu.shares", V1_SHARES.to_owned()));
                }
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
                // SAFETY: write(2) on an open file with a static buffer; allowed after fork.
                let joined = unsafe { libc::write(file.as_raw_fd(), c"0".as_ptr().cast(), 1) };
                if joined != 1 {
                    // The other bounds are in place. What the program writes is the build's log.
                    // SAFETY: the same, on standard error.
                    unsafe { libc::write(2, NOT_JOINED.as_ptr().cast(), NOT_JOINED.len()) };
                }
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

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    const BOUNDS: GroupBounds = GroupBounds {
        memory_bytes: 1 << 30,
        processes: 100,
        processors_milli: 1800,
    };

    struct Mount(tempfile::TempDir);

    impl Mount {
        fn new(folders: &[&str], files: &[(&str, &str)]) -> Self {
            let mount = tempfile::tempdir().expect("a folder");
            for folder in folders {
                fs::create_dir_all(mount.path().join(folder)).expect("a folder");
            }
            for (file, text) in files {
                fs::write(mount.path().join(file), text).expect("a file");
            }
            Self(mount)
        }

        fn find(&self, own: &str) -> Option<Places> {
            Places::find(self.0.path(), own)
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn text(&self, path: &str) -> String {
            fs::read_to_string(self.at(path)).expect(path)
        }
    }

    const V2_FILES: [(&str, &str); 3] = [
        ("cgroup.controllers", "cpu memory pids"),
        ("cgroup.subtree_control", "memory pids"),
        ("system.slice/cgroup.subtree_control", "cpu io memory pids"),
    ];

    #[test]
    fn version_two_groups_are_made_beside_the_runners_own() {
        let mount = Mount::new(&["system.slice/nokube.service"], &V2_FILES);
        let places = mount.find("0::/system.slice/nokube.service\n");
        let expected = Places::V2 {
            parent: mount.at("system.slice"),
            has_cpu: true,
        };
        assert_eq!(places, Some(expected));
        // The runner's group is the whole hierarchy: there is none above.
        let expected = Places::V2 {
            parent: mount.at(""),
            has_cpu: false,
        };
        assert_eq!(mount.find("0::/\n"), Some(expected));
        // Outside of this process's namespace.
        assert_eq!(mount.find("0::/../other\n"), None);
        assert_eq!(mount.find(""), None);
    }

    #[test]
    fn version_two_groups_without_controllers_are_none() {
        let files = [
            ("cgroup.controllers", "memory pids"),
            ("cgroup.subtree_control", "memory"),
        ];
        assert_eq!(Mount::new(&["a"], &files).find("0::/a\n"), None);
    }

    #[test]
    fn version_one_groups_are_made_below_the_runners_own() {
        let mount = Mount::new(&["memory/own/deep", "pids", "cpu/own"], &[]);
        let own = "9:name=systemd:/\n5:cpu,cpuacct:/own\n4:memory:/own/deep\n3:pids:/gone\n0::/\n";
        let expected = Places::V1(vec![
            ("memory", mount.at("memory/own/deep")),
            // Not there: a container whose own group is mounted.
            ("pids", mount.at("pids")),
            ("cpu", mount.at("cpu/own")),
        ]);
        assert_eq!(mount.find(own), Some(expected));
        let climbing = "4:memory:/../other\n";
        let expected = Places::V1(vec![("memory", mount.at("memory"))]);
        assert_eq!(mount.find(climbing), Some(expected));
    }

    #[test]
    fn without_control_groups_there_is_no_place() {
        let mount = Mount::new(&[], &[]);
        assert_eq!(mount.find(""), None);
        assert_eq!(mount.find("4:memory:/\n0::/\n"), None);
    }

    #[test]
    fn a_group_has_its_bounds() {
        let mount = Mount::new(&["system.slice/own"], &V2_FILES);
        let places = mount.find("0::/system.slice/own\n").expect("a place");
        let group = ControlGroup::make_in(&places, "build", &BOUNDS).expect("a group");
        let text = |file| mount.text(&format!("system.slice/build/{file}"));
        assert_eq!(text("memory.max"), "1073741824");
        assert_eq!(text("pids.max"), "100");
        assert_eq!(text("cpu.max"), "180000 100000");
        drop(group);

        let mount = Mount::new(&["memory/own", "pids", "cpu"], &[]);
        let own = "3:cpu:/\n2:pids:/\n1:memory:/own\n";
        let places = mount.find(own).expect("places");
        let group = ControlGroup::make_in(&places, "build", &BOUNDS).expect("a group");
        assert_eq!(
            mount.text("memory/own/build/memory.limit_in_bytes"),
            "1073741824"
        );
        assert_eq!(mount.text("pids/build/pids.max"), "100");
        assert_eq!(mount.text("cpu/build/cpu.cfs_quota_us"), "180000");
        drop(group);
    }

    /// Where this machine lets nobody make one, the run has to say so (`nokube_tests::needs`).
    fn real(bounds: &GroupBounds) -> Option<ControlGroup> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nokube-test-{}-{number}", std::process::id());
        let group = ControlGroup::make(&name, bounds);
        let without = std::env::var("NOKUBE_TESTS_WITHOUT").unwrap_or_default();
        let may_be_missing = without.split(',').any(|what| what == "control-groups");
        assert!(
            group.is_some() || may_be_missing,
            "no control group can be made here: NOKUBE_TESTS_WITHOUT=control-groups"
        );
        group
    }

    #[tokio::test]
    async fn a_program_starts_in_its_group() {
        let Some(group) = real(&BOUNDS) else {
            return;
        };
        let mut command = Command::new("sleep");
        command.arg("60").kill_on_drop(true);
        group.join(&mut command);
        let mut child = command.spawn().expect("it starts");
        let pid = child.id().expect("it runs").to_string();
        for folder in &group.folders {
            let inside = fs::read_to_string(folder.join("cgroup.procs")).expect("a list");
            let is_inside = inside.lines().any(|line| line == pid);
            assert!(is_inside, "{}: {inside}", folder.display());
        }
        child.kill().await.expect("it ends");
        let folders = group.folders.clone();
        drop(group);
        assert!(folders.iter().all(|folder| !folder.exists()), "{folders:?}");
    }

    #[tokio::test]
    async fn a_program_that_takes_more_memory_than_its_group_has_is_killed() {
        let bounds = GroupBounds {
            memory_bytes: 64 << 20,
            ..BOUNDS
        };
        let Some(group) = real(&bounds) else {
            return;
        };
        if !group.folders.iter().any(|folder| bounds_memory(folder)) {
            return;
        }
        // It keeps the last lines, of which there is one without an end.
        let mut command = Command::new("tail");
        command.arg("/dev/zero").kill_on_drop(true);
        group.join(&mut command);
        let mut child = command.spawn().expect("it starts");
        let ended = tokio::time::timeout(Duration::from_secs(60), child.wait()).await;
        let status = ended.expect("it was not stopped").expect("it ended");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status:?}");
    }

    /// The memory's may be missing among those of version 1.
    fn bounds_memory(folder: &Path) -> bool {
        ["memory.max", "memory.limit_in_bytes"]
            .iter()
            .any(|file| folder.join(file).exists())
    }
}
