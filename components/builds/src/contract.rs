//! What each route promises, beside its row in the table: for the API's document and for tests.

use nokube_api::builds::Build;
use nokube_api::health::Health;
use nokube_api::logs::LogPage;
use nokube_api::requests::builds::CreateBuildRequest;
use nokube_api::runner::{AppendLogs, BuildResult, Job, LeaseProof, LeaseRequest, LeaseState};
use nokube_api::sidecar::{KeptList, SourceAwaited, SourceStored};
use nokube_contract::{Contract, Kind, Operation};
use serde_json::{Map, Value};

const STATUSES: &[&str] = &["pending", "building", "success", "failed", "cancelled"];

pub(crate) fn contract() -> Contract {
    of_users().and(of_runners()).and(of_the_platform())
}

fn of_users() -> Contract {
    Contract::new()
        .route(
            "get_builds_health",
            Operation::new("Whether builds work").answer::<Health>(200).answer::<Health>(503).meaning("Its database does not answer."),
        )
        .route(
            "create_build",
            Operation::new("Asks for a build of a repository")
                .body::<CreateBuildRequest>()
                .resource::<Build>(202)
                .location()
                .idempotent()
                .names_something()
                .needs_role()
                .problem("image-name-taken")
                .problem("too-many-builds"),
        )
        .route(
            "create_build_upload",
            Operation::new("Asks for a build of a source that is sent: a `.tar.gz`")
                .description(
                    "Answers 307 and a one-time address for the same body, by `POST` or `PUT`; who follows it ends up \
                     with 202 and the build. The address is the credential. It answers 403 `ticket-invalid` when it is \
                     altered or too old and `ticket-other-use` when it is for something else, 408 `incomplete`, 409 \
                     `conflict` or `ticket-busy`, 410 `ticket-spent`, 413 `too-large` and 503 `storage-full`, as \
                     problems like all others.",
                )
                .required_query("project_id", Kind::Id, "Whose build it is.")
                .required_query("service_name", Kind::Label, "The service that is built.")
                .query("subdirectory", Kind::Any, "A folder of the source to build in.")
                .query("builder", Kind::OneOf(&["runner", "simulated"]), "Who builds it.")
                .query("image_name", Kind::Any, "The last part of the image's name.")
                .query("image_tag", Kind::Any, "The image's tag.")
                .bytes_body("application/gzip")
                .answer::<Build>(307)
                .meaning("The build; its source goes to `Location`.")
                .location()
                .idempotent()
                .names_something()
                .needs_role()
                .problem("image-name-taken")
                .problem("too-many-builds"),
        )
        .route(
            "list_builds",
            Operation::new("The caller's builds, newest first")
                .query("project_id", Kind::Id, "Of this project.")
                .query("service_name", Kind::Any, "Of this service.")
                .query("status", Kind::OneOf(STATUSES), "In this status.")
                .query("all", Kind::Flag, "Administrators: everybody's.")
                .paged::<Build>()
                .names_something(),
        )
        .route(
            "get_build",
            Operation::new("A build")
                .path("id", Kind::Uuid)
                .resource::<Build>(200),
        )
        .route(
            "get_build_logs",
            Operation::new("A build's log")
                .description(
                    "As JSON by `cursor`, as text, or by `Accept: text/event-stream` followed to its end; there, \
                     `Last-Event-ID` goes before `cursor`.",
                )
                .path("id", Kind::Uuid)
                .query("limit", Kind::Number(1, 1_000), "Lines of one answer.")
                .query("tail", Kind::Number(0, 100_000), "Without a cursor: the last lines only.")
                .cursor()
                .answer::<LogPage>(200)
                .or_text("text/plain")
                .or_text("text/event-stream"),
        )
        .route(
            "cancel_build",
            Operation::new("Ends a build")
                .path("id", Kind::Uuid)
                .resource::<Build>(202)
                .needs_role()
                .problem("build-finished"),
        )
        .route(
            "retry_build",
            Operation::new("Builds the same source once more, as a new build")
                .path("id", Kind::Uuid)
                .resource::<Build>(202)
                .location()
                .idempotent()
                .needs_role()
                .problem("build-not-finished")
                .problem("no-source")
                .problem("source-gone")
                .problem("too-many-builds"),
        )
}

fn of_runners() -> Contract {
    Contract::new()
        .route(
            "lease_build",
            Operation::new("Takes a build to work on")
                .machine_body::<LeaseRequest>()
                .answer::<Job>(200)
                .no_content()
                .meaning("Nothing waits."),
        )
        .route("start_build", of_a_lease("Begins with a leased build"))
        .route("heartbeat_build", of_a_lease("Goes on with a leased build"))
        .route(
            "append_build_logs",
            Operation::new("Writes lines of a build's log")
                .description("Lines that are known already are dropped, so a call may be repeated.")
                .path("id", Kind::Uuid)
                .machine_body::<AppendLogs>()
                .no_content()
                .problem("lease-lost")
                .problem("log-gap"),
        )
        .route(
            "finish_build",
            Operation::new("Ends a leased build")
                .path("id", Kind::Uuid)
                .machine_body::<BuildResult>()
                .no_content()
                .problem("lease-lost"),
        )
}

fn of_a_lease(summary: &'static str) -> Operation {
    Operation::new(summary)
        .path("id", Kind::Uuid)
        .machine_body::<LeaseProof>()
        .answer::<LeaseState>(200)
        .problem("lease-lost")
}

fn of_the_platform() -> Contract {
    Contract::new()
        .route(
            "list_kept_sources",
            Operation::new("Builds whose source has to stay")
                .query("after", Kind::Any, "The last id of the page before.")
                .answer::<KeptList>(200),
        )
        .route(
            "get_build_source",
            Operation::new("Whether a source for a build is of use")
                .path("id", Kind::Uuid)
                .answer::<SourceAwaited>(200)
                .needs_role()
                .problem("no-source-awaited"),
        )
        .route(
            "put_build_source",
            Operation::new("A build's source has arrived")
                .path("id", Kind::Uuid)
                .machine_body::<SourceStored>()
                .resource::<Build>(202)
                .location()
                .needs_role()
                .problem("idempotency-key-reused")
                .problem("no-source-awaited"),
        )
        .route(
            "tick_builds",
            Operation::new("Time has passed").answer::<Map<String, Value>>(200),
        )
}

#[test]
fn the_contract_is_what_the_code_does_and_what_is_committed() {
    nokube_guest::testing::check_contract(&crate::COMPONENT, &contract());
}
