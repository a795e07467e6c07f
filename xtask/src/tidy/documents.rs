//! Links between documents lead somewhere.

use std::collections::BTreeSet;

use super::{Fault, TextFile};

pub(super) fn check(files: &[TextFile]) -> Vec<Fault> {
    let places = places(files);
    files
        .iter()
        .filter(|file| file.path.ends_with(".md"))
        .flat_map(|file| {
            let places = &places;
            file.lines().flat_map(move |(number, line)| {
                links(line)
                    .filter(move |link| !leads_somewhere(&file.path, link, places))
                    .map(move |link| file.fault(number, format!("nothing is at {link}")))
            })
        })
        .collect()
}

/// Files, and the folders they are in.
fn places(files: &[TextFile]) -> BTreeSet<&str> {
    let mut places = BTreeSet::new();
    for file in files {
        places.insert(file.path.as_str());
        places.extend(file.path.match_indices('/').map(|(at, _)| &file.path[..at]));
    }
    places
}

/// The targets of `[…](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
}

fn leads_somewhere(from: &str, link: &str, places: &BTreeSet<&str>) -> bool {
    let path = link.split('#').next().unwrap_or_default();
    // Addresses elsewhere, and sections of the same page.
    if path.is_empty() || path.contains(':') {
        return true;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." if parts.pop().is_none() => return false,
            ".." => {}
            part => parts.push(part),
        }
    }
    parts.is_empty() || places.contains(parts.join("/").as_str())
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn a_link_to_nothing_is_a_fault() {
        let page = |link: &str| file("docs/a.md", &format!("see [it]({link}) and more"));
        let other = file("crates/x/lib.rs", "");
        for link in [
            "../crates/x/lib.rs",
            "../crates/",
            "#part",
            "https://example.org/x",
            "a.md#part",
            "../",
        ] {
            assert_eq!(check(&[page(link), other.clone()]), [], "{link}");
        }
        for link in ["b.md", "../../x", "../crates/y"] {
            assert_eq!(check(&[page(link), other.clone()]).len(), 1, "{link}");
        }
    }
}
