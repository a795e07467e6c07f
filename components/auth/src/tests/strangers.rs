//! What is another user's.

use crate::COMPONENT;

/// Everyone here acts on the account of their own token. The first route with an id (a session, a token, a user) needs
/// a test that another user's is 404, as in `components/projects`.
#[test]
fn no_route_takes_the_id_of_something_owned() {
    for route in COMPONENT.routes {
        assert!(
            !route.path.contains(':'),
            "{} takes an id and has no cross-tenant test",
            route.operation
        );
    }
}
