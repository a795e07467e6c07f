//! What `cargo xtask fuzz` begins with (`fuzz/corpus`), run as an ordinary test: no nightly compiler, no minutes.
//!
//! A dev-dependency of the crates that have something to fuzz; their `fuzzing` modules say what must hold.

use std::fs;
use std::path::{Path, PathBuf};

/// Pieces of one input that are tried too, each shorter than the last: a parser meets its end everywhere.
const PIECES: usize = 64;

/// Runs `target` on every file of its corpus, and on beginnings of them.
///
/// # Panics
/// When `target` does, with the input's name; and when there is no corpus.
pub fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("the corpus can be read").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    for file in files {
        let input = fs::read(&file).expect("the corpus can be read");
        let named = Named(&file);
        run(&input);
        let step = input.len().div_ceil(PIECES).max(1);
        for end in (0..input.len()).step_by(step) {
            run(&input[..end]);
        }
        drop(named);
    }
}

/// Says which input it was when the test fails.
struct Named<'a>(&'a Path);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failed test shows what it was given")]
            {
                eprintln!("the input was {} or the beginning of it", self.0.display());
            }
        }
    }
}
