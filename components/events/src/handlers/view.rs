//! Events as users see them.

use nokube_api::events::Event;
use nokube_guest::Caller;

use crate::store::events::StoredEvent;

/// An event on the wire. Nobody but its owner ever sees it.
pub(super) fn event_shown(event: &StoredEvent, owner: &Caller) -> Event {
    let data = &event.data;
    Event {
        id: event.id.to_string(),
        title: data.title.as_str().to_owned(),
        description: data
            .description
            .as_ref()
            .map(|text| text.as_str().to_owned()),
        start_date: data.period.start().to_string(),
        end_date: data.period.end().to_string(),
        all_day: data.period.is_whole_days(),
        status: data.status.as_str().to_owned(),
        owner: owner.username.clone(),
        created_at: event.created_at.to_string(),
        updated_at: event.updated_at.to_string(),
    }
}
