//! Every problem type that a component can answer is in `docs/PROBLEMS.md`, with its status.

use std::fs;
use std::path::{Path, PathBuf};

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// `new(404, "not-found", …` as (slug, status), however it is broken into lines.
fn problems_in(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (at, _) in source.match_indices("new(") {
        let mut arguments = source[at + "new(".len()..].split(',').map(str::trim);
        let (Some(status), Some(slug)) = (arguments.next(), arguments.next()) else {
            continue;
        };
        let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
        let slug = slug
            .strip_prefix('"')
            .and_then(|slug| slug.strip_suffix('"'));
        if let (true, Some(slug)) = (is_status, slug) {
            found.push((slug.to_owned(), status.to_owned()));
        }
    }
    found
}

#[test]
fn every_problem_type_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let document = fs::read_to_string(root.join("docs/PROBLEMS.md")).expect("the document");
    let mut files = Vec::new();
    rust_files(&root.join("components"), &mut files);
    rust_files(&root.join("crates/guest/src"), &mut files);
    let mut number = 0;
    for file in files {
        let source = fs::read_to_string(&file).expect("a source file");
        for (slug, status) in problems_in(&source) {
            let row = format!("| `{slug}` | {status} |");
            assert!(
                document.contains(&row),
                "{row} of {} is missing",
                file.display()
            );
            number += 1;
        }
    }
    assert!(
        number > 20,
        "only {number} problems were found: the search is broken"
    );
}
