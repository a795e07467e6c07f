//! What an application is told: variables in a `ConfigMap`, secrets in a `Secret`, one of each for every
//! revision. A pod of an earlier revision that starts again finds what it had.
//!
//! Values are always referred to, never written into a pod: Kubernetes replaces `$(NAME)` in what is
//! written there.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapEnvSource, ConfigMapKeySelector, EnvFromSource, EnvVarSource, Secret,
    SecretEnvSource, SecretKeySelector,
};
use nokube_keys::Secret as Value;
use serde::Serialize;

use crate::app::App;
use crate::object::Object;

/// Names of what an application is told, and where the values are.
pub(crate) struct Config<'a> {
    variables: (String, &'a BTreeMap<String, String>),
    secrets: (String, &'a BTreeMap<String, Value>),
}

/// A Spin application's variable, in the words of the `SpinApp`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SpinVariable {
    name: String,
    value_from: EnvVarSource,
}

impl<'a> Config<'a> {
    pub(crate) fn new(app: &'a App<'_>, secrets: &'a BTreeMap<String, Value>) -> Self {
        let name = |what: &str| format!("{}.{what}-{}", app.name(), app.given.revision);
        Self {
            variables: (name("env"), &app.spec.env_vars),
            secrets: (name("secrets"), secrets),
        }
    }

    pub(crate) fn objects(&self, app: &App<'_>) -> Vec<Object> {
        let mut objects = Vec::new();
        let (name, variables) = &self.variables;
        if !variables.is_empty() {
            objects.push(Object::of(&ConfigMap {
                metadata: app.meta(name),
                data: Some((*variables).clone()),
                ..ConfigMap::default()
            }));
        }
        let (name, secrets) = &self.secrets;
        if !secrets.is_empty() {
            let bytes = |value: &Value| ByteString(value.expose().as_bytes().to_vec());
            let data = secrets
                .iter()
                .map(|(name, value)| (name.clone(), bytes(value)))
                .collect();
            objects.push(Object::of(&Secret {
                metadata: app.meta(name),
                type_: Some("Opaque".to_owned()),
                data: Some(data),
                ..Secret::default()
            }));
        }
        objects
    }

    /// All of it as a container's environment.
    pub(crate) fn environment(&self) -> Vec<EnvFromSource> {
        let mut from = Vec::new();
        let (name, variables) = &self.variables;
        if !variables.is_empty() {
            from.push(EnvFromSource {
                config_map_ref: Some(ConfigMapEnvSource {
                    name: name.clone(),
                    ..ConfigMapEnvSource::default()
                }),
                ..EnvFromSource::default()
            });
        }
        let (name, secrets) = &self.secrets;
        if !secrets.is_empty() {
            from.push(EnvFromSource {
                secret_ref: Some(SecretEnvSource {
                    name: name.clone(),
                    ..SecretEnvSource::default()
                }),
                ..EnvFromSource::default()
            });
        }
        from
    }

    /// All of it as a Spin application's variables: `API_URL` is `api_url`, as on one machine.
    pub(crate) fn spin_variables(&self) -> Vec<SpinVariable> {
        let (config_map, variables) = &self.variables;
        let (secret, secrets) = &self.secrets;
        let variables = variables.keys().map(|key| SpinVariable {
            name: key.to_ascii_lowercase(),
            value_from: EnvVarSource {
                config_map_key_ref: Some(ConfigMapKeySelector {
                    name: config_map.clone(),
                    key: key.clone(),
                    ..ConfigMapKeySelector::default()
                }),
                ..EnvVarSource::default()
            },
        });
        let secrets = secrets.keys().map(|key| SpinVariable {
            name: key.to_ascii_lowercase(),
            value_from: EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: secret.clone(),
                    key: key.clone(),
                    ..SecretKeySelector::default()
                }),
                ..EnvVarSource::default()
            },
        });
        variables.chain(secrets).collect()
    }
}
