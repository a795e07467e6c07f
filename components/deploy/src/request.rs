//! What users send, read field by field: JSON types here, everything else in `nokube_domain::deploy`.

use std::collections::BTreeMap;

use nokube_domain::build::ImageReference;
use nokube_domain::deploy::{Change, SecretChange, SecretsChange, SpecChange, value_fault};
use nokube_domain::{BuildId, Environment, HostLabel, Invalid, ProjectId, ServiceName};
use nokube_guest::{Change as Sent, Error, FieldFault, Fields, FromJson};
use nokube_keys::Secret;
use serde_json::Value;

/// What a request says about configuration and secrets.
pub(crate) struct ConfigurationChange {
    pub(crate) spec: SpecChange,
    pub(crate) secrets: SecretsChange<Secret>,
}

/// A deploy request. What could not be read is missing here and among the faults.
pub(crate) struct DeployRequest {
    pub(crate) project_id: Option<ProjectId>,
    pub(crate) service: Option<ServiceName>,
    pub(crate) environment: Option<Environment>,
    pub(crate) host_label: Option<HostLabel>,
    pub(crate) build_id: Option<BuildId>,
    pub(crate) image: Option<ImageReference>,
    pub(crate) change: ConfigurationChange,
    pub(crate) faults: Vec<FieldFault>,
}

impl DeployRequest {
    /// Reads the body of `POST /deploy`.
    pub(crate) fn from_fields(mut fields: Fields) -> Result<Self, Error> {
        // The contract has them; the truth comes from the token and the project.
        fields.ignore(&["project_name", "username"]);
        let project_id = fields.required("project_id", ProjectId::from_i64);
        let service = fields.text("service_name", ServiceName::parse);
        let environment = match fields.changed_text("environment", Environment::parse) {
            Sent::Set(environment) => Some(environment),
            Sent::Unset => Some(Environment::default()),
            // Left out, or faulty: then the fault ends the request anyway.
            Sent::Keep => Some(Environment::default()),
        };
        let names_image = fields.has("image_name") || fields.has("build_id");
        let build_id = fields.optional_text("build_id", BuildId::parse);
        let mut reference_null = false;
        let image = match fields.changed_text("image_name", ImageReference::parse) {
            Sent::Set(image) => Some(image),
            Sent::Unset => {
                reference_null = true;
                None
            }
            Sent::Keep => None,
        };
        if !names_image || (reference_null && build_id.is_none()) {
            fields.fault("image_name", "is required, unless build_id names the build");
        }
        let host_label = match (&service, &environment) {
            (Some(service), Some(environment)) => {
                let label = HostLabel::new(service, environment);
                label
                    .map_err(|reason| fields.fault("environment", reason.to_string()))
                    .ok()
            }
            _ => None,
        };
        let change = configuration(&mut fields);
        Ok(Self {
            project_id,
            service,
            environment,
            host_label,
            build_id,
            image,
            change,
            faults: faults_of(fields)?,
        })
    }
}

/// Reads the body of `PATCH /deployments/{id}`.
pub(crate) fn configuration_change(
    mut fields: Fields,
) -> Result<(ConfigurationChange, Vec<FieldFault>), Error> {
    let change = configuration(&mut fields);
    Ok((change, faults_of(fields)?))
}

/// Everything that was wrong so far; the request goes on, so that the domain can add its own.
fn faults_of(fields: Fields) -> Result<Vec<FieldFault>, Error> {
    match fields.finish(|| Some(())) {
        Ok(()) => Ok(Vec::new()),
        Err(Error::Invalid(faults)) => Ok(faults),
        Err(other) => Err(other),
    }
}

fn configuration(fields: &mut Fields) -> ConfigurationChange {
    ConfigurationChange {
        secrets: secrets(fields),
        spec: SpecChange {
            display_name: take(fields, "display_name"),
            description: take(fields, "description"),
            service_type: take(fields, "service_type"),
            exposure_type: take(fields, "exposure_type"),
            container_port: take(fields, "container_port"),
            service_port: take(fields, "service_port"),
            replicas: take(fields, "replicas"),
            cpu_request: take(fields, "cpu_request"),
            cpu_limit: take(fields, "cpu_limit"),
            memory_request: take(fields, "memory_request"),
            memory_limit: take(fields, "memory_limit"),
            custom_domain: take(fields, "custom_domain"),
            custom_path: take(fields, "custom_path"),
            enable_https: take(fields, "enable_https"),
            env_vars: variables(fields),
            health_check_enabled: take(fields, "health_check_enabled"),
            liveness_check_path: take(fields, "liveness_check_path"),
            readiness_check_path: take(fields, "readiness_check_path"),
            health_check_port: take(fields, "health_check_port"),
            liveness_initial_delay: take(fields, "liveness_initial_delay"),
            readiness_initial_delay: take(fields, "readiness_initial_delay"),
            health_check_period: take(fields, "health_check_period"),
            health_check_timeout: take(fields, "health_check_timeout"),
            health_check_failure_threshold: take(fields, "health_check_failure_threshold"),
            storage_size: take(fields, "storage_size"),
            storage_path: take(fields, "storage_path"),
            enable_autoscaling: take(fields, "enable_autoscaling"),
            min_replicas: take(fields, "min_replicas"),
            max_replicas: take(fields, "max_replicas"),
            target_cpu_percent: take(fields, "target_cpu_percent"),
        },
    }
}

fn take<T: FromJson>(fields: &mut Fields, name: &str) -> Change<T> {
    match fields.changed(name, Ok::<T, Invalid>) {
        Sent::Keep => Change::Keep,
        Sent::Unset => Change::Unset,
        Sent::Set(value) => Change::Set(value),
    }
}

/// A string, or `null` for one that goes.
fn text_or_null(value: Value) -> Result<Option<String>, Invalid> {
    match value {
        Value::String(text) => Ok(Some(text)),
        Value::Null => Ok(None),
        _ => Err(Invalid::new("must be a string, or null to remove it")),
    }
}

fn variables(fields: &mut Fields) -> Change<BTreeMap<String, Option<String>>> {
    match fields.changed_map("env_vars", |_, value: Value| text_or_null(value)) {
        Sent::Keep => Change::Keep,
        Sent::Unset => Change::Unset,
        Sent::Set(variables) => Change::Set(variables),
    }
}

fn secrets(fields: &mut Fields) -> SecretsChange<Secret> {
    let sent = fields.changed_map("secrets", |_, value: Value| match text_or_null(value)? {
        None => Ok(SecretChange::Remove),
        Some(value) => match value_fault(&value) {
            Some(fault) => Err(fault),
            None => Ok(SecretChange::Set(Secret::new(value))),
        },
    });
    match sent {
        Sent::Keep => SecretsChange::Keep,
        Sent::Unset => SecretsChange::UnsetAll,
        Sent::Set(secrets) => SecretsChange::Merge(secrets),
    }
}
