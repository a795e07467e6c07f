//! `cargo xtask k8s`: what the chart makes of each set of values, written for `kubectl apply`; and the checks of it.
//!
//! Helm and kubeconform are built from Go's module proxy on first use, and schemas are made of what Kubernetes and the
//! others publish about their own resources. Where that cannot be, the checks say that they were not made. What needs
//! neither is in the tests of `rules`.

mod rbac;
#[cfg(test)]
mod reach;
mod render;
#[cfg(test)]
mod rules;
mod schemas;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::Value;

use self::render::{Purpose, SETS};
use crate::go::{self, Go, Program};
use crate::layout::Layout;
use crate::report::{note, timed};
use crate::{machine, process};

const HELM: Program = Program {
    name: "helm",
    package: "helm.sh/helm/v4/cmd/helm",
    version: "v4.3.1",
};

const KUBECONFORM: Program = Program {
    name: "kubeconform",
    package: "github.com/yannh/kubeconform/cmd/kubeconform",
    version: "v0.8.0",
};

/// Values that have to be refused, each on top of the first set.
const REFUSED: [&str; 11] = [
    "publicUrl=ftp://nokube.example.org",
    "publicUrl=https://nokube.example.org/below",
    "baseDomain=apps example",
    "platform.image.repository=UPPER/case",
    "platform.variables.keep_builds=many",
    "platform.variables.no_such_variable=1",
    "sidecar.replicas=2",
    "runner.enabled=true",
    "database.kind=external",
    "edge.namespace=",
    "networkPolicy.dns.ports={}",
];

/// Kinds that deployments are made of.
const OF_DEPLOYMENTS: [&str; 16] = [
    "ConfigMap",
    "Deployment",
    "HTTPRoute",
    "HorizontalPodAutoscaler",
    "Ingress",
    "LimitRange",
    "Namespace",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "ResourceQuota",
    "RoleBinding",
    "Secret",
    "Service",
    "SpinApp",
    "SpinAppExecutor",
];

/// Writes the rendered files.
pub(crate) fn run(layout: &Layout) -> anyhow::Result<()> {
    let helm = HELM.prepare(layout)?;
    if rbac::is_there(layout) {
        rbac::write(layout)?;
    }
    for set in SETS {
        let text = render::render(&helm, layout, set, Purpose::Kubectl)?;
        let file = render::file(layout, set);
        machine::make_folder(file.parent().context("a file has a folder")?)?;
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        note(&format!("written: {}", file.display()));
    }
    Ok(())
}

/// Lints the chart, compares what is committed with what it makes, and holds that against the schemas.
pub(crate) fn check(layout: &Layout) -> anyhow::Result<()> {
    if rbac::is_there(layout) {
        rbac::check(layout)?;
    }
    let without = "not checked: the chart, since Helm cannot be had";
    let Some(helm) = go::unless_unavailable(HELM.prepare(layout), without)? else {
        return Ok(());
    };
    let mut rendered = timed("the chart", || {
        lint(&helm, layout)?;
        refusals(&helm, layout)?;
        compared(&helm, layout)
    })?;
    rendered.extend(of_deployments(layout)?);
    let prepared = KUBECONFORM.prepare(layout).and_then(|program| {
        let published = schemas::Published::fetch(&Go::find(layout)?)?;
        Ok((program, published))
    });
    let without = "not checked: what the chart makes against schemas, since they cannot be had";
    let what = "what the chart and deployments are made of, against schemas";
    match go::unless_unavailable(prepared, without)? {
        Some((kubeconform, published)) => timed(what, || {
            conform(&kubeconform, &published, layout, &rendered)
        }),
        None => Ok(()),
    }
}

fn lint(helm: &Path, layout: &Layout) -> anyhow::Result<()> {
    for set in SETS {
        let mut command = process::command(helm);
        command
            .current_dir(&layout.root)
            .args(["lint", "--strict", "--quiet", render::CHART, "--values"])
            .arg(render::values(layout, set));
        process::read(&mut command)?;
    }
    Ok(())
}

/// A schema that lets everything through would not be noticed otherwise.
fn refusals(helm: &Path, layout: &Layout) -> anyhow::Result<()> {
    for value in REFUSED {
        let mut command = render::template(helm, layout, SETS[0], Purpose::Helm);
        if process::read(command.args(["--set", value])).is_ok() {
            bail!("the chart takes {value}");
        }
    }
    Ok(())
}

/// Every rendered file, after it was compared with the one that is committed.
fn compared(helm: &Path, layout: &Layout) -> anyhow::Result<Vec<String>> {
    let mut rendered = vec![];
    for set in SETS {
        let text = render::render(helm, layout, set, Purpose::Kubectl)?;
        let file = render::file(layout, set);
        if fs::read_to_string(&file).unwrap_or_default() != text {
            bail!(
                "{} is not what the chart makes: run `cargo xtask k8s` and look at what changed",
                file.display()
            );
        }
        rendered.push(text);
        rendered.push(render::render(helm, layout, set, Purpose::Helm)?);
    }
    Ok(rendered)
}

/// What deployments are made of: the snapshots of `nokube-manifests`.
fn of_deployments(layout: &Layout) -> anyhow::Result<Vec<String>> {
    let folder = layout.root.join("crates/manifests/tests/snapshots");
    let mut texts = vec![];
    let mut kinds = BTreeSet::new();
    let entries =
        fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let text = fs::read_to_string(entry?.path())?;
        kinds.extend(kinds_in(&text)?.into_iter().map(|(_, kind)| kind));
        texts.push(text);
    }
    let missing: Vec<&str> = OF_DEPLOYMENTS
        .into_iter()
        .filter(|kind| !kinds.contains(*kind))
        .collect();
    if !missing.is_empty() {
        bail!("{} has no {}", folder.display(), missing.join(", "));
    }
    Ok(texts)
}

fn conform(
    kubeconform: &Path,
    published: &schemas::Published,
    layout: &Layout,
    rendered: &[String],
) -> anyhow::Result<()> {
    let folder = layout.root.join("target/k8s");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let (schemas, documents) = (folder.join("schemas"), folder.join("documents"));
    machine::make_folder(&schemas)?;
    machine::make_folder(&documents)?;
    let mut kinds = BTreeSet::new();
    for (number, text) in rendered.iter().enumerate() {
        kinds.extend(kinds_in(text)?);
        fs::write(documents.join(format!("{number}.yaml")), text)?;
    }
    for (api_version, kind) in &kinds {
        let schema = published.schema(api_version, kind)?;
        let file = schemas.join(schemas::file_name(api_version, kind));
        fs::write(file, serde_json::to_vec(&schema)?)?;
    }
    let location = schemas.join("{{ .ResourceKind }}{{ .KindSuffix }}.json");
    let mut command = process::command(kubeconform);
    command
        .args(["-strict", "-output", "text", "-schema-location"])
        .arg(location)
        .arg(&documents);
    let outcome = process::read(&mut command);
    // Its complaints are on its standard output.
    if outcome.is_err() {
        process::run(&mut command)?;
    }
    note(&format!(
        "{} documents of {} kinds",
        rendered.iter().map(|text| count(text)).sum::<usize>(),
        kinds.len()
    ));
    Ok(())
}

fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).context("what was rendered is not YAML")?;
    Ok(documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect())
}

fn count(text: &str) -> usize {
    text.lines()
        .filter(|line| line.starts_with("kind: "))
        .count()
}

fn kinds_in(text: &str) -> anyhow::Result<BTreeSet<(String, String)>> {
    let word = |document: &Value, name: &str| {
        document[name]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("a document without {name}"))
    };
    documents(text)?
        .iter()
        .map(|document| Ok((word(document, "apiVersion")?, word(document, "kind")?)))
        .collect()
}

/// Where a file of this part of the checkout is.
fn place(layout: &Layout, path: &str) -> PathBuf {
    layout.root.join("k8s").join(path)
}
