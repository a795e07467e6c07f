//! JSON schemas of resources, made of what their makers publish: Kubernetes' own document, and definitions of custom
//! resources.
//!
//! They are strict: a field that is not there is a fault, as it is for an API server that is asked to be. Rules that
//! definitions state in CEL are not in them.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::definitions;
use crate::go::Go;

const KUBERNETES: &str = "k8s.io/kubernetes@v1.36.3";

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// What is published.
pub(super) struct Published {
    /// `definitions` of Kubernetes' document.
    kubernetes: Map<String, Value>,
    custom: Vec<Value>,
}

impl Published {
    /// Fetches it, or takes what was fetched before.
    pub(super) fn fetch(go: &Go) -> anyhow::Result<Self> {
        let file = go.module(KUBERNETES)?.join("api/openapi-spec/swagger.json");
        let mut document: Value = serde_json::from_slice(&read(&file)?)
            .with_context(|| format!("reading {}", file.display()))?;
        let Value::Object(kubernetes) = document["definitions"].take() else {
            bail!("{} has no definitions", file.display());
        };
        let mut custom = vec![];
        for text in definitions::fetch(go)? {
            custom.extend(super::documents(&text)?);
        }
        Ok(Self { kubernetes, custom })
    }

    /// The schema of a kind.
    pub(super) fn schema(&self, api_version: &str, kind: &str) -> anyhow::Result<Value> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let mut schema = self
            .of_kubernetes(group, version, kind)
            .or_else(|| self.of_definition(group, version, kind))
            .with_context(|| format!("nobody publishes a schema of {kind} {api_version}"))?;
        let properties = &mut schema["properties"];
        properties["apiVersion"] = json!({ "const": api_version });
        properties["kind"] = json!({ "const": kind });
        schema["required"] = json!(["apiVersion", "kind", "metadata"]);
        schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
        Ok(schema)
    }

    fn of_kubernetes(&self, group: &str, version: &str, kind: &str) -> Option<Value> {
        let wanted = json!({ "group": group, "kind": kind, "version": version });
        let is_it = |definition: &Value| {
            let kinds = definition["x-kubernetes-group-version-kind"].as_array();
            kinds.is_some_and(|kinds| kinds.contains(&wanted))
        };
        let (name, _) = self.kubernetes.iter().find(|(_, value)| is_it(value))?;
        Some(self.definition(name, &mut vec![]))
    }

    fn of_definition(&self, group: &str, version: &str, kind: &str) -> Option<Value> {
        let spec = self
            .custom
            .iter()
            .map(|definition| &definition["spec"])
            .find(|spec| spec["group"] == group && spec["names"]["kind"] == kind)?;
        let version = spec["versions"]
            .as_array()?
            .iter()
            .find(|one| one["name"] == version)?;
        let mut schema = self.strict(&version["schema"]["openAPIV3Schema"], &mut vec![]);
        schema["properties"]["metadata"] = self.definition(META, &mut vec![]);
        Some(schema)
    }

    /// A definition with all that it refers to. `within` are those it stands in: one that contains itself may hold
    /// anything there.
    fn definition(&self, name: &str, within: &mut Vec<String>) -> Value {
        if name == QUANTITY {
            return json!({ "type": ["string", "number"] });
        }
        match self.kubernetes.get(name) {
            Some(definition) if !within.iter().any(|outer| outer == name) => {
                within.push(name.to_owned());
                let schema = self.strict(definition, within);
                within.pop();
                schema
            }
            _ => json!({}),
        }
    }

    fn strict(&self, schema: &Value, within: &mut Vec<String>) -> Value {
        match schema {
            Value::Object(fields) => {
                if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                    let name = name.trim_start_matches("#/definitions/");
                    return self.definition(name, within);
                }
                if fields
                    .get("format")
                    .is_some_and(|format| format == "int-or-string")
                {
                    return json!({ "type": ["string", "integer"] });
                }
                let mut made = Map::new();
                for (name, value) in fields {
                    // A field may be called `description` too: then what stands there is a schema.
                    if name == "description" && value.is_string() {
                        continue;
                    }
                    made.insert(name.clone(), self.strict(value, within));
                }
                let is_open = made.contains_key("additionalProperties")
                    || made.contains_key("x-kubernetes-preserve-unknown-fields");
                if made.get("properties").is_some_and(Value::is_object)
                    && made.get("type").is_some_and(|kind| kind == "object")
                    && !is_open
                {
                    made.insert("additionalProperties".to_owned(), json!(false));
                }
                Value::Object(made)
            }
            Value::Array(items) => items.iter().map(|item| self.strict(item, within)).collect(),
            other => other.clone(),
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Where kubeconform looks for a kind: `{{ .ResourceKind }}{{ .KindSuffix }}.json`, which has the first word of the
/// group.
pub(super) fn file_name(api_version: &str, kind: &str) -> String {
    let (group, version) = match api_version.split_once('/') {
        Some((group, version)) => (group.split('.').next().unwrap_or_default(), Some(version)),
        None => (api_version, None),
    };
    let version = version
        .map(|version| format!("-{version}"))
        .unwrap_or_default();
    format!("{kind}-{group}{version}.json").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> Published {
        let document = json!({
            META: { "type": "object", "properties": { "name": { "type": "string" } } },
            "Thing": {
                "type": "object",
                "description": "words",
                "properties": {
                    "metadata": { "$ref": format!("#/definitions/{META}") },
                    "port": { "type": "string", "format": "int-or-string" },
                    "limits": { "type": "object", "additionalProperties": { "$ref": format!("#/definitions/{QUANTITY}") } },
                    "again": { "$ref": "#/definitions/Thing" },
                },
                "x-kubernetes-group-version-kind": [{ "group": "", "kind": "Thing", "version": "v1" }],
            },
        });
        let Value::Object(kubernetes) = document else {
            unreachable!("it is written as one");
        };
        let custom = json!({
            "spec": {
                "group": "example.org",
                "names": { "kind": "Own" },
                "versions": [{ "name": "v1", "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "metadata": { "type": "object" },
                        "spec": { "type": "object", "properties": { "description": { "type": "string" } } },
                        "open": {
                            "type": "object", "properties": {}, "x-kubernetes-preserve-unknown-fields": true
                        },
                    },
                } } }],
            },
        });
        Published {
            kubernetes,
            custom: vec![custom],
        }
    }

    #[test]
    fn a_schema_has_what_it_refers_to_and_takes_nothing_else() {
        let thing = published().schema("v1", "Thing").unwrap();
        assert_eq!(thing["additionalProperties"], false);
        let fields = &thing["properties"];
        assert_eq!(fields["metadata"]["additionalProperties"], false);
        assert_eq!(fields["port"], json!({ "type": ["string", "integer"] }));
        let limit = &fields["limits"]["additionalProperties"];
        assert_eq!(*limit, json!({ "type": ["string", "number"] }));
        assert_eq!(fields["again"], json!({}));
        assert_eq!(fields["kind"], json!({ "const": "Thing" }));
        assert!(thing.get("description").is_none());
    }

    #[test]
    fn a_custom_resource_has_the_metadata_of_all_and_a_field_may_be_called_description() {
        let own = published().schema("example.org/v1", "Own").unwrap();
        let fields = &own["properties"];
        assert_eq!(fields["metadata"]["properties"]["name"]["type"], "string");
        assert_eq!(
            fields["spec"]["properties"]["description"]["type"],
            "string"
        );
        assert_eq!(fields["spec"]["additionalProperties"], false);
        assert!(fields["open"].get("additionalProperties").is_none());
    }

    #[test]
    fn what_nobody_publishes_is_named() {
        let error = published().schema("v2", "Thing").unwrap_err();
        assert!(error.to_string().contains("Thing v2"), "{error}");
    }

    #[test]
    fn files_are_called_as_kubeconform_looks_for_them() {
        for (api_version, kind, file) in [
            ("v1", "Service", "service-v1.json"),
            ("apps/v1", "Deployment", "deployment-apps-v1.json"),
            (
                "networking.k8s.io/v1",
                "NetworkPolicy",
                "networkpolicy-networking-v1.json",
            ),
            (
                "core.spinkube.dev/v1alpha1",
                "SpinApp",
                "spinapp-core-v1alpha1.json",
            ),
        ] {
            assert_eq!(file_name(api_version, kind), file);
        }
    }
}
