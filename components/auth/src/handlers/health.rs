//! Whether `auth` works.

use nokube_guest::{Ctx, Response};

use crate::error::AuthError;
use crate::store;

/// `GET /auth/health`.
pub(crate) async fn get_auth_health(cx: Ctx) -> Result<Response, AuthError> {
    Ok(nokube_guest::health(&cx, Some(store::open(&cx).await)).await)
}
