//! What Helm makes of the chart, in an order that `kubectl apply` can follow.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::place;
use crate::layout::Layout;
use crate::process;

/// From the top of the checkout.
pub(super) const CHART: &str = "k8s/chart/nokube";

/// The sets in `k8s/values`.
pub(super) const SETS: [&str; 3] = ["whole", "split", "external"];

/// Who applies what is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Helm,
    Kubectl,
}

/// A set's values.
pub(super) fn values(layout: &Layout, set: &str) -> PathBuf {
    place(layout, &format!("values/{set}.yaml"))
}

/// What is committed of a set.
pub(super) fn file(layout: &Layout, set: &str) -> PathBuf {
    place(layout, &format!("rendered/{set}/nokube.yaml"))
}

/// `helm template`, to be told more.
pub(super) fn template(helm: &Path, layout: &Layout, set: &str, purpose: Purpose) -> Command {
    let mut command = process::command(helm);
    command
        .current_dir(&layout.root)
        .args(["template", "nokube", CHART, "--namespace", "nokube"])
        .arg("--values")
        .arg(values(layout, set));
    if purpose == Purpose::Kubectl {
        command.args(["--set", "plain=true"]);
    }
    command
}

/// A set's documents.
pub(super) fn render(
    helm: &Path,
    layout: &Layout,
    set: &str,
    purpose: Purpose,
) -> anyhow::Result<String> {
    let text = process::read(&mut template(helm, layout, set, purpose))?;
    Ok(in_order(set, &text))
}

fn in_order(set: &str, text: &str) -> String {
    let mut documents: Vec<&str> = text
        .split("\n---\n")
        .map(|document| document.trim_start_matches("---\n").trim_end())
        .filter(|document| document.lines().any(|line| line.starts_with("kind: ")))
        .collect();
    documents.sort_by_key(|document| rank(document));
    let mut ordered =
        format!("# Made by `cargo xtask k8s` of k8s/chart/nokube and k8s/values/{set}.yaml.\n");
    for document in documents {
        ordered.push_str("---\n");
        // Templates leave empty lines where they say nothing; no text of the chart's has any.
        for line in document.lines().filter(|line| !line.trim().is_empty()) {
            ordered.push_str(line.trim_end());
            ordered.push('\n');
        }
    }
    ordered
}

/// Namespaces come before what is in them, and an executor as long as can be before its SpinApps: they are refused without
/// it, by somebody who hears of it a moment later.
fn rank(document: &str) -> u8 {
    let kind = document
        .lines()
        .find_map(|line| line.strip_prefix("kind: "));
    match kind {
        Some("Namespace") => 0,
        Some("SpinAppExecutor") => 1,
        Some("SpinApp") => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_first_and_nothing_is_lost() {
        let text = "---\n# Source: a\nkind: SpinApp\n---\n# Source: b\nkind: Service\nspec:\n  kind: x\n---\n\
            # Source: c\n# nothing\n---\nkind: SpinAppExecutor\n---\nkind: Namespace\n";
        let ordered = in_order("whole", text);
        let kinds: Vec<_> = ordered
            .lines()
            .filter_map(|line| line.strip_prefix("kind: "))
            .collect();
        assert_eq!(
            kinds,
            ["Namespace", "SpinAppExecutor", "Service", "SpinApp"]
        );
        assert!(ordered.contains("spec:\n  kind: x\n"), "{ordered}");
        assert_eq!(ordered.matches("\n---\n").count(), 4);
    }
}
