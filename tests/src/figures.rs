//! What a test measured: cargo shows nothing of what a test prints that passes, so it is written where `cargo xtask test`
//! looks.

use crate::platform::repository_root;

/// Leaves a test's figures, a line each.
///
/// # Panics
/// When `target/` is not writable.
pub fn tell(name: &str, lines: &str) {
    let folder = repository_root().join("target/figures");
    std::fs::create_dir_all(&folder).expect("target/ is writable");
    std::fs::write(folder.join(format!("{name}.txt")), lines).expect("target/ is writable");
}
