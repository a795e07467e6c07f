//! Whether a capability works.

use nokube_api::health::Health;

use crate::db::{Db, DbError};
use crate::{Ctx, Response};

/// The answer to `GET /api/v1/<capability>/health`: 200, or 503 when the database does not answer.
/// Give it what opening the database returned; components without one give `None`.
pub async fn health(cx: &Ctx, database: Option<Result<Db, DbError>>) -> Response {
    let failure = match database {
        None => None,
        Some(Err(error)) => Some(error),
        Some(Ok(db)) => db.query_one::<(i64,)>("SELECT 1", &[]).await.err(),
    };
    let status = if failure.is_none() {
        "ok"
    } else {
        "unavailable"
    };
    if let Some(error) = &failure {
        cx.log("error", &format!("the database does not answer: {error}"));
    }
    let health = Health {
        status: status.to_owned(),
        service: cx.service.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: cx.now().to_string(),
    };
    Response::json(if failure.is_none() { 200 } else { 503 }, &health)
}
