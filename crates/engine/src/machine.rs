//! How much memory there is for this process: the machine's, or less where its control group says so, as in a container
//! or a service with a limit (cgroups(7)).

use std::path::Path;

/// Bytes of memory that the machine has, or that this process may use of it.
pub(crate) fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    // Their types differ between systems.
    let bytes = u128::from(info.totalram) * u128::from(info.mem_unit);
    let machine = u64::try_from(bytes).unwrap_or(u64::MAX);
    // Elsewhere than on Linux there is neither.
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = limit_of(&groups, Path::new("/sys/fs/cgroup"));
    limit.map_or(machine, |limit| limit.min(machine))
}

/// The lowest limit of the groups that a process is in, and of those above them. `groups` is its `/proc/<pid>/cgroup`, lines
/// of `<number>:<controllers>:<path>`; version 2 has no controllers there.
fn limit_of(groups: &str, mounted: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let (folder, file) = if controllers.is_empty() {
            (mounted.to_owned(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (mounted.join("memory"), "memory.limit_in_bytes")
        } else {
            return None;
        };
        // In a container the path is often the one outside; its own group is then what is mounted.
        let above = Path::new(path.trim_start_matches('/')).ancestors();
        above
            .filter_map(|group| {
                let limit = std::fs::read_to_string(folder.join(group).join(file)).ok()?;
                // "max" is none.
                limit.trim().parse().ok()
            })
            .min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn there_is_no_more_memory_than_the_group_or_one_above_it_may_have() {
        let mounted = tempfile::tempdir().expect("a folder");
        let put = |path: &str, limit: &str| {
            let file = mounted.path().join(path);
            fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            fs::write(file, limit).expect("written");
        };
        let limit = |groups: &str| limit_of(groups, mounted.path());
        assert_eq!(limit("0::/a.slice/b.service\n"), None);
        put("a.slice/b.service/memory.max", "max\n");
        assert_eq!(limit("0::/a.slice/b.service\n"), None);
        put("a.slice/memory.max", "1073741824\n");
        assert_eq!(limit("0::/a.slice/b.service\n"), Some(1 << 30));
        put("a.slice/b.service/memory.max", "536870912\n");
        assert_eq!(limit("0::/a.slice/b.service\n"), Some(512 << 20));
        assert_eq!(limit("0::/\n"), None, "another group's is not this one's");

        // The first version, as in a container whose path is not seen inside.
        let groups = "12:cpu,cpuacct:/docker/x\n11:memory:/docker/x\n";
        assert_eq!(limit(groups), None);
        put("memory/memory.limit_in_bytes", "268435456\n");
        assert_eq!(limit(groups), Some(256 << 20));
        assert_eq!(limit("nonsense\n\n5:cpu\n"), None);
    }
}
