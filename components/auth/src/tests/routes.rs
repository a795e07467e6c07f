//! What every answer has, and who may call what.

use super::app;
use crate::COMPONENT;
use nokube_guest::{Access, Method};

#[test]
fn only_what_needs_no_caller_is_public() {
    let public: Vec<_> = COMPONENT
        .routes
        .iter()
        .filter(|route| route.access == Access::Public)
        .map(nokube_guest::Route::operation_id)
        .collect();
    assert_eq!(
        public,
        [
            "get_auth_health",
            "get_jwks",
            "register_user",
            "login",
            "refresh_tokens",
            "exchange_api_token"
        ]
    );
}

#[test]
fn every_other_route_refuses_strangers() {
    let app = app();
    for route in COMPONENT.routes {
        if route.access != Access::Public {
            for credential in ["", "x", "test-runner-token"] {
                let request = app.request(route.method.clone(), route.path);
                let answer = request.bearer(credential).send();
                assert_eq!(answer.status, 401, "{}", route.operation);
            }
        }
    }
}

#[test]
fn unknown_paths_and_methods_are_told_apart() {
    let app = app();
    assert_eq!(
        app.get("/api/v1/auth/nothing").send().expect(404)["type"],
        "/problems/not-found"
    );
    let other = app.delete("/api/v1/auth/verify").send();
    let _ = other.expect(405);
    assert_eq!(other.headers.get("allow"), Some("GET, HEAD, OPTIONS"));
    let options = app.request(Method::OPTIONS, "/api/v1/auth/login").send();
    assert_eq!(options.status, 204);
}

#[test]
fn every_answer_has_an_id_and_the_security_headers() {
    let app = app();
    let answer = app
        .get("/nowhere")
        .header("x-request-id", "from-client")
        .send();
    assert_eq!(answer.headers.get("x-request-id"), Some("from-client"));
    assert_eq!(answer.expect(404)["request_id"], "from-client");
    assert_eq!(
        answer.headers.get("x-content-type-options"),
        Some("nosniff")
    );
    assert_eq!(answer.headers.get("cache-control"), Some("no-store"));
    let length = answer.body.len().to_string();
    assert_eq!(answer.headers.get("content-length"), Some(length.as_str()));
    let own = app.get("/nowhere").header("x-request-id", "bad\tid").send();
    assert_ne!(own.headers.get("x-request-id"), Some("bad\tid"));
}

#[test]
fn a_large_body_is_refused() {
    let app = app();
    let announced = app
        .post("/api/v1/auth/login")
        .header("content-length", "52428800")
        .send();
    assert_eq!(announced.expect(413)["type"], "/problems/body-too-large");
    let unannounced = app
        .post("/api/v1/auth/login")
        .body(&"x".repeat(2 << 20))
        .send();
    assert_eq!(unannounced.status, 413);
}

#[test]
fn health_asks_the_database() {
    nokube_guest::testing::check_health(&app());
}
