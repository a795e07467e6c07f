//! Each interface that the engine offers has a guest program that says so in its first lines, and what a guest program says
//! it uses is offered.
//!
//! What is offered stands in two places: the world `spin-imports` of `wit/world.wit`, which the engine's bindings are made
//! from, and the list `PROVIDED` of `crates/engine/src/imports.rs`, which has what WASI itself adds.

use super::{Fault, TextFile};

const WORLD: &str = "wit/world.wit";
const PROVIDED: &str = "crates/engine/src/imports.rs";
const GUESTS: &str = "tests/guests/";
/// What every program uses, whether it says so or not.
const USED_BY_ALL: [&str; 7] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:http/handler@",
    "wasi:http/types@0.2",
    "wasi:http/types@0.3",
    "wasi:io/",
    "wasi:random/",
];
/// The versions of WASI that are offered where `PROVIDED` names none.
const WASI: [&str; 2] = ["0.2", "0.3"];

pub(super) fn check(files: &[TextFile]) -> Vec<Fault> {
    let find = |path: &str| files.iter().find(|file| file.path == path);
    let (Some(world), Some(provided)) = (find(WORLD), find(PROVIDED)) else {
        return vec![];
    };
    let named: Vec<(&TextFile, usize, Interface<'_>)> = files
        .iter()
        .filter(|file| file.path.starts_with(GUESTS) && file.is_rust())
        .flat_map(named_by)
        .collect();
    let offered: Vec<(&TextFile, usize, Interface<'_>)> = of_world(world)
        .map(|(line, interface)| (world, line, interface))
        .chain(of_list(provided).map(|(line, interface)| (provided, line, interface)))
        .collect();
    let mut faults = vec![];
    for (file, line, interface) in &offered {
        if !named.iter().any(|(_, _, named)| named.tries(interface)) {
            let message = format!("no program in {GUESTS} names `{interface}` in its first lines");
            faults.push(file.fault(*line, message));
        }
    }
    for (file, line, interface) in &named {
        if !(offered.iter()).any(|(_, _, offered)| interface.is_served_by(offered)) {
            let message = format!("`{interface}` is offered neither by {WORLD} nor by {PROVIDED}");
            faults.push(file.fault(*line, message));
        }
    }
    faults
}

/// `<package>[/<name>]@<version>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interface<'a> {
    package: &'a str,
    /// Empty for all of a package.
    name: &'a str,
    version: &'a str,
}

impl<'a> Interface<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (path, version) = text.split_once('@')?;
        let (package, name) = path.split_once('/').unwrap_or((path, ""));
        let is_version = version.starts_with(|first: char| first.is_ascii_digit());
        (package.contains(':') && is_version).then_some(Self {
            package,
            name,
            version,
        })
    }

    fn is_of(&self, other: &Self) -> bool {
        let is_same = self.name == other.name;
        self.package == other.package && (is_same || self.name.is_empty() || other.name.is_empty())
    }

    /// A program that names this tries `offered`: `3.1` is tried by what names `3.1`, not by what names `3.0`.
    fn tries(&self, offered: &Self) -> bool {
        let version = offered.version.strip_prefix(self.version);
        self.is_of(offered) && version.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// A version is served by a later one that is compatible.
    fn is_served_by(&self, offered: &Self) -> bool {
        self.is_of(offered) && self.compatible() == offered.compatible()
    }

    /// The part of the version that has to be the same.
    fn compatible(&self) -> (&str, &str) {
        let mut parts = self.version.split('.');
        let (major, minor) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        if major == "0" {
            (major, minor)
        } else {
            (major, "")
        }
    }
}

impl std::fmt::Display for Interface<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let slash = if self.name.is_empty() { "" } else { "/" };
        write!(f, "{}{slash}{}@{}", self.package, self.name, self.version)
    }
}

/// What the first lines of a program name between backticks.
fn named_by(file: &TextFile) -> impl Iterator<Item = (&TextFile, usize, Interface<'_>)> {
    file.lines()
        .take_while(|(_, line)| line.starts_with("//!"))
        .flat_map(move |(number, line)| {
            let quoted = line.split('`').skip(1).step_by(2);
            quoted.filter_map(move |text| Some((file, number, Interface::parse(text)?)))
        })
}

/// The imports of the world that the bindings are made from.
fn of_world(world: &TextFile) -> impl Iterator<Item = (usize, Interface<'_>)> {
    world
        .lines()
        .skip_while(|(_, line)| !line.starts_with("world spin-imports"))
        .take_while(|(_, line)| !line.starts_with('}'))
        .filter_map(|(number, line)| {
            let import = line.trim().strip_prefix("import ")?.strip_suffix(';')?;
            Some((number, Interface::parse(import)?))
        })
}

/// What WASI adds that not every program uses. (What else is in the list is in the world too.)
fn of_list(list: &TextFile) -> impl Iterator<Item = (usize, Interface<'_>)> {
    list.lines()
        .skip_while(|(_, line)| !line.starts_with("const PROVIDED"))
        .take_while(|(_, line)| !line.starts_with("];"))
        .filter_map(|(number, line)| Some((number, line.split('"').nth(1)?)))
        .filter(|(_, name)| name.starts_with("wasi:"))
        .filter(|(_, name)| !USED_BY_ALL.iter().any(|used| name.starts_with(used)))
        .filter(|(_, name)| !name.contains("draft") && !name.starts_with("wasi:keyvalue/"))
        .flat_map(|(number, name)| {
            let (path, version) = name.split_once('@').unwrap_or((name, ""));
            let (package, name) = path.split_once('/').unwrap_or((path, ""));
            let version = version.trim_end_matches('.');
            let versions = WASI
                .into_iter()
                .filter(move |wasi| version.is_empty() || *wasi == version);
            versions.map(move |version| {
                let interface = Interface {
                    package,
                    name,
                    version,
                };
                (number, interface)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn checkout(guests: &[&str]) -> Vec<TextFile> {
        let world = "world other {\n  import a:b/c@1.0.0;\n}\nworld spin-imports {\n  \
                     import spin:sqlite/sqlite@3.1.0;\n  import wasi:keyvalue/store@0.2.0-draft2;\n}\n";
        let provided = "const PROVIDED: &[&str] = &[\n    \"wasi:cli/\",\n    \"wasi:filesystem/\",\n    \
                        \"wasi:http/client@0.3.\",\n    \"spin:sqlite/sqlite@3.\",\n];\n";
        let mut files = vec![file(WORLD, world), file(PROVIDED, provided)];
        for (number, text) in guests.iter().enumerate() {
            files.push(file(&format!("{GUESTS}{number}.rs"), text));
        }
        files
    }

    const ALL: [&str; 5] = [
        "//! `spin:sqlite@3.1`: reads.\n",
        "//! `wasi:keyvalue@0.2.0-draft2`: reads.\n",
        "//! `wasi:filesystem@0.2`: reads.\n",
        "//! `wasi:filesystem@0.3`: reads.\n",
        "//! `wasi:http/client@0.3`: fetches.\n",
    ];

    #[test]
    fn what_is_offered_has_a_program() {
        assert_eq!(check(&checkout(&ALL)), []);
        for left_out in ALL {
            let guests: Vec<_> = ALL.into_iter().filter(|guest| *guest != left_out).collect();
            let told = check(&checkout(&guests));
            assert_eq!(told.len(), 1, "{left_out} {told:?}");
        }
    }

    #[test]
    fn another_version_of_it_is_another_interface() {
        let mut guests = ALL;
        guests[0] = "//! `spin:sqlite@3.0`: reads.\n";
        let told = check(&checkout(&guests));
        assert_eq!(told.len(), 1, "3.0 is served, and 3.1 is not tried");
        assert!(told[0].message.contains("spin:sqlite/sqlite@3.1.0"));
    }

    #[test]
    fn what_a_program_names_is_offered() {
        let more = [
            "//! `spin:redis@2.0`: reads.\n",
            "//! `spin:sqlite@4.0`: reads.\n",
        ];
        let told = check(&checkout(&[&ALL[..], &more].concat()));
        assert_eq!(told.len(), 2, "{told:?}");
        let code = "//! Reads.\nconst NAME: &str = \"`spin:redis@2.0`\";\n";
        assert_eq!(check(&checkout(&[&ALL[..], &[code]].concat())), []);
    }
}
