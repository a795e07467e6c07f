//! The control plane that tests of the cluster target talk to: real parts of Kubernetes, SpinKube's operator, and kwok in
//! place of nodes, built from the Go module proxy once and kept outside of the checkout.
//!
//! What is built is said by the modules in `tests/control-plane`, each with the checksums of all it needs. Programs in
//! `KUBEBUILDER_ASSETS` are taken as they are.

mod go;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sha2::{Digest as _, Sha256};

use self::go::Go;
use crate::layout::Layout;
use crate::report::{note, timed};
use crate::{machine, process};

/// Tells tests the folders, in the form of a search path.
pub(crate) const VARIABLE: &str = "NOKUBE_CONTROL_PLANE";

/// What tests may do without, for [`crate::needs`].
pub(crate) const NEED: &str = "control-plane";

/// The customary name of a folder with such programs.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// A module in `tests/control-plane`, and what is taken of it.
struct Module {
    folder: &'static str,
    /// Packages, and what the programs made of them are called.
    programs: &'static [(&'static str, &'static str)],
    /// A module and its folder of definitions of resources.
    definitions: Option<(&'static str, &'static str)>,
    /// Variables of the program, set by the linker: what a release is told of its own version.
    linked: &'static [&'static str],
}

const MODULES: [Module; 5] = [
    Module {
        folder: "etcd",
        programs: &[("go.etcd.io/etcd/server/v3", "etcd")],
        definitions: None,
        linked: &[],
    },
    Module {
        folder: "kubernetes",
        programs: &[
            ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
            (
                "k8s.io/kubernetes/cmd/kube-controller-manager",
                "kube-controller-manager",
            ),
            ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler"),
        ],
        definitions: None,
        linked: &[
            "k8s.io/component-base/version.gitVersion=v1.36.3",
            "k8s.io/component-base/version.gitMajor=1",
            "k8s.io/component-base/version.gitMinor=36",
        ],
    },
    Module {
        folder: "kwok",
        programs: &[("sigs.k8s.io/kwok/cmd/kwok", "kwok")],
        definitions: None,
        linked: &[],
    },
    Module {
        folder: "spin-operator",
        programs: &[("github.com/spinkube/spin-operator/cmd", "spin-operator")],
        definitions: Some(("github.com/spinkube/spin-operator", "config/crd/bases")),
        linked: &[],
    },
    Module {
        folder: "gateway-api",
        programs: &[],
        definitions: Some(("sigs.k8s.io/gateway-api", "config/crd/standard")),
        linked: &[],
    },
];

/// Where its programs are, as a search path; nothing when they are not wanted, or cannot be built, which is said.
pub(crate) fn prepare(layout: &Layout, is_wanted: bool) -> Option<OsString> {
    if let Some(given) = env::var_os(VARIABLE) {
        return Some(given);
    }
    // Only when it is wanted: it takes minutes, and gigabytes of memory.
    if !is_wanted {
        return None;
    }
    match folders(layout) {
        Ok(folders) => Some(folders),
        Err(error) => {
            note(&format!("the control plane cannot be built: {error:#}"));
            None
        }
    }
}

fn folders(layout: &Layout) -> anyhow::Result<OsString> {
    let assets = env::var_os(ASSETS).map(PathBuf::from);
    let mut folders = Vec::new();
    for module in &MODULES {
        if assets.as_ref().is_some_and(|folder| module.is_in(folder)) {
            continue;
        }
        let folder = module.kept_in(layout)?;
        if !folder.is_dir() {
            module
                .build(layout, &folder)
                .with_context(|| format!("building {}", module.folder))?;
        }
        folders.push(folder);
    }
    // Last: of a module that had to be built, none of its programs is taken from there.
    folders.extend(assets);
    env::join_paths(folders).context("a folder's name cannot be part of a path")
}

impl Module {
    /// Whether a folder of the user's own has all of its programs, and nothing else is taken of it.
    fn is_in(&self, folder: &Path) -> bool {
        let has = |(_, program): &(_, &str)| folder.join(program).is_file();
        self.definitions.is_none() && self.programs.iter().all(has)
    }

    fn source(&self, layout: &Layout) -> PathBuf {
        layout.root.join("tests/control-plane").join(self.folder)
    }

    /// The folder for exactly the versions that are asked for.
    fn kept_in(&self, layout: &Layout) -> anyhow::Result<PathBuf> {
        let mut hash = Sha256::new();
        for file in ["go.mod", "go.sum"] {
            let file = self.source(layout).join(file);
            hash.update(
                fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?,
            );
        }
        let name = format!("{}-{}", self.folder, hex::encode(&hash.finalize()[..6]));
        Ok(layout.tools().join("control-plane").join(name))
    }

    /// Builds into a folder beside, which takes its name when it is complete.
    fn build(&self, layout: &Layout, folder: &Path) -> anyhow::Result<()> {
        let go = Go::find()?;
        let kept = folder.parent().context("a kept folder is in another")?;
        machine::make_folder(kept)?;
        let partial = kept.join(format!(".{}-{}", self.folder, std::process::id()));
        machine::make_folder(&partial)?;
        let what = format!("building {} of the control plane, once", self.folder);
        let made = timed(&what, || {
            self.build_into(&go, &self.source(layout), &partial)
        });
        let moved = made.and_then(|()| {
            fs::rename(&partial, folder)
                .with_context(|| format!("{} cannot be made", folder.display()))
        });
        if moved.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_dir_all(&partial);
        }
        moved
    }

    fn build_into(&self, go: &Go, source: &Path, folder: &Path) -> anyhow::Result<()> {
        for (package, program) in self.programs {
            let output = folder.join(program);
            process::run(&mut go.build(source, package, self.linked, &output))?;
        }
        if let Some((module, below)) = self.definitions {
            let from = go.module_folder(source, module)?.join(below);
            copy_definitions(&from, &folder.join("definitions"))?;
        }
        Ok(())
    }
}

/// Copies the documents; what a module's folder holds beside them are notes for `kustomize`.
fn copy_definitions(from: &Path, to: &Path) -> anyhow::Result<()> {
    machine::make_folder(to)?;
    let mut count = 0;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let path = entry?.path();
        let text = match path.extension() {
            Some(extension) if extension == "yaml" => fs::read_to_string(&path)?,
            _ => continue,
        };
        if text.contains("\nkind: CustomResourceDefinition\n") {
            let name = path.file_name().context("an entry has a name")?;
            // Written anew: files of Go's cache are read-only.
            fs::write(to.join(name), text)?;
            count += 1;
        }
    }
    if count == 0 {
        bail!("{} has no definitions of resources", from.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_whose_checksums_change_is_built_anew() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout {
            root: folder.path().to_owned(),
            cache: folder.path().join("cache"),
        };
        let source = MODULES[0].source(&layout);
        fs::create_dir_all(&source).unwrap();
        fs::write(source.join("go.mod"), "module one").unwrap();
        assert!(MODULES[0].kept_in(&layout).is_err());
        fs::write(source.join("go.sum"), "a").unwrap();
        let first = MODULES[0].kept_in(&layout).unwrap();
        assert!(first.starts_with(&layout.cache), "{}", first.display());
        fs::write(source.join("go.sum"), "b").unwrap();
        assert_ne!(MODULES[0].kept_in(&layout).unwrap(), first);
    }

    #[test]
    fn programs_of_the_users_own_stand_for_a_module_only_together() {
        let folder = tempfile::tempdir().unwrap();
        let [etcd, kubernetes, _, operator, _] = &MODULES;
        fs::write(folder.path().join("etcd"), "").unwrap();
        fs::write(folder.path().join("kube-apiserver"), "").unwrap();
        fs::write(folder.path().join("spin-operator"), "").unwrap();
        assert!(etcd.is_in(folder.path()));
        assert!(!kubernetes.is_in(folder.path()));
        assert!(!operator.is_in(folder.path()), "its definitions are needed");
    }

    #[test]
    fn only_definitions_are_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::write(from.join("kustomization.yaml"), "resources: []\n").unwrap();
        assert!(copy_definitions(&from, &to).is_err());
        let definition = "apiVersion: v1\nkind: CustomResourceDefinition\n";
        fs::write(from.join("apps.yaml"), definition).unwrap();
        copy_definitions(&from, &to).unwrap();
        assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
    }
}
