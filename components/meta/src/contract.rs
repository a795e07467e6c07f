//! What each route promises, beside its row in the table: for the API's document and for tests.

use nokube_api::health::ApplicationHealth;
use nokube_contract::{Contract, Operation};
use serde_json::{Map, Value};

pub(crate) fn contract() -> Contract {
    Contract::new()
        .route(
            "get_health",
            Operation::new("Whether the whole platform works")
                .answer::<ApplicationHealth>(200)
                .answer::<ApplicationHealth>(503)
                .meaning("A part does not answer."),
        )
        .route(
            "get_openapi",
            Operation::new("This document").resource::<Map<String, Value>>(200),
        )
        .route(
            "tick",
            Operation::new("Time has passed")
                .answer::<Map<String, Value>>(200)
                .answer::<Map<String, Value>>(503)
                .meaning("A part did not take it."),
        )
}

#[test]
fn the_contract_is_what_the_code_does_and_what_is_committed() {
    nokube_guest::testing::check_contract(&crate::COMPONENT, &contract());
}
