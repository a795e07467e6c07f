//! What is another user's.

use super::{app, register};
use crate::COMPONENT;
use nokube_guest::Access;

/// Users act on the account of their own token. Ids of what belongs to somebody (a session, a token) need a test
/// that another user's is 404, as in `components/projects`; what only administrators see belongs to the platform.
#[test]
fn no_route_takes_the_id_of_something_owned() {
    for route in COMPONENT.routes {
        assert!(
            !route.path.contains(':') || route.access == Access::Admin,
            "{} takes an id and has no cross-tenant test",
            route.operation
        );
    }
}

#[test]
fn what_is_the_platforms_is_for_administrators_only() {
    let app = app();
    let user = register(&app, "alice");
    for route in COMPONENT.routes {
        if route.access == Access::Admin {
            let answer = app
                .request(route.method.clone(), route.path)
                .bearer(super::access(&user))
                .send();
            assert_eq!(answer.status, 403, "{}", route.operation);
        }
    }
}
