//! What every component's tests hold its table against: scoped tokens reach only what they are for.

use http::Method;

use super::{TestAnswer, TestApp};
use crate::{Access, Component, Route};

/// What a scope may name.
const CAPABILITIES: [&str; 7] = [
    "account", "projects", "builds", "deploy", "events", "servers", "metrics",
];

/// Calls each route for users and administrators with tokens of an administrator that have the scopes
/// it needs and with tokens that do not, and checks which are refused for that. Returns how many
/// routes there were.
///
/// # Panics
/// When one is let through that should not be, or the other way round.
#[track_caller]
pub fn check_scopes(component: &'static Component, capability: &str) -> usize {
    let app = TestApp::new(component);
    let routes = component.routes.iter();
    let called = routes.filter(|route| matches!(route.access, Access::User | Access::Admin));
    let mut number = 0;
    for route in called {
        number += 1;
        check_route(&app, route, capability);
    }
    number
}

fn check_route(app: &TestApp, route: &Route, capability: &str) {
    let reads = route.method == Method::GET;
    let fits = |scope: &str| {
        if scope == "admin" || route.any_scope {
            return true;
        }
        if route.access == Access::Admin {
            return false;
        }
        let (of, reach) = scope.split_once(':').unwrap_or(("", scope));
        let reaches = reach == "write" || (reach == "read" && reads);
        reaches && (of == capability || (of.is_empty() && capability != "account"))
    };
    let of_capabilities = CAPABILITIES
        .iter()
        .flat_map(|name| [format!("{name}:read"), format!("{name}:write")]);
    let scopes = ["", "admin", "read", "write", "unheard:of"]
        .map(str::to_owned)
        .into_iter()
        .chain(of_capabilities);
    for scope in scopes {
        let answer = send(app, route, &scope);
        let refused = is_scope_missing(&answer);
        let operation = route.operation;
        assert_eq!(
            refused,
            !fits(&scope),
            "{operation} with the scope {scope:?}"
        );
        if refused {
            let challenge = answer.headers.get("www-authenticate").unwrap_or_default();
            assert!(challenge.contains("insufficient_scope"), "{challenge}");
        }
    }
    let unscoped = app.token(9, "root", "admin");
    let answer = request(app, route, &unscoped);
    assert!(!is_scope_missing(&answer), "{}", route.operation);
}

fn send(app: &TestApp, route: &Route, scope: &str) -> TestAnswer {
    request(app, route, &app.scoped_token(9, "root", "admin", scope))
}

/// What becomes of it behind the guard is no matter here.
fn request(app: &TestApp, route: &Route, token: &str) -> TestAnswer {
    let path: Vec<&str> = route
        .path
        .split('/')
        .map(|segment| {
            if segment.starts_with(':') {
                "1"
            } else {
                segment
            }
        })
        .collect();
    app.request(route.method.clone(), &path.join("/"))
        .bearer(token)
        .send()
}

fn is_scope_missing(answer: &TestAnswer) -> bool {
    let is = String::from_utf8_lossy(&answer.body).contains("/problems/scope-missing");
    assert!(!is || answer.status == 403);
    is
}
