//! What the kernel says of processes: computing, memory, children.

use anyhow::Context as _;

/// The unit of `/proc/<pid>/stat`, the same on every Linux that counts (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds a process has computed, for itself and in the kernel.
pub(crate) fn cpu_of(pid: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} is gone"))?;
    // The name, in brackets, may hold anything: fields are counted from behind it. User time is field 14 (proc(5)).
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().collect())
        .unwrap_or_default();
    let ticks = |field: usize| -> anyhow::Result<f64> {
        Ok(fields.get(field - 3).context("a short line")?.parse()?)
    };
    Ok((ticks(14)? + ticks(15)?) / TICKS_PER_SECOND)
}

/// Resident memory in MiB.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// All pages it has in memory, those of files once for each mapping.
    pub(crate) rss: f64,
    /// The same with shared pages split among those who share them.
    pub(crate) pss: f64,
}

/// The memory of a process.
pub(crate) fn memory_of(pid: u32) -> anyhow::Result<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .with_context(|| format!("process {pid} is gone"))?;
    let mib = |name: &str| -> anyhow::Result<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next());
        Ok(kib.context("a process without memory")?.parse::<f64>()? / 1024.0)
    };
    Ok(Memory {
        rss: mib("Rss:")?,
        pss: mib("Pss:")?,
    })
}
