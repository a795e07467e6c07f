//! What a deployment is meant to be: every field of a deploy request with its default filled in.

use std::collections::BTreeMap;

use nokube_domain::deploy::{Change, Spec, SpecChange};
use nokube_domain::{Faults, Quantity};
use serde::{Deserialize, Serialize};

/// The configuration of one revision, as stored, shown (`Deployment.spec`) and sent to the sidecar.
///
/// Secrets are not part of it: they travel sealed beside it and are shown by name only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeploySpec {
    /// A name for people.
    pub display_name: Option<String>,
    /// A text for people.
    pub description: Option<String>,
    /// `web`, `api` or `worker`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["web", "api", "worker"])))]
    pub service_type: String,
    /// `none`, `internal`, `external` or `node_port`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["none", "internal", "external", "node_port"])))]
    pub exposure_type: String,
    /// Port the program listens on (containers; Spin applications ignore it).
    pub container_port: u16,
    /// Port the service is reached at inside the cluster.
    pub service_port: u16,
    /// Wanted copies.
    pub replicas: u32,
    /// A Kubernetes quantity, such as `100m`.
    pub cpu_request: String,
    /// A Kubernetes quantity.
    pub cpu_limit: String,
    /// A Kubernetes quantity, such as `64Mi`.
    pub memory_request: String,
    /// A Kubernetes quantity; on one machine the bound of one instance's memory.
    pub memory_limit: String,
    /// A host name of the user's own.
    pub custom_domain: Option<String>,
    /// A path prefix, starting with `/`.
    pub custom_path: Option<String>,
    /// Serve by HTTPS where the target can.
    pub enable_https: bool,
    /// Plain configuration: given to a Spin application as variables (`API_URL` is `api_url`) and as
    /// environment.
    pub env_vars: BTreeMap<String, String>,
    /// Probe before and while it runs.
    pub health_check_enabled: bool,
    /// Path of the liveness probe.
    pub liveness_check_path: String,
    /// Path of the readiness probe.
    pub readiness_check_path: String,
    /// Port to probe when it is not the container's.
    pub health_check_port: Option<u16>,
    /// Seconds.
    pub liveness_initial_delay: u32,
    /// Seconds.
    pub readiness_initial_delay: u32,
    /// Seconds.
    pub health_check_period: u32,
    /// Seconds.
    pub health_check_timeout: u32,
    /// Failures in a row that count.
    pub health_check_failure_threshold: u32,
    /// A Kubernetes quantity.
    pub storage_size: Option<String>,
    /// Where storage is mounted.
    pub storage_path: Option<String>,
    /// Scale by load where the target can.
    pub enable_autoscaling: bool,
    /// Bounds of autoscaling.
    pub min_replicas: u32,
    /// Bounds of autoscaling.
    pub max_replicas: u32,
    /// Aim of autoscaling, percent of the request.
    pub target_cpu_percent: u32,
}

impl From<&Spec> for DeploySpec {
    fn from(spec: &Spec) -> Self {
        let text = |quantity: &Quantity| quantity.as_str().to_owned();
        Self {
            display_name: spec.display_name.clone(),
            description: spec.description.clone(),
            service_type: spec.service_type.as_str().to_owned(),
            exposure_type: spec.exposure_type.as_str().to_owned(),
            container_port: spec.container_port,
            service_port: spec.service_port,
            replicas: spec.replicas,
            cpu_request: text(&spec.cpu_request),
            cpu_limit: text(&spec.cpu_limit),
            memory_request: text(&spec.memory_request),
            memory_limit: text(&spec.memory_limit),
            custom_domain: spec.custom_domain.clone(),
            custom_path: spec.custom_path.clone(),
            enable_https: spec.enable_https,
            env_vars: spec.env_vars.clone(),
            health_check_enabled: spec.health_check_enabled,
            liveness_check_path: spec.liveness_check_path.clone(),
            readiness_check_path: spec.readiness_check_path.clone(),
            health_check_port: spec.health_check_port,
            liveness_initial_delay: spec.liveness_initial_delay,
            readiness_initial_delay: spec.readiness_initial_delay,
            health_check_period: spec.health_check_period,
            health_check_timeout: spec.health_check_timeout,
            health_check_failure_threshold: spec.health_check_failure_threshold,
            storage_size: spec.storage_size.as_ref().map(text),
            storage_path: spec.storage_path.clone(),
            enable_autoscaling: spec.enable_autoscaling,
            min_replicas: spec.min_replicas,
            max_replicas: spec.max_replicas,
            target_cpu_percent: spec.target_cpu_percent,
        }
    }
}

impl DeploySpec {
    /// The valid configuration this says, for whoever does not trust the sender: the sidecar, and
    /// `deploy` with what its database holds.
    ///
    /// # Errors
    /// Every fault, by the rules that hold for users' requests too.
    pub fn validated(&self, platform_hosts: &[&str]) -> Result<Spec, Faults> {
        fn or_unset<T>(value: Option<T>) -> Change<T> {
            value.map_or(Change::Unset, Change::Set)
        }
        let set_text = |text: &String| Change::Set(text.clone());
        let variables = self.env_vars.iter();
        let change = SpecChange {
            display_name: or_unset(self.display_name.clone()),
            description: or_unset(self.description.clone()),
            service_type: set_text(&self.service_type),
            exposure_type: set_text(&self.exposure_type),
            container_port: Change::Set(self.container_port.into()),
            service_port: Change::Set(self.service_port.into()),
            replicas: Change::Set(self.replicas.into()),
            cpu_request: set_text(&self.cpu_request),
            cpu_limit: set_text(&self.cpu_limit),
            memory_request: set_text(&self.memory_request),
            memory_limit: set_text(&self.memory_limit),
            custom_domain: or_unset(self.custom_domain.clone()),
            custom_path: or_unset(self.custom_path.clone()),
            enable_https: Change::Set(self.enable_https),
            env_vars: Change::Set(
                variables
                    .map(|(name, value)| (name.clone(), Some(value.clone())))
                    .collect(),
            ),
            health_check_enabled: Change::Set(self.health_check_enabled),
            liveness_check_path: set_text(&self.liveness_check_path),
            readiness_check_path: set_text(&self.readiness_check_path),
            health_check_port: or_unset(self.health_check_port.map(i64::from)),
            liveness_initial_delay: Change::Set(self.liveness_initial_delay.into()),
            readiness_initial_delay: Change::Set(self.readiness_initial_delay.into()),
            health_check_period: Change::Set(self.health_check_period.into()),
            health_check_timeout: Change::Set(self.health_check_timeout.into()),
            health_check_failure_threshold: Change::Set(self.health_check_failure_threshold.into()),
            storage_size: or_unset(self.storage_size.clone()),
            storage_path: or_unset(self.storage_path.clone()),
            enable_autoscaling: Change::Set(self.enable_autoscaling),
            min_replicas: Change::Set(self.min_replicas.into()),
            max_replicas: Change::Set(self.max_replicas.into()),
            target_cpu_percent: Change::Set(self.target_cpu_percent.into()),
        };
        let mut faults = Faults::default();
        let spec = Spec::default().changed(change, platform_hosts, &mut faults);
        faults.or(spec)
    }

    /// The valid configuration that is nearest to this one, which was valid when it was stored: where the rules have
    /// become stricter since, a field has its default, and its fault is told.
    #[must_use]
    pub fn mended(&self) -> (Spec, Faults) {
        let faults = match self.validated(&[]) {
            Ok(spec) => return (spec, Faults::default()),
            Err(faults) => faults,
        };
        let mut fields = serde_json::json!(self);
        let default = serde_json::json!(Self::from(&Spec::default()));
        for fault in faults.iter() {
            let field = field_of(&fault.pointer);
            fields[field] = default[field].clone();
        }
        let mended = serde_json::from_value::<Self>(fields).ok();
        let mended = mended.and_then(|mended| mended.validated(&[]).ok());
        (mended.unwrap_or_default(), faults)
    }
}

/// The field of a configuration that a fault is about.
#[must_use]
pub fn field_of(pointer: &str) -> &str {
    let pointer = pointer.trim_start_matches('/');
    pointer.split('/').next().unwrap_or(pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_reads_back_from_the_wire() {
        let wire = DeploySpec::from(&Spec::default());
        assert_eq!(wire.validated(&[]), Ok(Spec::default()));
    }

    #[test]
    fn what_stricter_rules_no_longer_allow_is_told_and_the_rest_stays() {
        let mut wire = DeploySpec::from(&Spec::default());
        wire.replicas = 3;
        assert_eq!(wire.mended().1, Faults::default());
        wire.storage_path = Some("/../etc".to_owned());
        wire.env_vars.insert("A=B".to_owned(), "x".to_owned());
        let (spec, faults) = wire.mended();
        let pointers: Vec<_> = faults
            .iter()
            .map(|fault| field_of(&fault.pointer))
            .collect();
        assert_eq!(pointers, ["storage_path", "env_vars"]);
        assert_eq!((spec.replicas, spec.storage_path), (3, None));
    }

    #[test]
    fn what_a_caller_made_up_is_refused_with_every_fault() {
        let mut wire = DeploySpec::from(&Spec::default());
        wire.service_type = "cron".to_owned();
        wire.replicas = 1_000_000;
        wire.storage_path = Some("/../etc".to_owned());
        let faults = wire.validated(&[]).unwrap_err();
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/service_type", "/replicas", "/storage_path"]);
    }
}
