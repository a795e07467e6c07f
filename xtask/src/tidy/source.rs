//! How Rust files are: they say what they are, are not too long, and neither `unsafe` nor a shell appears unannounced.

use super::{Fault, TextFile};

/// Longer files are asked to be taken apart.
const MAX_LINES: usize = 600;

/// A component's `lib.rs` is its table of routes and its entry; what is done stands elsewhere.
const MAX_COMPONENT_LINES: usize = 100;

/// Where `unsafe` is needed, and for what.
const UNSAFE_FILES: &[(&str, &str)] = &[
    ("components/auth/src/lib.rs", "exported function"),
    ("components/builds/src/lib.rs", "exported function"),
    ("components/deploy/src/lib.rs", "exported function"),
    ("components/events/src/lib.rs", "exported function"),
    ("components/meta/src/lib.rs", "exported function"),
    ("components/projects/src/lib.rs", "exported function"),
    (
        "crates/cluster/src/memory.rs",
        "the allocator is the C library's",
    ),
    (
        "crates/engine/src/host/sqlite/heap.rs",
        "SQLite is a C library",
    ),
    (
        "crates/engine/src/module.rs",
        "compiled modules are native code",
    ),
    ("crates/fileserver/src/entry.rs", "exported function"),
    ("crates/runner/src/process.rs", "between fork and exec"),
    (
        "crates/runner/src/sandbox/cgroup.rs",
        "between fork and exec",
    ),
    ("crates/runner/src/sandbox/init.rs", "user ids"),
    (
        "crates/syscalls/src/tests.rs",
        "system calls that are to be refused",
    ),
];

/// The build commands of a tenant's `spin.toml` are the one thing a shell reads, inside the build sandbox; and what stands in
/// for them in tests.
const SHELL_FILES: &[&str] = &[
    "crates/runner/src/build.rs",
    "crates/runner/src/process/tests.rs",
];

const SHELLS: [&str; 5] = ["sh", "bash", "dash", "/bin/sh", "/bin/bash"];

pub(super) fn check(files: &[TextFile]) -> Vec<Fault> {
    let rust = || files.iter().filter(|file| file.is_rust());
    let mut faults: Vec<Fault> = rust().filter_map(module_document).collect();
    faults.extend(rust().filter_map(length));
    faults.extend(rust().flat_map(unannounced));
    faults.extend(rust().flat_map(shells));
    faults
}

fn module_document(file: &TextFile) -> Option<Fault> {
    let described = file.text.lines().next().is_some_and(|line| {
        line.strip_prefix("//! ")
            .is_some_and(|words| !words.trim().is_empty())
    });
    (!described).then(|| file.fault(1, "a module opens with //! and what it is for"))
}

fn length(file: &TextFile) -> Option<Fault> {
    let lines = file.text.lines().count();
    let is_component = file.path.starts_with("components/") && file.path.ends_with("/src/lib.rs");
    let limit = if is_component {
        MAX_COMPONENT_LINES
    } else {
        MAX_LINES
    };
    (lines > limit).then(|| {
        file.fault(
            0,
            format!("{lines} lines; above {limit} a reader loses the way"),
        )
    })
}

/// The lint `unsafe_code` is denied everywhere; only the files listed may lift it.
fn unannounced(file: &TextFile) -> Vec<Fault> {
    if UNSAFE_FILES.iter().any(|(path, _)| *path == file.path) || file.path.starts_with("examples/")
    {
        return vec![];
    }
    file.lines()
        .filter(|(_, line)| {
            code(line)
                .split(|letter: char| !is_word(letter))
                .any(|word| word == "unsafe" || word == "unsafe_code")
        })
        .filter(|(_, line)| !line.contains('"'))
        .map(|(number, _)| {
            file.fault(
                number,
                "unsafe needs a place in the list of xtask/src/tidy/source.rs",
            )
        })
        .collect()
}

fn shells(file: &TextFile) -> Vec<Fault> {
    if SHELL_FILES.contains(&file.path.as_str()) {
        return vec![];
    }
    file.lines()
        .filter(|(_, line)| {
            SHELLS.iter().any(|shell| {
                let word = format!("\"{shell}\"");
                code(line).contains(&format!("new({word}"))
                    || (code(line).contains(&word) && line.contains("\"-c\""))
            })
        })
        .map(|(number, _)| {
            file.fault(
                number,
                "programs are started with a list of arguments, not through a shell",
            )
        })
        .collect()
}

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn faults(path: &str, text: &str) -> usize {
        check(&[file(path, text)]).len()
    }

    #[test]
    fn a_module_says_what_it_is_for() {
        assert_eq!(faults("a.rs", "//! What it is for.\n"), 0);
        assert_eq!(faults("a.rs", "fn main() {}\n"), 1);
        assert_eq!(faults("a.rs", "//!\n"), 1);
        assert_eq!(faults("a.rs", ""), 1);
    }

    #[test]
    fn a_long_file_is_a_fault() {
        let text = format!("//! Long.\n{}", "\n".repeat(MAX_LINES));
        assert_eq!(faults("a.rs", &text), 1);
        let text = format!("//! A component.\n{}", "\n".repeat(MAX_COMPONENT_LINES));
        assert_eq!(faults("components/auth/src/lib.rs", &text), 1);
        assert_eq!(faults("components/auth/src/limits.rs", &text), 0);
    }

    #[test]
    fn unsafe_needs_a_place_in_the_list() {
        let text =
            "//! A.\nfn f() { unsafe { g() } }\n// unsafe in words\n#[expect(unsafe_code)]\n";
        assert_eq!(faults("a.rs", text), 2);
        assert_eq!(faults(UNSAFE_FILES[0].0, text), 0);
    }

    #[test]
    fn a_shell_is_a_fault() {
        let start = |shell: &str| format!("//! A.\nlet c = Command::new(\"{shell}\");\n");
        assert_eq!(faults("a.rs", &start("sh")), 1);
        assert_eq!(faults("a.rs", &start("/bin/bash")), 1);
        assert_eq!(faults("a.rs", &start("git")), 0);
        let list = format!("//! A.\nlet words = [\"{}\", \"-c\", line];\n", "bash");
        assert_eq!(faults("a.rs", &list), 1);
        assert_eq!(faults(SHELL_FILES[0], &list), 0);
    }
}
