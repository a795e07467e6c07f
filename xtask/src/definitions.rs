//! Definitions of custom resources, as their makers publish them in their Go modules: what rendered files are held
//! against, and what the tests' control plane is told of.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};

use crate::go::Go;

/// Modules with definitions, and the file or folder of them.
pub(crate) const PUBLISHED: [(&str, &str); 3] = [
    (
        "github.com/spinkube/spin-operator@v0.6.1",
        "config/crd/bases",
    ),
    ("sigs.k8s.io/gateway-api@v1.6.3", "config/crd/standard"),
    (
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
];

/// Fetches them, or takes what was fetched before: a document each, in YAML.
pub(crate) fn fetch(go: &Go) -> anyhow::Result<Vec<String>> {
    let mut documents = vec![];
    for (module, below) in PUBLISHED {
        let path = go.module(module)?.join(below);
        let found = read(&path).with_context(|| format!("reading {}", path.display()))?;
        if found.is_empty() {
            bail!("{} has no definitions of resources", path.display());
        }
        documents.extend(found);
    }
    Ok(documents)
}

/// What a folder holds beside them are notes for `kustomize`, and policies.
fn read(path: &Path) -> anyhow::Result<Vec<String>> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        files = fs::read_dir(path)?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()?;
        files.retain(|file| {
            file.extension()
                .is_some_and(|extension| extension == "yaml")
        });
        files.sort();
    }
    let mut documents = vec![];
    for file in files {
        let text = fs::read_to_string(file)?;
        if text.contains("\nkind: CustomResourceDefinition\n") {
            documents.push(text);
        }
    }
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_definitions_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join("kustomization.yaml"), "resources: []\n").unwrap();
        assert!(read(path).unwrap().is_empty());
        let definition = "apiVersion: v1\nkind: CustomResourceDefinition\n";
        let file = path.join("apps.yaml");
        fs::write(&file, definition).unwrap();
        fs::write(path.join("notes.md"), definition).unwrap();
        assert_eq!(read(path).unwrap(), [definition]);
        assert_eq!(read(&file).unwrap(), [definition]);
    }
}
