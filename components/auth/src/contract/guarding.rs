//! The contract's part about invitations and second factors.

use nokube_api::auth::{Invitation, NewInvitation, RecoveryCodes, TotpBegun, TotpState};
use nokube_api::requests::auth::{
    BeginTotpRequest, ConfirmTotpRequest, CreateInvitationRequest, DeleteTotpRequest,
};
use nokube_contract::{Contract, Kind, Operation};

pub(crate) fn contract() -> Contract {
    invitations().and(second_factor())
}

fn invitations() -> Contract {
    Contract::new()
        .route(
            "create_invitation",
            Operation::new("Invites somebody to register")
                .description("Only this answer has the code, which works once.")
                .body::<CreateInvitationRequest>()
                .answer::<NewInvitation>(201)
                .location()
                .without_idempotency_key("the answer has a secret, which is not kept")
                .problem("too-many-invitations"),
        )
        .route(
            "list_invitations",
            Operation::new("Invitations, the newest first").paged::<Invitation>(),
        )
        .route(
            "get_invitation",
            Operation::new("An invitation")
                .path("id", Kind::Uuid)
                .resource::<Invitation>(200),
        )
        .route(
            "delete_invitation",
            Operation::new("Withdraws an invitation")
                .description("An account that was made with it stays.")
                .path("id", Kind::Uuid)
                .no_content()
                .if_match(),
        )
}

fn second_factor() -> Contract {
    Contract::new()
        .route(
            "get_totp",
            Operation::new("Whether the caller has a second factor")
                .resource::<TotpState>(200)
                .needs_role(),
        )
        .route(
            "begin_totp",
            Operation::new("Begins to set a second factor up, or begins anew (RFC 6238)")
                .description("Nothing changes for a sign-in before it is confirmed.")
                .body::<BeginTotpRequest>()
                .answer::<TotpBegun>(201)
                .needs_role()
                .limited()
                .without_idempotency_key("the answer has a secret, which is not kept")
                .problem("wrong-credentials")
                .problem("second-factor-on")
                .problem("too-many-sign-ins"),
        )
        .route(
            "confirm_totp",
            Operation::new("Turns the second factor on")
                .description("Only this answer has the recovery codes.")
                .body::<ConfirmTotpRequest>()
                .answer::<RecoveryCodes>(200)
                .needs_role()
                .limited()
                .problem("wrong-second-factor")
                .problem("second-factor-on")
                .problem("second-factor-not-begun"),
        )
        .route(
            "delete_totp",
            Operation::new("Takes the second factor away")
                .body::<DeleteTotpRequest>()
                .no_content()
                .needs_role()
                .limited()
                .if_match()
                .problem("wrong-credentials")
                .problem("wrong-second-factor")
                .problem("second-factor-not-begun")
                .problem("too-many-sign-ins"),
        )
}
