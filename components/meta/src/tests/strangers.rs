//! What is another user's.

use nokube_guest::Access;

use crate::COMPONENT;

/// Nothing here is anyone's.
#[test]
fn no_route_is_for_users_or_takes_an_id() {
    for route in COMPONENT.routes {
        let operation = route.operation;
        assert!(!route.path.contains(':'), "{operation} takes an id");
        assert!(
            matches!(route.access, Access::Public | Access::System),
            "{operation} has users and no cross-tenant test"
        );
    }
}
