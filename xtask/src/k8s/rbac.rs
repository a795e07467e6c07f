//! The sidecar's roles and what bounds them: the chart has the rules that `nokube-sidecar rbac` prints of what it
//! calls, and no others.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::Value;

use super::place;
use crate::layout::Layout;
use crate::{build, process};

/// The package that has the program.
const PACKAGE: &str = "crates/cluster";

/// The rules of a chart's roles, by the name of their template.
const ROLES: [(&str, &str, &str); 3] = [
    ("cluster", "ClusterRole", "nokube-sidecar"),
    ("system", "Role", "nokube-sidecar"),
    ("tenant", "ClusterRole", "nokube-tenant"),
];

/// The admission policies, by what they are about.
const POLICIES: [&str; 3] = ["namespaces", "rolebindings", "secrets"];
/// Names to print them with, and what the chart has in their place.
const NAMES: [(&str, &str, &str); 4] = [
    (
        "--platform",
        "platform-of-the-chart",
        "{{ include \"nokube.name\" . }}",
    ),
    (
        "--namespace",
        "namespace-of-the-chart",
        "{{ .Release.Namespace }}",
    ),
    (
        "--account",
        "account-of-the-chart",
        "{{ include \"nokube.name\" . }}-sidecar",
    ),
    (
        "--tenant-role",
        "role-of-the-chart",
        "{{ include \"nokube.name\" . }}-tenant",
    ),
];

/// Writes the template. Without the program's source in the checkout there is nothing to write.
pub(super) fn write(layout: &Layout) -> anyhow::Result<()> {
    let file = file(layout);
    fs::write(&file, made(layout)?).with_context(|| format!("writing {}", file.display()))
}

/// Fails when the template is not what the program says.
pub(super) fn check(layout: &Layout) -> anyhow::Result<()> {
    if fs::read_to_string(file(layout)).unwrap_or_default() != made(layout)? {
        bail!(
            "{} is not what the sidecar calls: run `cargo xtask k8s` and look at what changed",
            file(layout).display()
        );
    }
    Ok(())
}

/// Whether the checkout has the program.
pub(super) fn is_there(layout: &Layout) -> bool {
    layout.root.join(PACKAGE).is_dir()
}

fn file(layout: &Layout) -> PathBuf {
    place(layout, "chart/nokube/templates/_rules.tpl")
}

fn made(layout: &Layout) -> anyhow::Result<String> {
    // As for tests, so that nothing is compiled for this alone.
    build::native_for_tests(layout)?;
    let mut command = process::command(layout.program("nokube-sidecar"));
    command.args(["rbac", "--platform", "nokube", "--namespace", "nokube"]);
    command.args(["--account", "nokube-sidecar"]);
    command.args(["--tenant-role", "nokube-tenant", "--format", "json"]);
    let list = serde_json::from_str(&process::read(&mut command)?)
        .context("what `nokube-sidecar rbac` prints")?;
    let mut command = process::command(layout.program("nokube-sidecar"));
    command.args(["rbac", "--format", "yaml"]);
    for (option, name, _) in NAMES {
        command.args([option, name]);
    }
    let policies = policies(&process::read(&mut command)?)?;
    Ok(format!("{}{policies}", template(&list)?))
}

/// What the admission policies in these documents say, as templates.
fn policies(documents: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    for of in POLICIES {
        let document = documents
            .split("---\n")
            .find(|document| {
                document.contains("\nkind: ValidatingAdmissionPolicy\n")
                    && document.contains(&format!("-{of}\n"))
            })
            .with_context(|| format!("there is no policy about {of}"))?;
        // The last of its fields.
        let (_, spec) = document
            .split_once("\nspec:\n")
            .with_context(|| format!("the policy about {of} says nothing"))?;
        text.push_str(&format!("\n{{{{- define \"nokube.{of}Policy\" -}}}}\n"));
        for line in spec.lines() {
            let line = line.strip_prefix("  ").unwrap_or(line);
            text.push_str(&chart_names(line));
            text.push('\n');
        }
        text.push_str("{{- end -}}\n");
    }
    Ok(text)
}

fn chart_names(line: &str) -> String {
    NAMES
        .iter()
        .fold(line.to_owned(), |line, (_, name, template)| {
            line.replace(name, template)
        })
}

fn template(list: &Value) -> anyhow::Result<String> {
    let mut text =
        "{{/* Made by `cargo xtask k8s` of what the sidecar calls (`nokube-sidecar rbac`): \
        change it there. */}}\n"
            .to_owned();
    for (template, kind, name) in ROLES {
        let role = list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|role| role["kind"] == kind && role["metadata"]["name"] == name)
            .with_context(|| format!("there is no {kind} {name}"))?;
        text.push_str(&format!(
            "\n{{{{- define \"nokube.{template}Rules\" -}}}}\n"
        ));
        for rule in role["rules"].as_array().into_iter().flatten() {
            // That of binding the tenants' role has a name that the chart gives.
            if rule.get("resourceNames").is_some() {
                continue;
            }
            text.push_str(&format!(
                "- apiGroups: {}\n  resources: {}\n  verbs: {}\n",
                words(&rule["apiGroups"])?,
                words(&rule["resources"])?,
                words(&rule["verbs"])?
            ));
        }
        text.push_str("{{- end -}}\n");
    }
    Ok(text)
}

fn words(list: &Value) -> anyhow::Result<String> {
    let words: Option<Vec<String>> = list
        .as_array()
        .context("a rule without a list")?
        .iter()
        .map(|word| match word.as_str()? {
            "" => Some("\"\"".to_owned()),
            word => Some(word.to_owned()),
        })
        .collect();
    Ok(format!(
        "[{}]",
        words.context("a rule without words")?.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_role_has_its_own_rules_and_a_missing_one_is_named() {
        let role = |kind: &str, name: &str, resource: &str| {
            json!({
                "kind": kind,
                "metadata": { "name": name },
                "rules": [
                    { "apiGroups": [""], "resources": [resource], "verbs": ["get", "list"] },
                    { "apiGroups": ["x"], "resources": ["y"], "resourceNames": ["z"], "verbs": ["bind"] },
                ],
            })
        };
        let mut items = vec![
            role("ClusterRole", "nokube-sidecar", "namespaces"),
            role("Role", "nokube-sidecar", "leases"),
        ];
        let error = template(&json!({ "items": items })).unwrap_err();
        assert!(
            error.to_string().contains("ClusterRole nokube-tenant"),
            "{error}"
        );
        items.push(role("ClusterRole", "nokube-tenant", "secrets"));
        let text = template(&json!({ "items": items })).unwrap();
        let tenant = "{{- define \"nokube.tenantRules\" -}}\n- apiGroups: [\"\"]\n  resources: [secrets]\n  \
            verbs: [get, list]\n{{- end -}}\n";
        assert!(text.ends_with(tenant), "{text}");
        assert!(!text.contains("bind"), "{text}");
    }

    #[test]
    fn a_policy_is_the_programs_with_the_charts_names() {
        let document = |of: &str| {
            format!(
                "---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata:\n  \
                 name: a-{of}\nspec:\n  failurePolicy: Fail\n  validations:\n  - expression: \
                 object.name == 'account-of-the-chart'\n"
            )
        };
        let error = policies(&document("namespaces")).unwrap_err();
        assert!(error.to_string().contains("rolebindings"), "{error}");
        let text = policies(&POLICIES.map(document).concat()).unwrap();
        let expected = "\n{{- define \"nokube.secretsPolicy\" -}}\nfailurePolicy: Fail\nvalidations:\n\
            - expression: object.name == '{{ include \"nokube.name\" . }}-sidecar'\n{{- end -}}\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
