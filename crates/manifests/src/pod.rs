//! What pods of both kinds have in common.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::app::App;
use crate::namespace::{EPHEMERAL_REQUEST, quantities};

pub(crate) type Amounts = BTreeMap<String, Quantity>;

impl App<'_> {
    /// What is set aside for a copy.
    pub(crate) fn requests(&self) -> Amounts {
        quantities([
            ("cpu", self.spec.cpu_request.to_string()),
            ("memory", self.spec.memory_request.to_string()),
            ("ephemeral-storage", EPHEMERAL_REQUEST.to_owned()),
        ])
    }

    /// What a copy may use.
    pub(crate) fn limits(&self) -> Amounts {
        quantities([
            ("cpu", self.spec.cpu_limit.to_string()),
            ("memory", self.spec.memory_limit.to_string()),
            (
                "ephemeral-storage",
                self.settings.quota.ephemeral_storage.clone(),
            ),
        ])
    }

    /// What liveness and readiness probes have in common.
    pub(crate) fn probe(&self, path: &str, initial_delay: u32) -> ProbeOf {
        let spec = &self.spec;
        ProbeOf {
            path: path.to_owned(),
            initial_delay_seconds: seconds(initial_delay),
            period_seconds: seconds(spec.health_check_period),
            timeout_seconds: seconds(spec.health_check_timeout),
            failure_threshold: seconds(spec.health_check_failure_threshold),
        }
    }

    pub(crate) fn liveness(&self) -> ProbeOf {
        self.probe(
            &self.spec.liveness_check_path,
            self.spec.liveness_initial_delay,
        )
    }

    pub(crate) fn readiness(&self) -> ProbeOf {
        self.probe(
            &self.spec.readiness_check_path,
            self.spec.readiness_initial_delay,
        )
    }
}

/// A probe, before it is in the words of a pod or of a `SpinApp`.
pub(crate) struct ProbeOf {
    pub(crate) path: String,
    pub(crate) initial_delay_seconds: i32,
    pub(crate) period_seconds: i32,
    pub(crate) timeout_seconds: i32,
    pub(crate) failure_threshold: i32,
}

/// Kubernetes counts in `i32`; everything that is counted here was checked to be far below.
pub(crate) fn seconds(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
