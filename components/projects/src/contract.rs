//! What each route promises, beside its row in the table: for the API's document and for tests.

use nokube_api::auth::UserForgotten;
use nokube_api::export::OwnerData;
use nokube_api::health::Health;
use nokube_api::projects::{AuditPage, Member, Project, PutMemberRequest};
use nokube_api::requests::projects::{CreateProjectRequest, UpdateProjectRequest};
use nokube_contract::{Contract, Kind, Operation};

pub(crate) fn contract() -> Contract {
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
                .needs_role()
                .problem("slug-taken")
                .problem("too-many-projects"),
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
            "get_user_data",
            Operation::new("What forgetting a user would take away, for the user's own export")
                .description("Events come in pieces; everything else comes with the first.")
                .path("id", Kind::Id)
                .query("after", Kind::Uuid, "The `next` of the piece before.")
                .answer::<OwnerData>(200),
        )
        .route(
            "forget_user",
            Operation::new("Forgets a user whose account is about to be deleted")
                .description("While the user owns projects nothing is done: the answer says how many.")
                .path("id", Kind::Id)
                .answer::<UserForgotten>(200),
        )
        .and(members())
        .and(history())
}

fn members() -> Contract {
    Contract::new()
        .route(
            "list_members",
            Operation::new("Who works on a project")
                .path("id", Kind::Id)
                .paged::<Member>(),
        )
        .route(
            "get_member",
            Operation::new("A member of a project")
                .path("id", Kind::Id)
                .path("username", Kind::Text(32))
                .resource::<Member>(200),
        )
        .route(
            "put_member",
            Operation::new("Adds somebody to a project, or changes the role")
                .path("id", Kind::Id)
                .path("username", Kind::Any)
                .body::<PutMemberRequest>()
                .resource::<Member>(200)
                .resource::<Member>(201)
                .location()
                .if_match()
                .needs_role()
                .problem("owner-needed")
                .problem("too-many-members"),
        )
        .route(
            "delete_member",
            Operation::new("Removes somebody from a project; everybody may leave")
                .path("id", Kind::Id)
                .path("username", Kind::Text(32))
                .no_content()
                .if_match()
                .needs_role()
                .problem("owner-needed"),
        )
}

fn history() -> Contract {
    let filtered = |operation: Operation| {
        operation
            .query(
                "action",
                Kind::Text(64),
                "Only this action, such as `member.add`.",
            )
            .query("from", Kind::Time, "Only what was done then or later.")
            .query("to", Kind::Time, "Only what was done before.")
            .query("limit", Kind::Number(1, 100), "Entries of one answer.")
            .cursor()
            .answer::<AuditPage>(200)
    };
    Contract::new()
        .route(
            "list_project_activity",
            filtered(
                Operation::new("What was done in a project, newest first").path("id", Kind::Id),
            ),
        )
        .route(
            "list_audit",
            filtered(
                Operation::new("What the caller did; for administrators, what anyone did").query(
                    "project_id",
                    Kind::Id,
                    "What was done in this project.",
                ),
            ),
        )
}

#[test]
fn the_contract_is_what_the_code_does_and_what_is_committed() {
    nokube_guest::testing::check_contract(&crate::COMPONENT, &contract());
}
