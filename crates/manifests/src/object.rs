//! One object, as it is applied and as it is shown.

use std::fmt;

use serde_json::Value;

/// What is shown instead of a secret value. No base64, so that applying a preview fails instead of
/// writing it.
const MASK: &str = "********";

/// An object of a cluster, ready for server-side apply.
#[derive(Clone, PartialEq)]
pub struct Object {
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`: its name in paths of the API.
    pub plural: &'static str,
    /// Its namespace, when it is of one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The whole object, as JSON. A `Secret`'s holds its values.
    pub body: Value,
}

impl Object {
    /// `Kind/name`, unique within a namespace.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// The same with its secret values replaced, for people.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut masked = self.clone();
        if self.kind == "Secret" {
            for part in ["data", "stringData"] {
                let values = masked.body.get_mut(part).and_then(Value::as_object_mut);
                for value in values.into_iter().flat_map(|map| map.values_mut()) {
                    *value = Value::from(MASK);
                }
            }
        }
        masked
    }

    /// As a YAML document. Every text is quoted, whatever is in it.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        crate::yaml::document(&self.body)
    }
}

impl fmt::Debug for Object {
    /// Without the body, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Object").field(&self.id()).finish()
    }
}
