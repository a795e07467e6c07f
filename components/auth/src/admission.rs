//! Who may register: everyone, who was invited, or nobody. The setup code always works, once.

use nokube_domain::{Email, UserId, UserRole};
use nokube_guest::db::{Db, Tx};
use nokube_guest::{Ctx, Error};
use subtle::ConstantTimeEq as _;

use crate::error::AuthError;
use crate::handlers::invitations::hash_code;
use crate::limits::{self, Limit};
use crate::store;
use crate::store::invitations::{InvitationRow, invitation_by_code, invitation_use};

/// The variable `registration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    Invite,
    Closed,
}

/// What lets somebody register.
pub(crate) struct Admission {
    pub(crate) role: UserRole,
    invitation: Option<InvitationRow>,
}

impl Mode {
    /// What is not understood lets nobody in by mistake.
    fn of(cx: &Ctx) -> Result<Self, Error> {
        match cx.variable("registration").as_deref().map(str::trim) {
            None | Some("open") => Ok(Self::Open),
            Some("invite") => Ok(Self::Invite),
            Some("closed") => Ok(Self::Closed),
            Some(_) => Err(Error::Configuration("registration")),
        }
    }
}

impl Admission {
    /// Lets in or refuses, before anything is computed. A wrong code is not a registration without one.
    pub(crate) async fn of(
        cx: &Ctx,
        db: &Db,
        setup_code: Option<&str>,
        invitation_code: Option<&str>,
        email: Option<&Email>,
    ) -> Result<Self, AuthError> {
        let mode = Mode::of(cx)?;
        if let Some(given) = setup_code {
            check_setup_code(cx, db, given).await?;
            return Ok(Self {
                role: UserRole::Admin,
                invitation: None,
            });
        }
        if mode == Mode::Closed {
            return Err(AuthError::RegistrationClosed);
        }
        let invitation = match invitation_code {
            Some(code) => Some(find_invitation(cx, db, code, email).await?),
            None if mode == Mode::Invite => return Err(AuthError::InvitationRequired),
            None => None,
        };
        Ok(Self {
            role: UserRole::User,
            invitation,
        })
    }

    /// The address that the invitation is for.
    pub(crate) fn email(&self) -> Option<Email> {
        let text = self.invitation.as_ref()?.email.as_deref()?;
        Email::parse(text).ok()
    }

    /// Spends what let the user in, in the transaction that makes the account.
    pub(crate) async fn spend(&self, cx: &Ctx, tx: &Tx, user: UserId) -> Result<(), AuthError> {
        match &self.invitation {
            None => Ok(()),
            Some(row) if invitation_use(tx, &row.id, user, cx.now()).await? => Ok(()),
            Some(_) => Err(AuthError::InvitationRefused),
        }
    }
}

async fn check_setup_code(cx: &Ctx, db: &Db, given: &str) -> Result<(), AuthError> {
    limits::take(cx, db, &[&Limit::setup_from_address(cx)]).await?;
    let expected = cx.variable("setup_code").unwrap_or_default();
    let same = bool::from(given.trim().as_bytes().ct_eq(expected.as_bytes()));
    if expected.is_empty() || !same || store::setup::setup_is_done(db).await? {
        return Err(AuthError::SetupCodeRefused);
    }
    Ok(())
}

/// An invitation for an address is for that one only.
async fn find_invitation(
    cx: &Ctx,
    db: &Db,
    code: &str,
    email: Option<&Email>,
) -> Result<InvitationRow, AuthError> {
    let row = invitation_by_code(db, &hash_code(code), cx.now()).await?;
    let Some(row) = row else {
        limits::take(cx, db, &[&Limit::invitation_from_address(cx)]).await?;
        return Err(AuthError::InvitationRefused);
    };
    match (row.email.as_deref(), email.map(Email::as_str)) {
        (Some(bound), Some(given)) if bound != given => Err(AuthError::InvitationRefused),
        _ => Ok(row),
    }
}
