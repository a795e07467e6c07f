//! The one unsafe step of the engine: running native code from a file.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use wasmtime::component::Component;

/// Maps a compiled component. Pages are read when they are used, and shared with other processes that map it.
///
/// The engine checks that the file was made by the same version of wasmtime with the same settings, but
/// believes its code. So the file must have been made by [`crate::Engine::compile`] and kept where nobody else
/// can write. A file that others can write, or that belongs to neither this user nor root, is refused.
#[expect(
    unsafe_code,
    reason = "mapping native code is what makes a cold start take microseconds; only the operator's own cache folder (0700) is read"
)]
pub(crate) fn map(engine: &wasmtime::Engine, path: &Path) -> wasmtime::Result<Component> {
    let metadata = std::fs::metadata(path)?;
    let ours = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    // 0o022: writable by the group or by everybody.
    if !ours || metadata.mode() & 0o022 != 0 {
        wasmtime::bail!(
            "{} could have been written by somebody else",
            path.display()
        );
    }
    // SAFETY: the caller's configuration names files of the cache folder, which is 0700 and filled by this
    // program alone; see the function's documentation.
    unsafe { Component::deserialize_file(engine, path) }
}
