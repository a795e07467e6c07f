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

/// `S::NOT_FOUND, "not-found", …` as (slug, status): the sidecar's way to write one.
fn named_problems_in(source: &str) -> Vec<(String, String)> {
    let status = |name: &str| match name {
        "BAD_REQUEST" => "400",
        "UNAUTHORIZED" => "401",
        "FORBIDDEN" => "403",
        "NOT_FOUND" => "404",
        "METHOD_NOT_ALLOWED" => "405",
        "REQUEST_TIMEOUT" => "408",
        "CONFLICT" => "409",
        "GONE" => "410",
        "PAYLOAD_TOO_LARGE" => "413",
        "UNPROCESSABLE_ENTITY" => "422",
        "INTERNAL_SERVER_ERROR" => "500",
        "SERVICE_UNAVAILABLE" => "503",
        other => panic!("the number of {other} belongs into this test"),
    };
    let mut found = Vec::new();
    for (at, _) in source.match_indices("S::") {
        let mut arguments = source[at + "S::".len()..].split(',').map(str::trim);
        let (Some(name), Some(slug)) = (arguments.next(), arguments.next()) else {
            continue;
        };
        let slug = slug
            .strip_prefix('"')
            .and_then(|slug| slug.strip_suffix('"'));
        if let Some(slug) = slug {
            found.push((slug.to_owned(), status(name).to_owned()));
        }
    }
    found
}

#[test]
fn every_problem_type_of_the_sidecar_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let document = fs::read_to_string(root.join("docs/PROBLEMS.md")).expect("the document");
    let source = root.join("crates/sidecar/src/http/problem.rs");
    let problems = named_problems_in(&fs::read_to_string(source).expect("a source file"));
    assert!(
        problems.len() > 10,
        "only {problems:?}: the search is broken"
    );
    for (slug, status) in problems {
        let row = format!("| `{slug}` | {status} |");
        assert!(document.contains(&row), "{row} is missing");
    }
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
