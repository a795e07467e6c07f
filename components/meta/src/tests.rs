//! The component from request to answer, natively.

mod strangers;

use nokube_guest::host::OutboundAnswer;
use nokube_guest::testing::TestApp;
use serde_json::json;

fn app(broken: &'static str) -> TestApp {
    let app = TestApp::new(&crate::COMPONENT).described_by(&crate::contract::contract());
    app.answer_calls(move |request| {
        let is_broken = !broken.is_empty() && request.url.contains(broken);
        Ok(OutboundAnswer {
            status: if is_broken { 503 } else { 200 },
            headers: vec![],
            body: vec![],
        })
    });
    app
}

#[test]
fn health_is_that_of_all_components() {
    let health = app("").get("/health").send().expect(200);
    assert_eq!(health["status"], "ok");
    assert_eq!(health["components"].as_array().unwrap().len(), 5);
    let health = app("builds").get("/health").send().expect(503);
    assert_eq!(
        health["components"][2],
        json!({ "name": "builds", "status": "unavailable" })
    );
}

#[test]
fn the_tick_reaches_everyone_even_past_a_broken_one() {
    let app = app("builds");
    let tick = || {
        app.post("/internal/tick")
            .bearer("test-system-token")
            .send()
    };
    assert_eq!(tick().expect(503), json!({ "builds": 503, "deploy": 200 }));
    assert_eq!(app.host.sent.borrow().len(), 2);
    assert_eq!(app.post("/internal/tick").send().status, 401);
    assert_eq!(app.post("/internal/tick").bearer("x").send().status, 401);
}

#[test]
fn paths_nobody_has_are_problems() {
    for path in ["/", "/api/v1/nothing", "/internal/x"] {
        let problem = app("").get(path).send().expect(404);
        assert_eq!(problem["type"], "/problems/not-found");
    }
}

#[test]
fn the_document_of_the_api_is_served_under_both_bases_and_not_twice() {
    let app = app("");
    let first = app.get("/api/v1/openapi.json").send();
    assert_eq!(first.expect(200)["openapi"], "3.1.0");
    let etag = first.headers.get("etag").unwrap();
    let again = app.get("/api/openapi.json").header("if-none-match", etag);
    assert_eq!(again.send().status, 304);
    let kept = first.headers.get("cache-control");
    assert_eq!(kept, Some("public, max-age=300"));
}
