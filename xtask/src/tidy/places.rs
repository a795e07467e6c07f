//! Things that must have a counterpart: examples are explained, guests are built, guest programs are tested, and each
//! component's routes are tried by strangers.

use std::collections::BTreeSet;

use super::{Fault, TextFile};
use crate::build::GUESTS;

pub(super) fn check(files: &[TextFile]) -> Vec<Fault> {
    let mut faults = examples(files);
    faults.extend(components(files));
    faults.extend(guest_programs(files));
    faults.extend(strangers(files));
    faults
}

/// Each example has a page of its own that says what it shows, and how to deploy it.
fn examples(files: &[TextFile]) -> Vec<Fault> {
    let mut faults = vec![];
    for file in files.iter().filter(|file| is_example(&file.path)) {
        let Some((folder, _)) = file.path.rsplit_once('/') else {
            continue;
        };
        let page = find(files, &format!("{folder}/README.md"));
        match page {
            None => faults.push(file.fault(0, "an example has a README.md beside it")),
            Some(page) if !page.text.starts_with("# ") || !page.text.contains("nokube deploy") => {
                faults.push(page.fault(
                    0,
                    "says under a title what it shows and how `nokube deploy` is told",
                ));
            }
            Some(_) => {}
        }
    }
    faults
}

/// What is deployable: a manifest, or the first page of a site without one.
fn is_example(path: &str) -> bool {
    let Some(below) = path.strip_prefix("examples/") else {
        return false;
    };
    below.ends_with("/spin.toml")
        || (below.ends_with("/index.html") && below.matches('/').count() == 1)
}

/// Each component is in the list of what is built, and has a document's line.
fn components(files: &[TextFile]) -> Vec<Fault> {
    let map = find(files, "docs/ARCHITECTURE.md");
    files
        .iter()
        .filter_map(|file| {
            let name = file
                .path
                .strip_prefix("components/")?
                .strip_suffix("/Cargo.toml")?;
            if !GUESTS.contains(&name) {
                return Some(file.fault(0, "is not built: xtask/src/build.rs lists the guests"));
            }
            let described = map.is_some_and(|map| map.text.contains(name));
            (!described).then(|| file.fault(0, "docs/ARCHITECTURE.md does not mention it"))
        })
        .collect()
}

/// A guest program that no test names tests nothing.
fn guest_programs(files: &[TextFile]) -> Vec<Fault> {
    let programs: BTreeSet<(&str, &str)> = files
        .iter()
        .filter_map(|file| guest_program(&file.path))
        .collect();
    let tests: Vec<&TextFile> = files
        .iter()
        .filter(|file| file.is_rust() && is_test(&file.path))
        .collect();
    programs
        .into_iter()
        .filter(|(program, _)| {
            let (text, path) = (format!("\"{program}\""), format!("guests/{program}\""));
            let names = |file: &&TextFile| file.text.contains(&text) || file.text.contains(&path);
            !tests.iter().any(names)
        })
        .map(|(_, place)| Fault {
            path: place.to_owned(),
            line: 0,
            message: "no test uses this guest program".to_owned(),
        })
        .collect()
}

/// Each component has a cross-tenant test that goes through its own route table, so that a new route is not left out.
fn strangers(files: &[TextFile]) -> Vec<Fault> {
    files
        .iter()
        .filter_map(|file| {
            let name = file
                .path
                .strip_prefix("components/")?
                .strip_suffix("/src/lib.rs")?;
            let tests = format!("components/{name}/src/tests/strangers.rs");
            let goes_through_routes =
                find(files, &tests).is_some_and(|tests| tests.text.contains("COMPONENT.routes"));
            (!goes_through_routes).then(|| {
                let message =
                    format!("{tests} has no cross-tenant test that goes through COMPONENT.routes");
                file.fault(0, message)
            })
        })
        .collect()
}

/// The program that a file belongs to, and its place: a package, or one of the programs of a workspace.
fn guest_program(path: &str) -> Option<(&str, &str)> {
    let folders = path.strip_prefix("tests/guests/")?;
    if let Some((_, program)) = folders.split_once("/src/bin/") {
        return Some((program.strip_suffix(".rs")?, path));
    }
    let (package, file) = folders.split_once('/')?;
    let place = &path[..path.len() - file.len() - 1];
    (file == "src/lib.rs").then_some((package, place))
}

fn is_test(path: &str) -> bool {
    path.starts_with("crates/engine/tests/")
        || (path.starts_with("tests/") && !path.starts_with("tests/guests/"))
}

fn find<'a>(files: &'a [TextFile], path: &str) -> Option<&'a TextFile> {
    files.iter().find(|file| file.path == path)
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    #[test]
    fn an_example_is_explained() {
        let manifest = file("examples/hello/spin.toml", "");
        assert_eq!(check(std::slice::from_ref(&manifest)).len(), 1);
        let page = file(
            "examples/hello/README.md",
            "# Hello\n\n    nokube deploy .\n",
        );
        assert_eq!(check(&[manifest.clone(), page]), []);
        let page = file("examples/hello/README.md", "hello\n");
        assert_eq!(check(&[manifest, page]).len(), 1);
    }

    #[test]
    fn a_site_is_an_example_and_its_pages_are_not() {
        assert!(is_example("examples/site/index.html"));
        assert!(!is_example("examples/site/about/index.html"));
    }

    #[test]
    fn a_component_is_built_and_described() {
        let map = file("docs/ARCHITECTURE.md", "auth");
        assert_eq!(
            check(&[map.clone(), file("components/auth/Cargo.toml", "")]),
            []
        );
        assert_eq!(
            check(&[map.clone(), file("components/meta/Cargo.toml", "")]).len(),
            1
        );
        assert_eq!(
            check(&[map, file("components/unheard-of/Cargo.toml", "")]).len(),
            1
        );
    }

    #[test]
    fn a_component_has_a_cross_tenant_test() {
        let component = file("components/auth/src/lib.rs", "");
        assert_eq!(check(std::slice::from_ref(&component)).len(), 1);
        let path = "components/auth/src/tests/strangers.rs";
        let tests = file(path, "for route in COMPONENT.routes {}");
        assert_eq!(check(&[component.clone(), tests]), []);
        assert_eq!(check(&[component, file(path, "")]).len(), 1);
    }

    #[test]
    fn a_guest_program_has_a_test() {
        let program = file("tests/guests/probe/src/lib.rs", "");
        assert_eq!(check(std::slice::from_ref(&program)).len(), 1);
        assert_eq!(
            check(&[program, file("tests/src/guests.rs", "\"probe\"")]),
            []
        );
    }

    #[test]
    fn each_program_of_a_workspace_has_a_test() {
        let place = "tests/guests/worlds/wasi03/src/bin/wasi03_trap.rs";
        let files = [
            file(place, ""),
            file("tests/guests/worlds/Cargo.toml", ""),
            file("tests/guests/worlds/wasi03/src/lib.rs", "\"wasi03_trap\""),
        ];
        let told = check(&files);
        assert_eq!((told.len(), told[0].path.as_str()), (1, place));
        let test = |text| file("crates/engine/tests/engine/worlds.rs", text);
        assert_eq!(
            check(&[&files[..], &[test("\"wasi03_trap\"")]].concat()),
            []
        );
        assert_eq!(
            check(&[&files[..], &[test("\"wasi03_trap_2\"")]].concat()).len(),
            1
        );
    }
}
