//! Words that do not stand in a commit: unfinished marks, paths of one machine, hosts of package registries.

use super::{Fault, TextFile};

/// In pieces, so that this file has none of them.
const MARKS: [(&str, &str); 6] = [
    ("todo", "!("),
    ("unimplemented", "!("),
    ("dbg", "!("),
    ("TO", "DO"),
    ("FIX", "ME"),
    ("#[ign", "ore"),
];

const HOSTS: [(&str, &str); 5] = [
    ("deb.debian", ".org"),
    ("registry.", "npmjs.org"),
    ("index.crates", ".io"),
    ("files.", "pythonhosted.org"),
    ("proxy.", "golang.org"),
];

const PATHS: [(&str, &str); 3] = [("/wo", "rk/"), ("/ro", "ot/"), ("/fa", "rm/")];

pub(super) fn check(files: &[TextFile]) -> Vec<Fault> {
    let mut faults = vec![];
    for file in files {
        if file.is_rust() {
            faults.extend(search(
                file,
                &MARKS,
                "finish it, or say in the README that it is not there",
            ));
        }
        // A lock file names the registry it was resolved with; Cargo wants it so.
        if !file.path.ends_with("Cargo.lock") {
            faults.extend(search(
                file,
                &HOSTS,
                "no registry's host is written down here",
            ));
            faults.extend(search(file, &PATHS, "a path of one machine"));
        }
    }
    faults
}

fn search(file: &TextFile, words: &[(&str, &str)], message: &str) -> Vec<Fault> {
    let words: Vec<String> = words
        .iter()
        .map(|(first, rest)| format!("{first}{rest}"))
        .collect();
    file.lines()
        .flat_map(|(number, line)| {
            words
                .iter()
                .filter(move |word| contains_word(line, word))
                .map(move |word| file.fault(number, format!("{word}: {message}")))
        })
        .collect()
}

/// Whether the word stands there, rather than the end of a longer one.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn joined((first, rest): (&str, &str)) -> String {
        format!("{first}{rest}")
    }

    #[test]
    fn every_mark_host_and_path_is_found() {
        for word in MARKS.into_iter().chain(HOSTS).chain(PATHS).map(joined) {
            assert_eq!(
                check(&[file("a.rs", &format!("x {word} y"))]).len(),
                1,
                "{word}"
            );
        }
    }

    #[test]
    fn marks_are_looked_for_in_code_and_hosts_everywhere_but_in_lock_files() {
        let mark = joined(MARKS[3]);
        assert!(check(&[file("README.md", &mark)]).is_empty());
        let host = joined(HOSTS[0]);
        assert_eq!(check(&[file("README.md", &host)]).len(), 1);
        assert!(check(&[file("examples/a/Cargo.lock", &host)]).is_empty());
    }

    #[test]
    fn a_longer_word_is_another_word() {
        let longer = format!("my{}", joined(MARKS[0]));
        assert!(check(&[file("a.rs", &longer)]).is_empty());
    }
}
