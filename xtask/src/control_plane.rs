//! The control plane that tests of the cluster target talk to: real parts of Kubernetes, SpinKube's operator, and kwok in
//! place of nodes, built from the Go module proxy once and kept outside of the checkout.
//!
//! What is built is said by the modules in `tests/control-plane`, each with the checksums of all it needs.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest as _, Sha256};

use crate::go::{self, Go};
use crate::layout::Layout;
use crate::report::timed;
use crate::{definitions, machine};

/// Tells tests the folders, in the form of a search path. Whoever sets it has built the programs.
pub(crate) const VARIABLE: &str = "NOKUBE_CONTROL_PLANE";

/// What tests may do without, for [`crate::needs`].
pub(crate) const NEED: &str = "control-plane";

/// A module in `tests/control-plane`, and what is built of it.
struct Module {
    folder: &'static str,
    /// Packages, what Go calls the programs made of them, and what they are called.
    programs: &'static [(&'static str, &'static str, &'static str)],
    /// Variables that the linker sets: what a release is told of its own version.
    linked: &'static [&'static str],
}

const MODULES: [Module; 2] = [
    Module {
        folder: "kubernetes",
        programs: &[
            ("go.etcd.io/etcd/server/v3", "server", "etcd"),
            (
                "k8s.io/kubernetes/cmd/kube-apiserver",
                "kube-apiserver",
                "kube-apiserver",
            ),
            (
                "k8s.io/kubernetes/cmd/kube-controller-manager",
                "kube-controller-manager",
                "kube-controller-manager",
            ),
            (
                "k8s.io/kubernetes/cmd/kube-scheduler",
                "kube-scheduler",
                "kube-scheduler",
            ),
            ("sigs.k8s.io/kwok/cmd/kwok", "kwok", "kwok"),
        ],
        linked: &[
            "k8s.io/component-base/version.gitVersion=v1.36.3",
            "k8s.io/component-base/version.gitMajor=1",
            "k8s.io/component-base/version.gitMinor=36",
        ],
    },
    Module {
        folder: "spin-operator",
        programs: &[(
            "github.com/spinkube/spin-operator/cmd",
            "cmd",
            "spin-operator",
        )],
        linked: &[],
    },
];

/// Where its programs are; nothing when they are not wanted, or this machine cannot build them, which is said.
pub(crate) fn prepare(layout: &Layout, is_wanted: bool) -> anyhow::Result<Option<OsString>> {
    if let Some(given) = env::var_os(VARIABLE) {
        return Ok(Some(given));
    }
    // Only when it is wanted: it takes minutes, and gigabytes of memory and disk.
    if !is_wanted {
        return Ok(None);
    }
    let built = built(layout).context("building the control plane");
    let folder = go::unless_unavailable(
        built,
        "not run: what needs a control plane, since none can be had",
    )?;
    Ok(folder.map(PathBuf::into_os_string))
}

fn built(layout: &Layout) -> anyhow::Result<PathBuf> {
    let folder = kept_in(layout)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let go = Go::find(layout)?;
    // Whoever was waited for may have built it.
    if !folder.is_dir() {
        timed("building the control plane, once", || {
            build(&go, layout, &folder)
        })?;
        go.remove_compiled()?;
    }
    Ok(folder)
}

/// The folder for exactly the versions that are asked for.
fn kept_in(layout: &Layout) -> anyhow::Result<PathBuf> {
    let mut hash = Sha256::new();
    for module in &MODULES {
        for file in ["go.mod", "go.sum"] {
            let file = module.source(layout).join(file);
            let text =
                fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            hash.update(text);
        }
    }
    for (module, below) in definitions::PUBLISHED {
        hash.update(format!("{module} {below}\n"));
    }
    let name = hex::encode(&hash.finalize()[..6]);
    Ok(layout.tools().join("control-plane").join(name))
}

/// Builds into a folder beside, which takes its name when it is complete.
fn build(go: &Go, layout: &Layout, folder: &Path) -> anyhow::Result<()> {
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).context("removing what was left incomplete")?;
    }
    machine::make_folder(&partial.join("definitions"))?;
    for (number, text) in definitions::fetch(go)?.iter().enumerate() {
        fs::write(partial.join(format!("definitions/{number}.yaml")), text)?;
    }
    for module in &MODULES {
        module.build(go, layout, &partial)?;
    }
    fs::rename(&partial, folder).with_context(|| format!("{} cannot be made", folder.display()))
}

impl Module {
    fn source(&self, layout: &Layout) -> PathBuf {
        layout.root.join("tests/control-plane").join(self.folder)
    }

    fn build(&self, go: &Go, layout: &Layout, folder: &Path) -> anyhow::Result<()> {
        let packages: Vec<_> = self.programs.iter().map(|(package, ..)| *package).collect();
        go.build(&self.source(layout), &packages, self.linked, folder)?;
        for (_, made, name) in self.programs {
            fs::rename(folder.join(made), folder.join(name))
                .with_context(|| format!("{name} was not built"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(module: &Module) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/control-plane");
        fs::read_to_string(root.join(module.folder).join("go.mod")).unwrap()
    }

    #[test]
    fn another_checksum_is_another_control_plane() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout {
            root: folder.path().to_owned(),
            cache: folder.path().join("cache"),
        };
        for module in &MODULES {
            assert!(kept_in(&layout).is_err());
            let source = module.source(&layout);
            fs::create_dir_all(&source).unwrap();
            fs::write(source.join("go.mod"), "module one").unwrap();
            fs::write(source.join("go.sum"), "a").unwrap();
        }
        let first = kept_in(&layout).unwrap();
        assert!(first.starts_with(&layout.cache), "{}", first.display());
        for module in &MODULES {
            let before = kept_in(&layout).unwrap();
            fs::write(module.source(&layout).join("go.sum"), "b").unwrap();
            assert_ne!(kept_in(&layout).unwrap(), before);
        }
    }

    #[test]
    fn what_is_built_is_what_the_modules_call_their_tools() {
        for module in &MODULES {
            let text = text(module);
            let (_, tools) = text.split_once("\ntool ").unwrap();
            let named: Vec<_> = tools
                .lines()
                .map(str::trim)
                .filter(|line| line.contains('/'))
                .collect();
            let packages: Vec<_> = module
                .programs
                .iter()
                .map(|(package, ..)| *package)
                .collect();
            assert_eq!(named, packages);
        }
    }

    #[test]
    fn versions_that_are_written_twice_are_the_same() {
        let [kubernetes, operator] = &MODULES;
        let (published, _) = definitions::PUBLISHED[0];
        let required = format!("require {} //", published.replace('@', " "));
        assert!(text(operator).contains(&required));
        let [version, _, minor] = kubernetes.linked else {
            panic!("a release is told three things");
        };
        let (_, version) = version.rsplit_once('=').unwrap();
        assert!(text(kubernetes).contains(&format!("\tk8s.io/kubernetes {version} //")));
        assert!(minor.ends_with(&format!("={}", version.split('.').nth(1).unwrap())));
    }
}
