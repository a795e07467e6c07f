//! What can go wrong in `events`, and the one place where it becomes a problem.

use nokube_guest::db::DbError;
use nokube_guest::limits::Standing;
use nokube_guest::{Error, Problem};

/// An error of this component.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventsError {
    #[error(transparent)]
    Guest(#[from] Error),
    #[error("the caller has {0} events, as many as one may")]
    TooMany(u64),
    #[error("no calendar is shown at this address")]
    NoCalendar(Standing),
    #[error("the calendar or the address it is asked from has had too many requests")]
    TooManyReads(Standing),
}

impl From<DbError> for EventsError {
    fn from(error: DbError) -> Self {
        Self::Guest(error.into())
    }
}

impl From<EventsError> for Problem {
    fn from(error: EventsError) -> Self {
        match error {
            EventsError::Guest(error) => error.into(),
            EventsError::TooMany(limit) => Self::new(409, "too-many-events", "Too many events")
                .detail(format!(
                    "One account may have {limit} events on this platform. Delete one first."
                )),
            EventsError::NoCalendar(standing) => {
                standing.on_problem(Error::NotFound("calendar").into())
            }
            EventsError::TooManyReads(standing) => standing.on_problem(
                Self::new(429, "too-many-attempts", "Too many attempts")
                    .detail("There were too many requests. Wait as long as Retry-After says.")
                    .header("retry-after", standing.reset_seconds.to_string()),
            ),
        }
    }
}
