//! Whether whoever calls may still act: only `auth` can know at once. Elsewhere an access token lives
//! out its 15 minutes.

use nokube_domain::UserRole;
use nokube_guest::db::Db;
use nokube_guest::{Caller, Error};

use crate::error::AuthError;
use crate::store::api_tokens::api_token_is_live;
use crate::store::sessions::session_is_live;
use crate::store::users::{UserRow, user_by_id};
use crate::tokens::api_token_of;

/// Refuses an access token whose session or API token has ended, or whose user may not act.
pub(crate) async fn require_live(db: &Db, caller: &Caller) -> Result<(), AuthError> {
    let is_live = match api_token_of(&caller.session_id) {
        Some(id) => api_token_is_live(db, id, caller.id).await?,
        None => session_is_live(db, &caller.session_id, caller.id).await?,
    };
    if is_live {
        Ok(())
    } else {
        Err(Error::Unauthenticated { given: true }.into())
    }
}

/// The caller's account as it is now.
pub(crate) async fn live_user(db: &Db, caller: &Caller) -> Result<UserRow, AuthError> {
    require_live(db, caller).await?;
    let row = user_by_id(db, caller.id).await?;
    Ok(row.ok_or(Error::Unauthenticated { given: true })?)
}

/// Refuses whoever is no administrator any more, whatever the access token says.
pub(crate) async fn require_admin(db: &Db, caller: &Caller) -> Result<(), AuthError> {
    if is_admin_now(db, caller).await? {
        Ok(())
    } else {
        Err(Error::Forbidden("This needs an administrator.").into())
    }
}

/// Whether the token lets its user administer, and the user still may.
pub(crate) async fn is_admin_now(db: &Db, caller: &Caller) -> Result<bool, AuthError> {
    let user = live_user(db, caller).await?;
    Ok(caller.is_admin() && user.role == UserRole::Admin.as_str())
}
