//! The configuration of one revision: every field of a deploy request with its default filled in.

use std::collections::BTreeMap;

use crate::Quantity;
use crate::fault::Faults;

/// What kind of program a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceType {
    /// Answers people.
    Web,
    /// Answers programs.
    Api,
    /// Answers nobody.
    Worker,
}

impl ServiceType {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Api => "api",
            Self::Worker => "worker",
        }
    }

    /// The type of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Web, Self::Api, Self::Worker]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// Who can reach a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Nobody.
    None,
    /// The other services of the project.
    Internal,
    /// Everyone, by its host name.
    External,
    /// Everyone, by a port of every node.
    NodePort,
}

impl Exposure {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Internal => "internal",
            Self::External => "external",
            Self::NodePort => "node_port",
        }
    }

    /// The exposure of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Internal, Self::External, Self::NodePort]
            .into_iter()
            .find(|exposure| exposure.as_str() == text)
    }
}

/// A valid configuration. It only comes to be by [`Spec::changed`], which checks the whole of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spec {
    /// A name for people.
    pub display_name: Option<String>,
    /// A text for people.
    pub description: Option<String>,
    /// What kind of program it is.
    pub service_type: ServiceType,
    /// Who can reach it.
    pub exposure_type: Exposure,
    /// Port the program listens on (containers; Spin applications ignore it).
    pub container_port: u16,
    /// Port the service is reached at inside the cluster.
    pub service_port: u16,
    /// Wanted copies.
    pub replicas: u32,
    /// CPU that is set aside for a copy.
    pub cpu_request: Quantity,
    /// CPU that a copy may use.
    pub cpu_limit: Quantity,
    /// Memory that is set aside for a copy.
    pub memory_request: Quantity,
    /// Memory that a copy may use.
    pub memory_limit: Quantity,
    /// A host name of the user's own.
    pub custom_domain: Option<String>,
    /// A path prefix, starting with `/`.
    pub custom_path: Option<String>,
    /// Serve by HTTPS where the target can.
    pub enable_https: bool,
    /// Plain configuration.
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
    /// Disk that a copy keeps.
    pub storage_size: Option<Quantity>,
    /// Where storage is mounted.
    pub storage_path: Option<String>,
    /// Scale by load where the target can.
    pub enable_autoscaling: bool,
    /// Fewest copies of autoscaling.
    pub min_replicas: u32,
    /// Most copies of autoscaling.
    pub max_replicas: u32,
    /// Aim of autoscaling, percent of the CPU request.
    pub target_cpu_percent: u32,
}

impl Default for Spec {
    /// What a deploy request that only names project, service and image means. The memory limit is
    /// what one small Spin application needs and then some; the platform is for small machines.
    fn default() -> Self {
        let quantity = |text| Quantity::parse(text).expect("a quantity written by us");
        Self {
            display_name: None,
            description: None,
            service_type: ServiceType::Web,
            exposure_type: Exposure::External,
            container_port: 80,
            service_port: 80,
            replicas: 1,
            cpu_request: quantity("100m"),
            cpu_limit: quantity("500m"),
            memory_request: quantity("64Mi"),
            memory_limit: quantity("128Mi"),
            custom_domain: None,
            custom_path: None,
            enable_https: false,
            env_vars: BTreeMap::new(),
            health_check_enabled: false,
            liveness_check_path: "/health".to_owned(),
            readiness_check_path: "/health".to_owned(),
            health_check_port: None,
            liveness_initial_delay: 10,
            readiness_initial_delay: 0,
            health_check_period: 10,
            health_check_timeout: 5,
            health_check_failure_threshold: 3,
            storage_size: None,
            storage_path: None,
            enable_autoscaling: false,
            min_replicas: 1,
            max_replicas: 5,
            target_cpu_percent: 80,
        }
    }
}

impl Spec {
    /// The rules between fields. Each fault is put where the user most likely slipped; a rule is
    /// silent when one of its fields is faulty already, since that field then holds an older value.
    pub(super) fn check_whole(&self, faults: &mut Faults) {
        let exposed = matches!(self.exposure_type, Exposure::External | Exposure::NodePort);
        let rules: [(bool, &str, &str, &'static str); 9] = [
            (
                self.cpu_request.millis() <= self.cpu_limit.millis(),
                "/cpu_request",
                "/cpu_limit",
                "must not be above cpu_limit",
            ),
            (
                self.memory_request.units() <= self.memory_limit.units(),
                "/memory_request",
                "/memory_limit",
                "must not be above memory_limit",
            ),
            (
                self.min_replicas <= self.max_replicas,
                "/min_replicas",
                "/max_replicas",
                "must not be above max_replicas",
            ),
            (
                self.health_check_timeout <= self.health_check_period,
                "/health_check_timeout",
                "/health_check_period",
                "must not be above health_check_period",
            ),
            (
                self.storage_size.is_none() || self.storage_path.is_some(),
                "/storage_path",
                "/storage_size",
                "is needed when storage_size is given",
            ),
            (
                self.storage_path.is_none() || self.storage_size.is_some(),
                "/storage_size",
                "/storage_path",
                "is needed when storage_path is given",
            ),
            (
                self.service_type != ServiceType::Worker || self.exposure_type == Exposure::None,
                "/exposure_type",
                "/service_type",
                "must be none for a worker, which answers nobody",
            ),
            (
                self.custom_domain.is_none() || exposed,
                "/custom_domain",
                "/exposure_type",
                "only makes sense when exposure_type is external or node_port",
            ),
            (
                self.custom_path.is_none() || exposed,
                "/custom_path",
                "/exposure_type",
                "only makes sense when exposure_type is external or node_port",
            ),
        ];
        for (holds, pointer, other, detail) in rules {
            if !holds && !faults.has(pointer) && !faults.has(other) {
                faults.add_text(pointer, detail);
            }
        }
    }
}
