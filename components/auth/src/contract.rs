//! What each route promises, beside its row in the table: for the API's document and for tests.

mod guarding;
mod managing;

use nokube_api::auth::{JsonWebKeySet, SetupState, SignedIn, Tokens, User, UserNames, Verified};
use nokube_api::health::Health;
use nokube_api::requests::auth::{LoginRequest, RefreshRequest, RegisterRequest, UpdateMeRequest};
use nokube_contract::{Contract, Kind, Operation};

pub(crate) fn contract() -> Contract {
    Contract::new()
        .route(
            "get_auth_health",
            Operation::new("Whether accounts and sessions work")
                .answer::<Health>(200)
                .answer::<Health>(503)
                .meaning("Its database does not answer."),
        )
        .route(
            "get_jwks",
            Operation::new("The public keys of access tokens (RFC 7517)")
                .answer::<JsonWebKeySet>(200),
        )
        .route(
            "register_user",
            Operation::new("Opens an account and signs in")
                .body::<RegisterRequest>()
                .answer::<SignedIn>(201)
                .location()
                .problem("setup-code-refused")
                .problem("registration-closed")
                .problem("invitation-required")
                .problem("invitation-refused")
                .problem("taken")
                .problem("too-many-sign-ins")
                .limited(),
        )
        .route(
            "login",
            Operation::new("Signs in")
                .description(
                    "Which of name and password is wrong is not told, by words or by time.",
                )
                .body::<LoginRequest>()
                .answer::<SignedIn>(200)
                .problem("wrong-credentials")
                .problem("second-factor-required")
                .problem("wrong-second-factor")
                .problem("too-many-sign-ins")
                .limited(),
        )
        .route(
            "refresh_tokens",
            Operation::new("Changes a refresh token for the next pair")
                .description("A refresh token works once; used twice it ends its whole session.")
                .body::<RefreshRequest>()
                .answer::<Tokens>(200)
                .problem("refresh-refused")
                .limited(),
        )
        .route(
            "logout",
            Operation::new("Ends the session")
                .query("all", Kind::Flag, "End all of the caller's sessions.")
                .no_content()
                .needs_role(),
        )
        .route(
            "verify_token",
            Operation::new("Whose token it is, while its session goes on").answer::<Verified>(200),
        )
        .route(
            "get_me",
            Operation::new("The caller's own account").resource::<User>(200),
        )
        .route(
            "update_me",
            Operation::new("Changes the caller's address")
                .body::<UpdateMeRequest>()
                .resource::<User>(200)
                .if_match()
                .limited()
                .problem("taken"),
        )
        .route(
            "get_setup_state",
            Operation::new("Whether an administrator has registered").answer::<SetupState>(200),
        )
        .route(
            "list_user_names",
            Operation::new("Names of users, by id or by name")
                .description("Those whose accounts are disabled or gone are left out.")
                .query("username", Kind::Any, "A name.")
                .query("ids", Kind::Any, "Ids, separated by commas.")
                .answer::<UserNames>(200),
        )
        .and(guarding::contract())
        .and(managing::contract())
}

#[test]
fn the_contract_is_what_the_code_does_and_what_is_committed() {
    nokube_guest::testing::check_contract(&crate::COMPONENT, &contract());
}
