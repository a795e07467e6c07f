//! Seeing where one is signed in, and signing out there.

use super::{PASSWORD, access, app, login, refresh, register};
use serde_json::Value;

#[test]
fn sessions_are_listed_and_the_present_one_is_marked() {
    let app = app();
    let first = register(&app, "alice");
    app.advance_ms(1_000);
    let second = app
        .post("/api/v1/auth/login")
        .header("user-agent", "curl/8")
        .json(&serde_json::json!({ "username": "alice", "password": PASSWORD }))
        .send()
        .expect(200);
    register(&app, "bob");
    let list = app
        .get("/api/v1/auth/sessions")
        .bearer(access(&first))
        .send()
        .expect(200);
    assert_eq!(list["pagination"]["total"], 2);
    let current: Vec<&Value> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|session| &session["current"])
        .collect();
    assert_eq!(current, [false, true], "the last used one is first");
    assert_eq!(list["data"][0]["user_agent"], "curl/8");
    assert_eq!(list["data"][0]["address"], "192.0.2.1");
    assert_eq!(list["data"][1]["created_at"], "2027-01-15T08:00:00.000Z");
    let _ = refresh(&app, &second).expect(200);
}

#[test]
fn an_ended_session_neither_refreshes_nor_is_listed() {
    let app = app();
    let first = register(&app, "alice");
    let second = login(&app, "alice", PASSWORD).expect(200);
    let list = || {
        app.get("/api/v1/auth/sessions")
            .bearer(access(&first))
            .send()
            .expect(200)
    };
    let other = list()["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|session| session["current"] == false)
        .unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/v1/auth/sessions/{other}");
    let read = app.get(&path).bearer(access(&first)).send();
    let etag = read.headers.get("etag").unwrap().to_owned();
    assert_eq!(read.expect(200)["id"], other.as_str());
    let end = |tag: &str| {
        app.delete(&path)
            .bearer(access(&first))
            .header("if-match", tag)
            .send()
            .status
    };
    assert_eq!(end("\"other\""), 412);
    // Going on is no change, but something new to read.
    app.advance_ms(1_000);
    let next = refresh(&app, &second).expect(200);
    let request = app.get(&path).bearer(access(&first));
    assert_eq!(request.header("if-none-match", &etag).send().status, 200);
    assert_eq!(end(&etag), 204);
    assert_eq!(end(&etag), 404);
    assert_eq!(refresh(&app, &next).status, 401);
    assert_eq!(list()["pagination"]["total"], 1);
    let ended = app
        .get("/api/v1/auth/sessions")
        .bearer(access(&second))
        .send();
    assert_eq!(ended.status, 401, "auth itself knows at once");
}
