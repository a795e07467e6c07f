//! What each route promises, beside its row in the table: for the API's document and for tests.

use nokube_api::deploy::{Deployment, DeploymentEvents, ManifestList, RevisionList};
use nokube_api::health::Health;
use nokube_api::logs::LogPage;
use nokube_api::requests::deploy::{
    DeployRequest, RollBackRequest, ScaleRequest, UpdateDeploymentRequest,
};
use nokube_api::sidecar::KeptList;
use nokube_contract::{Contract, Kind, Operation};
use serde_json::{Map, Value};

const STATUSES: &[&str] = &[
    "pending",
    "deploying",
    "running",
    "failed",
    "stopped",
    "deleting",
];

pub(crate) fn contract() -> Contract {
    of_deployments().and(of_changes()).and(of_the_platform())
}

fn of_deployments() -> Contract {
    Contract::new()
        .route(
            "get_deploy_health",
            Operation::new("Whether deployments work").answer::<Health>(200).answer::<Health>(503).meaning("Its database does not answer."),
        )
        .route(
            "create_deployment",
            Operation::new("Releases a build, or a container image where that is allowed, as a service")
                .description("The same project, service and environment again is the next revision.")
                .body::<DeployRequest>()
                .resource::<Deployment>(202)
                .location()
                .idempotent()
                .names_something()
                .needs_role()
                .problem("build-not-successful")
                .problem("being-deleted")
                .problem("changed-meanwhile")
                .problem("domain-taken")
                .problem("host-taken")
                .problem("too-many-deployments"),
        )
        .route(
            "preview_deployment",
            Operation::new("What a release would come to at the target; nothing is stored or applied")
                .description("Secrets are shown by name. A target that is no cluster shows what a cluster would get.")
                .body::<DeployRequest>()
                .answer::<ManifestList>(200)
                .names_something()
                .needs_role()
                .problem("build-not-successful")
                .problem("being-deleted")
                .problem("domain-taken")
                .problem("host-taken")
                .problem("too-many-deployments"),
        )
        .route(
            "list_deployments",
            Operation::new("The caller's deployments")
                .query("project_id", Kind::Id, "Of this project.")
                .query("service_name", Kind::Any, "Of this service.")
                .query("environment", Kind::Any, "In this environment.")
                .query("status", Kind::OneOf(STATUSES), "In this status.")
                .query("all", Kind::Flag, "Administrators: everybody's.")
                .paged::<Deployment>()
                .names_something(),
        )
        .route(
            "get_deployment",
            Operation::new("A deployment")
                .path("id", Kind::Uuid)
                .resource::<Deployment>(200),
        )
        .route(
            "delete_deployment",
            Operation::new("Takes a deployment down")
                .description("It is gone, and 404, once the target has confirmed that.")
                .path("id", Kind::Uuid)
                .resource::<Deployment>(202)
                .if_match()
                .needs_role()
                .problem("changed-meanwhile"),
        )
        .route(
            "list_deployment_revisions",
            Operation::new("The revisions of a deployment, newest first")
                .path("id", Kind::Uuid)
                .cursor()
                .answer::<RevisionList>(200),
        )
        .route(
            "get_deployment_manifests",
            Operation::new("The objects that the target makes of a deployment")
                .description("Of what is wanted now, secrets by name; none while the target does not know it yet.")
                .path("id", Kind::Uuid)
                .answer::<ManifestList>(200),
        )
        .route(
            "get_deployment_events",
            Operation::new("What happened to a deployment at its target, oldest first")
                .description("Kept for a while, and not over a restart of the target.")
                .path("id", Kind::Uuid)
                .answer::<DeploymentEvents>(200),
        )
        .route(
            "get_deployment_logs",
            Operation::new("A deployment's log")
                .description(
                    "As JSON by `cursor`, as text, or by `Accept: text/event-stream` followed; there, \
                     `Last-Event-ID` goes before `cursor`.",
                )
                .path("id", Kind::Uuid)
                .query("limit", Kind::Number(1, 1_000), "Lines of one answer.")
                .query("tail", Kind::Number(0, 100_000), "Without a cursor: the last lines only.")
                .query("q", Kind::Text(200), "A part of the text, or a request's id.")
                .query("since", Kind::Time, "Lines of this time and later.")
                .cursor()
                .answer::<LogPage>(200)
                .or_text("text/plain")
                .or_text("text/event-stream"),
        )
}

fn change(summary: &'static str) -> Operation {
    Operation::new(summary)
        .path("id", Kind::Uuid)
        .resource::<Deployment>(202)
        .if_match()
        .needs_role()
        .problem("being-deleted")
        .problem("changed-meanwhile")
}

fn of_changes() -> Contract {
    Contract::new()
        .route(
            "update_deployment",
            change("Changes the configuration: the next revision of the same image")
                .body::<UpdateDeploymentRequest>()
                .problem("domain-taken"),
        )
        .route(
            "roll_back_deployment",
            change("Goes back to a revision: image, configuration and secrets")
                .body::<RollBackRequest>()
                .idempotent()
                .problem("domain-taken"),
        )
        .route(
            "scale_deployment",
            change("Sets the number of copies")
                .body::<ScaleRequest>()
                .problem("scales-by-load"),
        )
        .route(
            "restart_deployment",
            change("Starts all copies anew").problem("deployment-stopped"),
        )
        .route("stop_deployment", change("Stops it; everything is kept"))
        .route("start_deployment", change("Starts it again"))
}

fn of_the_platform() -> Contract {
    Contract::new()
        .route(
            "list_kept_artifacts",
            Operation::new("Digests that a build or a revision names")
                .query("after", Kind::Any, "The last digest of the page before.")
                .answer::<KeptList>(200),
        )
        .route(
            "delete_project_deployments",
            Operation::new("Takes down all deployments of a project")
                .path("id", Kind::Id)
                .query(
                    "force",
                    Kind::Flag,
                    "Do not wait for the target to confirm it.",
                )
                .no_content()
                .problem("deployments-remain"),
        )
        .route(
            "tick_deployments",
            Operation::new("Time has passed").answer::<Map<String, Value>>(200),
        )
}

#[test]
fn the_contract_is_what_the_code_does_and_what_is_committed() {
    nokube_guest::testing::check_contract(&crate::COMPONENT, &contract());
}
