//! Whether `events` works.

use nokube_guest::{Ctx, Response, platform};

use crate::error::EventsError;

/// `GET /events/health`.
pub(crate) async fn get_events_health(cx: Ctx) -> Result<Response, EventsError> {
    Ok(nokube_guest::health(&cx, Some(platform::open(&cx).await)).await)
}
