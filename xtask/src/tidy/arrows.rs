//! Which package may depend on which: the arrows of the architecture, one way only.

use super::{Fault, TextFile};

/// What each package may use of ours, apart from tests. A package not listed may use nothing.
///
/// To draw a new arrow is a decision; it belongs into `docs/ARCHITECTURE.md` as well.
const ARROWS: &[(&str, &[&str])] = &[
    ("crates/api", &["nokube-domain"]),
    ("crates/artifact", &["nokube-faults", "nokube-spinapp"]),
    (
        "crates/cli",
        &[
            // For `nokube admin`.
            "auth",
            "nokube-api",
            "nokube-artifact",
            "nokube-domain",
            "nokube-engine",
            "nokube-faults",
            "nokube-guest",
            "nokube-keys",
            "nokube-runner",
            "nokube-sidecar",
            "nokube-spinapp",
            "nokube-syscalls",
        ],
    ),
    (
        "crates/cluster",
        &[
            "nokube-api",
            "nokube-artifact",
            "nokube-domain",
            "nokube-faults",
            "nokube-keys",
            "nokube-manifests",
            "nokube-sidecar",
            "nokube-spinapp",
        ],
    ),
    ("crates/contract", &["nokube-api"]),
    ("crates/engine", &["nokube-faults", "nokube-spinapp"]),
    (
        "crates/guest",
        &["nokube-api", "nokube-contract", "nokube-domain"],
    ),
    ("crates/keys", &["nokube-domain"]),
    (
        "crates/manifests",
        &["nokube-api", "nokube-domain", "nokube-keys"],
    ),
    (
        "crates/runner",
        &[
            "nokube-api",
            "nokube-artifact",
            "nokube-domain",
            "nokube-faults",
            "nokube-spinapp",
            "nokube-syscalls",
        ],
    ),
    (
        "crates/sidecar",
        &[
            "nokube-api",
            "nokube-artifact",
            "nokube-domain",
            "nokube-faults",
            "nokube-keys",
            "nokube-manifests",
        ],
    ),
    ("components/auth", COMPONENT),
    ("components/builds", COMPONENT),
    ("components/deploy", COMPONENT),
    ("components/events", COMPONENT),
    ("components/meta", COMPONENT),
    ("components/projects", COMPONENT),
];

const COMPONENT: &[&str] = &["nokube-api", "nokube-domain", "nokube-guest", "nokube-keys"];

/// What must not come in even from outside: domain code does nothing, the sidecar and the runner hold no engine, and
/// a guest asks its host.
const FOREIGN: &[(&str, &[&str])] = &[
    (
        "crates/cluster",
        &[
            "wasmtime",
            "wasmtime-wasi",
            "wasmtime-wasi-http",
            "rusqlite",
        ],
    ),
    (
        "crates/domain",
        &[
            "tokio",
            "reqwest",
            "spin-sdk",
            "rusqlite",
            "getrandom",
            "serde",
        ],
    ),
    ("crates/api", &["tokio", "reqwest", "spin-sdk", "rusqlite"]),
    (
        "crates/manifests",
        &["tokio", "reqwest", "kube", "rusqlite", "getrandom"],
    ),
    (
        "crates/sidecar",
        &[
            "kube",
            "wasmtime",
            "wasmtime-wasi",
            "wasmtime-wasi-http",
            "rusqlite",
        ],
    ),
    (
        "crates/runner",
        &[
            "wasmtime",
            "wasmtime-wasi",
            "wasmtime-wasi-http",
            "rusqlite",
        ],
    ),
    ("crates/guest", &["tokio", "reqwest", "wasmtime"]),
];

pub(super) fn check(files: &[TextFile]) -> Vec<Fault> {
    files
        .iter()
        .filter_map(|file| Some((file, file.path.strip_suffix("/Cargo.toml")?)))
        .filter(|(_, package)| is_ours(package))
        .flat_map(|(file, package)| check_package(file, package))
        .collect()
}

/// Examples and guests for tests are projects of their own; tests may look at everything.
fn is_ours(package: &str) -> bool {
    package == "xtask" || package.starts_with("crates/") || package.starts_with("components/")
}

/// Crates have the project's name before theirs; components are called what they do.
fn is_name_of_ours(name: &str) -> bool {
    name.starts_with("nokube-")
        || ARROWS
            .iter()
            .any(|(package, _)| package.strip_prefix("components/") == Some(name))
}

fn check_package(file: &TextFile, package: &str) -> Vec<Fault> {
    let manifest: toml::Table = match file.text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![file.fault(0, format!("not TOML: {}", error.message()))],
    };
    let allowed = lookup(ARROWS, package);
    let foreign = lookup(FOREIGN, package);
    dependencies(&manifest)
        .filter_map(|name| {
            let reason = if is_name_of_ours(name) && !allowed.contains(&name) {
                "this arrow does not exist (xtask/src/tidy/arrows.rs)"
            } else if foreign.contains(&name) {
                "this package must do without it (xtask/src/tidy/arrows.rs)"
            } else {
                return None;
            };
            let line = file
                .lines()
                .find(|(_, line)| line.starts_with(name))
                .map_or(0, |(number, _)| number);
            Some(file.fault(line, format!("{package} → {name}: {reason}")))
        })
        .collect()
}

fn lookup(table: &'static [(&str, &'static [&str])], package: &str) -> &'static [&'static str] {
    table
        .iter()
        .find(|(name, _)| *name == package)
        .map_or(&[], |(_, names)| names)
}

/// Dependencies of the program itself and of its build script, also those of some targets only; not those of tests.
fn dependencies(manifest: &toml::Table) -> impl Iterator<Item = &str> {
    let targets = manifest
        .get("target")
        .and_then(toml::Value::as_table)
        .into_iter()
        .flat_map(toml::Table::values)
        .filter_map(toml::Value::as_table);
    std::iter::once(manifest)
        .chain(targets)
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|key| table.get(key)))
        .flatten()
        .filter_map(toml::Value::as_table)
        .flat_map(toml::Table::keys)
        .map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&[file(path, text)])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn an_arrow_that_does_not_exist_is_a_fault() {
        let text =
            "[package]\nname = \"nokube-domain\"\n[dependencies]\nnokube-api.workspace = true\n";
        assert_eq!(
            messages("crates/domain/Cargo.toml", text),
            [
                "crates/domain/Cargo.toml:4: crates/domain → nokube-api: this arrow does not exist (xtask/src/tidy/arrows.rs)"
            ]
        );
        assert!(
            messages(
                "crates/api/Cargo.toml",
                "[dependencies]\nnokube-domain.workspace = true\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_component_is_used_by_the_program_that_mends_accounts_alone() {
        let text = "[dependencies]\nauth.workspace = true\n";
        assert!(messages("crates/cli/Cargo.toml", text).is_empty());
        for path in ["crates/domain/Cargo.toml", "components/builds/Cargo.toml"] {
            assert_eq!(messages(path, text).len(), 1, "{path}");
        }
        let text = "[dependencies]\nbuilds.workspace = true\n";
        assert_eq!(messages("crates/cli/Cargo.toml", text).len(), 1);
    }

    #[test]
    fn arrows_of_some_targets_only_are_seen_and_those_of_tests_are_not() {
        let text = "[target.'cfg(unix)'.dependencies]\nnokube-cli = \"1\"\n[dev-dependencies]\nnokube-engine = \"1\"\n";
        assert_eq!(messages("crates/runner/Cargo.toml", text).len(), 1);
    }

    #[test]
    fn domain_code_has_no_runtime_and_the_sidecar_no_engine() {
        assert_eq!(
            messages(
                "crates/domain/Cargo.toml",
                "[dependencies]\ntokio = \"1\"\n"
            )
            .len(),
            1
        );
        assert_eq!(
            messages(
                "crates/sidecar/Cargo.toml",
                "[dependencies]\nwasmtime = \"1\"\n"
            )
            .len(),
            1
        );
    }

    #[test]
    fn a_package_nobody_listed_may_use_nothing_of_ours() {
        assert_eq!(
            messages(
                "crates/new/Cargo.toml",
                "[dependencies]\nnokube-domain = \"1\"\n"
            )
            .len(),
            1
        );
    }
}
