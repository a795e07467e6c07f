//! What each route promises, beside its row in the table: for the API's document and for tests.

use nokube_api::health::Health;
use nokube_api::projects::{AuditPage, Project};
use nokube_api::requests::projects::{CreateProjectRequest, UpdateProjectRequest};
use nokube_contract::{Contract, Kind, Operation};

pub(crate) fn contract() -> Contract {
    let limit = Kind::Number(1, 100);
    Contract::new()
        .route(
            "get_projects_health",
            Operation::new("Whether projects work").answer::<Health>(200).answer::<Health>(503).meaning("Its database does not answer."),
        )
        .route(
            "create_project",
            Operation::new("Makes a project")
                .body::<CreateProjectRequest>()
                .resource::<Project>(201)
                .location()
                .idempotent()
                .problem("slug-taken")
                .problem("too-many-projects"),
        )
        .route(
            "list_projects",
            Operation::new("The caller's projects")
                .query("q", Kind::Text(100), "A part of the name, in whatever case.")
                .paged::<Project>(),
        )
        .route(
            "get_project",
            Operation::new("A project")
                .path("id", Kind::Id)
                .resource::<Project>(200),
        )
        .route(
            "update_project",
            Operation::new("Changes a project")
                .description("What is left out stays, `null` unsets. The slug stays: it is part of addresses.")
                .path("id", Kind::Id)
                .body::<UpdateProjectRequest>()
                .resource::<Project>(200)
                .if_match()
                .needs_role(),
        )
        .route(
            "delete_project",
            Operation::new("Deletes a project, its deployments first")
                .path("id", Kind::Id)
                .query(
                    "force",
                    Kind::Flag,
                    "Do not wait for the target to confirm that its deployments are gone.",
                )
                .no_content()
                .if_match()
                .needs_role()
                .problem("deployments-remain"),
        )
        .route(
            "list_project_activity",
            Operation::new("What was done in a project, newest first")
                .path("id", Kind::Id)
                .query("limit", limit, "Entries of one answer.")
                .cursor()
                .answer::<AuditPage>(200),
        )
        .route(
            "list_audit",
            Operation::new("What the caller did; for administrators, what anyone did")
                .query("project_id", Kind::Id, "What was done in this project.")
                .query("limit", limit, "Entries of one answer.")
                .cursor()
                .answer::<AuditPage>(200)
                .names_something(),
        )
}

#[test]
fn the_contract_is_what_the_code_does_and_what_is_committed() {
    nokube_guest::testing::check_contract(&crate::COMPONENT, &contract());
}
