//! Dependencies that no line of a package uses: each costs compile time and is one more to trust.

use super::{Fault, TextFile};

const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Named in a manifest for another reason than being used by name.
const EXCEPTIONS: &[(&str, &str)] = &[];

pub(super) fn check(files: &[TextFile]) -> Vec<Fault> {
    files
        .iter()
        .filter_map(|file| Some((file, file.path.strip_suffix("Cargo.toml")?)))
        .filter(|(_, folder)| !folder.is_empty())
        .flat_map(|(manifest, folder)| check_package(manifest, folder, files))
        .collect()
}

/// `folder` ends in a slash.
fn check_package(manifest: &TextFile, folder: &str, files: &[TextFile]) -> Vec<Fault> {
    let Ok(table) = manifest.text.parse::<toml::Table>() else {
        return vec![manifest.fault(0, "not TOML")];
    };
    let sources: Vec<&TextFile> = files
        .iter()
        .filter(|file| file.is_rust() && belongs_to(file, folder, files))
        .collect();
    TABLES
        .iter()
        .filter_map(|name| table.get(*name)?.as_table())
        .flat_map(toml::Table::keys)
        .filter(|name| !EXCEPTIONS.contains(&(folder, name.as_str())))
        .filter(|name| {
            let word = name.replace('-', "_");
            !sources.iter().any(|source| names(&source.text, &word))
        })
        .map(|name| {
            let line = manifest
                .lines()
                .find(|(_, line)| line.starts_with(name.as_str()))
                .map_or(0, |(number, _)| number);
            manifest.fault(line, format!("{name} is used nowhere in {folder}"))
        })
        .collect()
}

/// Whether a file is part of the package in `folder`, and not of one further below.
fn belongs_to(file: &TextFile, folder: &str, files: &[TextFile]) -> bool {
    let Some(below) = file.path.strip_prefix(folder) else {
        return false;
    };
    !below.match_indices('/').any(|(at, _)| {
        let nearer = format!("{folder}{}/Cargo.toml", &below[..at]);
        files.iter().any(|file| file.path == nearer)
    })
}

/// Whether a word stands in a text by itself.
fn names(text: &str, word: &str) -> bool {
    let part_of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(part_of_word) && !text[at + word.len()..].starts_with(part_of_word)
    })
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn a_dependency_that_nothing_names_is_a_fault() {
        let manifest = file(
            "crates/a/Cargo.toml",
            "[dependencies]\nserde-json = \"1\"\n",
        );
        let source = |text: &str| file("crates/a/src/lib.rs", text);
        assert_eq!(
            check(&[manifest.clone(), source("use serde_json::Value;")]),
            []
        );
        let faults = check(&[manifest.clone(), source("use serde_json_lines::Value;")]);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].line, 2);
    }

    #[test]
    fn a_package_further_below_uses_its_own() {
        let outer = file("tests/Cargo.toml", "[dependencies]\nhttp = \"1\"\n");
        let inner = file("tests/bench/Cargo.toml", "");
        let source = file("tests/bench/src/main.rs", "use http::Request;");
        assert_eq!(check(&[outer, inner, source]).len(), 1);
    }
}
