//! How one engine is sized. One process has one engine; the platform's and the tenants' differ.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine;

/// Sizes of an engine that cannot change while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineOptions {
    /// Instances that may live at once, idle ones included. Each has an address range reserved,
    /// memory is used only for what it touches.
    pub max_instances: u32,
    /// Bytes of linear memory no application's limit may exceed.
    pub max_memory_bytes: u64,
    /// Bytes of linear memory that all instances may have grown to together. Half of the machine's by default: there
    /// are other programs, and the host has work of its own for each instance.
    pub total_memory_bytes: u64,
    /// Bytes of a slot's linear memory that stay resident when its instance ends: wiping them by hand is
    /// cheaper than giving them back to the kernel, and they cost memory while idle.
    pub keep_resident_bytes: u64,
    /// Slots that stay warm after use.
    pub warm_slots: u32,
    /// Ask the kernel which pages of a slot were written (`PAGEMAP_SCAN`, Linux 6.7 and later) and wipe only those.
    /// Needs `/proc/self/pagemap`; without it all of `keep_resident_bytes` is wiped.
    pub scan_pages: bool,
    /// Milliseconds between epochs: a computing guest makes way for others this often, and its CPU time
    /// is counted in this unit.
    pub tick_ms: u64,
    /// Guests that may compute at once after their first [`EngineOptions::burst_ms`]. One core fewer than the
    /// machine has by default, so that one is always free for short requests.
    pub heavy_slots: u32,
    /// Milliseconds a request may compute before it shares the heavy slots.
    pub burst_ms: u64,
    /// Threads for statements on databases and key-value stores. They exist while there is work for them.
    pub database_threads: u32,
    /// How many of them one application gets, unless it is trusted: a statement that can't be interrupted (SQLite asks
    /// between instructions, and one instruction may be long) holds its thread.
    pub database_threads_per_app: u32,
    /// Bytes of memory that SQLite may hold for one application, unless it is trusted: page caches, temporary tables,
    /// sorting.
    pub database_heap_bytes_per_app: u64,
    /// Bytes of a disk that databases leave free, unless their application is trusted. `None`: 1 GiB or 5 % of it,
    /// whichever is less.
    pub disk_reserve_bytes: Option<u64>,
    /// Threads for looking names up, which a server that does not answer holds for many seconds.
    pub name_threads: u32,
    /// How many of them one application gets, unless it is trusted.
    pub name_threads_per_app: u32,
    /// Connections to other machines that may be open, those that are kept for the next request among them.
    pub connections: u32,
    /// How many of them one application gets, unless it is trusted.
    pub connections_per_app: u32,
    /// How many steps (nice(2)) threads for databases and names stand back behind those that run guests.
    pub blocking_nice: i32,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        Self {
            max_instances: 256,
            // 1 GiB: above what a request-sized program needs, below what 32-bit memories can be.
            max_memory_bytes: 1 << 30,
            total_memory_bytes: machine::memory_bytes() / 2,
            keep_resident_bytes: 256 << 10,
            warm_slots: 16,
            scan_pages: true,
            tick_ms: 5,
            heavy_slots: cores.saturating_sub(1).max(1),
            burst_ms: 50,
            database_threads: 64,
            database_threads_per_app: 2,
            database_heap_bytes_per_app: 128 << 20,
            disk_reserve_bytes: None,
            name_threads: 32,
            name_threads_per_app: 2,
            connections: 1_024,
            connections_per_app: 128,
            blocking_nice: 5,
        }
    }
}

impl EngineOptions {
    /// For the platform's own components: few applications, instances reused.
    pub fn platform() -> Self {
        Self {
            max_instances: 128,
            warm_slots: 8,
            // One application, which waits for its own statements only.
            blocking_nice: 0,
            ..Self::default()
        }
    }

    /// For tenants: many applications, a fresh instance for each request.
    pub fn tenants() -> Self {
        Self::default()
    }

    /// The epoch's length.
    pub(crate) fn tick(&self) -> Duration {
        Duration::from_millis(self.tick_ms.max(1))
    }

    /// How many ticks `ms` are, at least one.
    pub(crate) fn ticks(&self, ms: u64) -> u64 {
        ms.div_ceil(self.tick_ms.max(1)).max(1)
    }
}
