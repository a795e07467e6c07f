//! What each route promises, beside its row in the table: for the API's document and for tests.

use nokube_api::events::{Event, EventChangeRequest, EventFeed, EventRequest, NewEventFeed};
use nokube_api::health::Health;
use nokube_api::requests::events::ReplaceEventRequest;
use nokube_contract::{Contract, Kind, Operation};

/// What `sort` takes; with - in front the other way round.
const ORDERS: [&str; 12] = [
    "start_date",
    "-start_date",
    "end_date",
    "-end_date",
    "title",
    "-title",
    "status",
    "-status",
    "created_at",
    "-created_at",
    "updated_at",
    "-updated_at",
];

pub(crate) fn contract() -> Contract {
    Contract::new()
        .route(
            "get_events_health",
            Operation::new("Whether events work")
                .answer::<Health>(200)
                .answer::<Health>(503)
                .meaning("Its database does not answer."),
        )
        .and(events())
        .and(calendar())
}

fn events() -> Contract {
    Contract::new()
        .route(
            "create_event",
            Operation::new("Makes an event")
                .body::<EventRequest>()
                .resource::<Event>(201)
                .location()
                .idempotent()
                .problem("too-many-events"),
        )
        .route(
            "list_events",
            Operation::new("The caller's events")
                .query(
                    "status",
                    Kind::OneOf(&["draft", "published", "archived"]),
                    "Only this status.",
                )
                .query(
                    "from",
                    Kind::Any,
                    "A time or a day: only what is not over by then.",
                )
                .query(
                    "to",
                    Kind::Any,
                    "A time or a day: only what begins before; a day counts to its end.",
                )
                .query(
                    "q",
                    Kind::Text(100),
                    "Words of title and description, or their beginnings; all must be there, at most 8.",
                )
                .query(
                    "sort",
                    Kind::OneOf(&ORDERS),
                    "By what; with - in front the other way round. By the start when it is left out.",
                )
                .paged::<Event>(),
        )
        .route(
            "get_event",
            Operation::new("An event")
                .path("id", Kind::Uuid)
                .resource::<Event>(200),
        )
        .route(
            "replace_event",
            Operation::new("Replaces an event")
                .description("What is left out is unset.")
                .path("id", Kind::Uuid)
                .body::<ReplaceEventRequest>()
                .resource::<Event>(200)
                .if_match(),
        )
        .route(
            "update_event",
            Operation::new("Changes an event")
                .description("What is left out stays.")
                .path("id", Kind::Uuid)
                .body::<EventChangeRequest>()
                .resource::<Event>(200)
                .if_match(),
        )
        .route(
            "delete_event",
            Operation::new("Deletes an event")
                .path("id", Kind::Uuid)
                .no_content()
                .if_match(),
        )
}

fn calendar() -> Contract {
    Contract::new()
        .route(
            "get_event_feed",
            Operation::new("Whether the caller's calendar has a private address, and is read")
                .resource::<EventFeed>(200)
                .names_something(),
        )
        .route(
            "create_event_feed",
            Operation::new("A new private address for the caller's calendar")
                .description("Only this answer has it. The one before ends.")
                .answer::<NewEventFeed>(201)
                .location()
                .without_idempotency_key("the answer has a secret, which is not kept"),
        )
        .route(
            "delete_event_feed",
            Operation::new("Ends the private address")
                .no_content()
                .names_something()
                .if_match(),
        )
        .route(
            "get_calendar",
            Operation::new("The calendar at a private address (RFC 5545)")
                .description(
                    "The address is the credential. Drafts are on it; what is archived is not, nor what \
                     ended more than 366 days ago. Of more than 5,000 events it has those that end first.",
                )
                .query("token", Kind::Any, "What makes the address private.")
                .text(200, "text/calendar")
                .names_something()
                .limited(),
        )
}

#[test]
fn the_contract_is_what_the_code_does_and_what_is_committed() {
    nokube_guest::testing::check_contract(&crate::COMPONENT, &contract());
}
