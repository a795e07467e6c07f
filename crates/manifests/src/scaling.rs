//! How many copies there are, and how many must stay while nodes are emptied.

use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::app::App;
use crate::labels::matching;
use crate::object::Object;
use crate::pod::seconds;

/// Scales the `Deployment`: ours, or the one of the same name that SpinKube's operator makes of a
/// `SpinApp` and leaves the number of copies of to whoever scales it.
pub(crate) fn autoscaler(app: &App<'_>) -> Option<Object> {
    let spec = &app.spec;
    if !spec.enable_autoscaling {
        return None;
    }
    let cpu = ResourceMetricSource {
        name: "cpu".to_owned(),
        target: MetricTarget {
            type_: "Utilization".to_owned(),
            average_utilization: Some(seconds(spec.target_cpu_percent)),
            ..MetricTarget::default()
        },
    };
    let autoscaler = HorizontalPodAutoscaler {
        metadata: app.meta(app.name()),
        spec: Some(HorizontalPodAutoscalerSpec {
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: app.name().to_owned(),
            },
            min_replicas: Some(seconds(spec.min_replicas)),
            max_replicas: seconds(spec.max_replicas),
            metrics: Some(vec![MetricSpec {
                type_: "Resource".to_owned(),
                resource: Some(cpu),
                ..MetricSpec::default()
            }]),
            ..HorizontalPodAutoscalerSpec::default()
        }),
        ..HorizontalPodAutoscaler::default()
    };
    Some(Object::of(&autoscaler))
}

/// One copy at a time goes when a node is emptied. For a single copy it would say nothing, or keep the
/// node from being emptied at all.
pub(crate) fn disruption_budget(app: &App<'_>) -> Option<Object> {
    if app.most_replicas() < 2 {
        return None;
    }
    let budget = PodDisruptionBudget {
        metadata: app.meta(app.name()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(matching(app.selector())),
            // A copy that is not ready serves nobody, and must not keep a node.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    };
    Some(Object::of(&budget))
}
