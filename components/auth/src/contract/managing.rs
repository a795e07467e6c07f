//! The contract's part about one's sessions, API tokens and account, about users and the audit trail.

use nokube_api::auth::{
    AccessToken, Account, AccountExport, ApiToken, AuthAuditPage, NewApiToken, Session,
};
use nokube_api::requests::auth::{
    ChangePasswordRequest, CreateApiTokenRequest, DeleteMeRequest, ExchangeTokenRequest,
    UpdateUserRequest,
};
use nokube_contract::{Contract, Kind, Operation};

pub(crate) fn contract() -> Contract {
    account()
        .and(sessions())
        .and(api_tokens())
        .and(administration())
}

fn account() -> Contract {
    Contract::new()
        .route(
            "change_password",
            Operation::new("Changes the caller's password")
                .description("Every other session ends. API tokens stay, unless they shall not.")
                .body::<ChangePasswordRequest>()
                .no_content()
                .limited()
                .problem("wrong-credentials")
                .problem("too-many-sign-ins"),
        )
        .route(
            "delete_me",
            Operation::new("Deletes the caller's account and all that lets somebody in with it")
                .description("What it did stays in the audit trail, without name and address.")
                .body::<DeleteMeRequest>()
                .no_content()
                .if_match()
                .limited()
                .problem("wrong-credentials")
                .problem("owns-projects")
                .problem("last-administrator")
                .problem("too-many-sign-ins"),
        )
        .route(
            "export_me",
            Operation::new("What is kept about the caller and goes with the account")
                .description(
                    "Without what is secret, and without the projects the caller owns. An API token \
                     needs the scopes `projects:read` and `events:read` as well.",
                )
                .needs_role()
                .limited()
                .answer::<AccountExport>(200),
        )
}

fn sessions() -> Contract {
    Contract::new()
        .route(
            "list_sessions",
            Operation::new("The caller's sessions, the last used first").paged::<Session>(),
        )
        .route(
            "get_session",
            Operation::new("A session of the caller's")
                .path("id", Kind::Uuid)
                .resource::<Session>(200),
        )
        .route(
            "end_session",
            Operation::new("Ends a session of the caller's")
                .description("Access tokens of it are good for 15 minutes at most.")
                .path("id", Kind::Uuid)
                .no_content()
                .if_match(),
        )
}

fn api_tokens() -> Contract {
    Contract::new()
        .route(
            "exchange_api_token",
            Operation::new("Changes an API token for an access token that may do as much")
                .description("There is no refresh token: the API token is good for the next one.")
                .body::<ExchangeTokenRequest>()
                .answer::<AccessToken>(200)
                .problem("token-refused")
                .problem("no-second-factor")
                .limited(),
        )
        .route(
            "create_api_token",
            Operation::new("Makes an API token")
                .description(
                    "Only this answer has its value. Made with another API token, it may do no \
                     more than that one, and ends with it.",
                )
                .body::<CreateApiTokenRequest>()
                .answer::<NewApiToken>(201)
                .location()
                .without_idempotency_key("the answer has a secret, which is not kept")
                .problem("no-second-factor")
                .problem("too-many-tokens"),
        )
        .route(
            "list_api_tokens",
            Operation::new("The caller's API tokens, the newest first").paged::<ApiToken>(),
        )
        .route(
            "get_api_token",
            Operation::new("An API token of the caller's")
                .path("id", Kind::Uuid)
                .resource::<ApiToken>(200),
        )
        .route(
            "revoke_api_token",
            Operation::new("Revokes an API token, and those that were made with it")
                .description("Access tokens of it are good for 15 minutes at most.")
                .path("id", Kind::Uuid)
                .no_content()
                .if_match(),
        )
}

fn administration() -> Contract {
    Contract::new()
        .route(
            "list_users",
            Operation::new("Users, in the order they registered")
                .query(
                    "q",
                    Kind::Text(100),
                    "What the name or the address begins with, in whatever case.",
                )
                .query("role", Kind::OneOf(&["admin", "user"]), "Only this role.")
                .query(
                    "disabled",
                    Kind::OneOf(&["true", "false"]),
                    "Only those that are disabled, or that are not.",
                )
                .paged::<Account>(),
        )
        .route(
            "get_user",
            Operation::new("A user")
                .path("id", Kind::Id)
                .resource::<Account>(200),
        )
        .route(
            "update_user",
            Operation::new("Changes a user's role, and disables the account or enables it")
                .description(
                    "What is left out stays. All sessions of a disabled account end; its API \
                     tokens are good again once it is enabled.",
                )
                .path("id", Kind::Id)
                .body::<UpdateUserRequest>()
                .resource::<Account>(200)
                .if_match()
                .problem("last-administrator"),
        )
        .route(
            "list_auth_audit",
            Operation::new(
                "What the caller did with accounts; for administrators, what anyone did",
            )
            .query(
                "action",
                Kind::Text(64),
                "Only this action, such as `session.create`.",
            )
            .query(
                "actor",
                Kind::Any,
                "A user's name, `user:<id>`, or `system`.",
            )
            .query("from", Kind::Time, "Only what was done then or later.")
            .query("to", Kind::Time, "Only what was done before.")
            .query("limit", Kind::Number(1, 100), "Entries of one answer.")
            .cursor()
            .needs_role()
            .answer::<AuthAuditPage>(200),
        )
}
