//! Events: campaigns on a calendar. Everyone has their own, and nobody sees another's; other programs
//! read them as an iCalendar at a private address.
//!
//! Its tables are in the database `platform`; every query names the owner.

#[cfg(test)]
mod contract;
mod error;
mod handlers;
mod limits;
mod store;

#[cfg(test)]
mod tests;

use nokube_guest::{Component, Route};

/// The component.
pub static COMPONENT: Component = Component {
    name: "events",
    routes: ROUTES,
};

static ROUTES: &[Route] = nokube_guest::routes! {
    public {
        GET "/api/v1/events/health" => handlers::health::get_events_health;
        // The address is the credential.
        GET "/api/v1/events/calendar.ics" => handlers::calendar::get_calendar;
    }
    user {
        GET "/api/v1/events/feed" => handlers::feed::get_event_feed;
        POST "/api/v1/events/feed" => handlers::feed::create_event_feed;
        DELETE "/api/v1/events/feed" => handlers::feed::delete_event_feed;
        POST "/api/v1/events" => handlers::events::create_event;
        GET "/api/v1/events" => handlers::list::list_events;
        GET "/api/v1/events/:id" => handlers::events::get_event;
        PUT "/api/v1/events/:id" => handlers::events::replace_event;
        PATCH "/api/v1/events/:id" => handlers::events::update_event;
        DELETE "/api/v1/events/:id" => handlers::events::delete_event;
    }
};

#[cfg(target_family = "wasm")]
#[expect(unsafe_code, reason = "what the macro makes of the component's export")]
mod entry {
    #[spin_sdk::http_component]
    async fn entry(
        request: spin_sdk::http::IncomingRequest,
        out: spin_sdk::http::ResponseOutparam,
    ) {
        nokube_guest::serve(&super::COMPONENT, request, out).await;
    }
}
