//! One object, as it is applied and as it is shown.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{Metadata, Resource};
use serde::Serialize;
use serde_json::{Value, json};

/// What is shown instead of a secret value. No base64, so that applying a preview fails instead of
/// writing it.
pub const MASK: &str = "********";

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

/// A kind that Kubernetes itself does not know.
pub(crate) struct CustomKind {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
}

impl Object {
    /// One of Kubernetes' own kinds.
    pub(crate) fn of<T>(object: &T) -> Self
    where
        T: Resource + Metadata<Ty = ObjectMeta> + Serialize,
    {
        Self::new(
            T::API_VERSION,
            T::KIND,
            T::URL_PATH_SEGMENT,
            object.metadata(),
            to_json(object),
        )
    }

    /// One of somebody else's.
    pub(crate) fn custom(kind: &CustomKind, metadata: &ObjectMeta, spec: &impl Serialize) -> Self {
        let body = json!({
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": metadata,
            "spec": to_json(spec),
        });
        Self::new(kind.api_version, kind.kind, kind.plural, metadata, body)
    }

    fn new(
        api_version: &str,
        kind: &str,
        plural: &'static str,
        metadata: &ObjectMeta,
        body: Value,
    ) -> Self {
        Self {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            plural,
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone().unwrap_or_default(),
            body,
        }
    }

    /// `Kind/name`, unique within a namespace.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// Whether removing it loses what an application stored. It then goes with the deployment, not with
    /// a revision that has no use for it.
    #[must_use]
    pub fn holds_data(&self) -> bool {
        self.kind == "PersistentVolumeClaim"
    }

    /// The same with its secret values replaced, for people.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut masked = self.clone();
        if self.kind == "Secret" {
            for part in ["data", "stringData"] {
                let values = masked.body.get_mut(part).and_then(Value::as_object_mut);
                for (_, value) in values.into_iter().flatten() {
                    *value = Value::from(MASK);
                }
            }
        }
        masked
    }

    /// As a YAML document.
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

fn to_json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("objects have texts for keys and no number that JSON lacks")
}
