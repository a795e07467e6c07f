//! Logs of deployments.

use super::*;

#[test]
fn a_log_comes_from_the_target() {
    let scene = Scene::new();
    let id = scene.running();
    let path = format!("/api/v1/deployments/{id}/logs");
    let page = scene.get(&path).expect(200);
    assert_eq!(
        (&page["lines"][0]["text"], &page["cursor"]),
        (&json!("Hello"), &json!("c1"))
    );
    assert_eq!(
        (
            &page["lines"][0]["component"],
            &page["lines"][0]["request_id"]
        ),
        (&json!("front"), &json!("r-1"))
    );
    scene
        .get(&format!("{path}?cursor=a%26limit%3D9"))
        .expect(200);
    assert!(
        scene.last_url().ends_with("cursor=a%26limit%3D9"),
        "{}",
        scene.last_url()
    );
}

#[test]
fn the_target_looks_for_what_is_wanted_of_a_log() {
    let scene = Scene::new();
    let id = scene.running();
    let path = format!("/api/v1/deployments/{id}/logs");
    let query = "q=Hell%20%26&since=2027-01-15T09:00:00%2B01:00&tail=5&limit=7";
    let page = scene.get(&format!("{path}?{query}")).expect(200);
    assert_eq!(
        page["lines"][0]["text"], "Hello",
        "nothing is left out here"
    );
    assert_eq!(
        scene.last_url(),
        format!(
            "http://sidecar.test/v1/apps/{id}/logs?limit=7&tail=5&since=2027-01-15T08%3A00%3A00.000Z&q=Hell+%26"
        )
    );
    let nothing = scene.get(&format!("{path}?q=other")).expect(200);
    assert_eq!(
        (&nothing["lines"], &nothing["cursor"]),
        (&json!([]), &json!("c1")),
        "a page without a line has the place to go on from"
    );
    for (query, pointer) in [
        ("since=x", "/since"),
        ("tail=-1", "/tail"),
        ("tail=100001", "/tail"),
        (format!("q={}", "x".repeat(201)).as_str(), "/q"),
        (format!("cursor={}", "1".repeat(257)).as_str(), "/cursor"),
    ] {
        let answer = scene.get(&format!("{path}?{query}"));
        assert_eq!(answer.faults(), [pointer], "{query}");
    }
}

#[test]
fn a_log_is_text_when_text_is_asked_for_and_the_target_may_be_away() {
    let scene = Scene::new();
    let id = scene.running();
    let path = format!("/api/v1/deployments/{id}/logs");
    let request = scene.app.get(&path).bearer(&scene.token("ada"));
    let text = request.header("accept", "text/plain").send();
    assert_eq!(String::from_utf8_lossy(&text.body), "Hello\n");
    scene.sidecar.borrow_mut().down = true;
    scene.get(&path).expect(503);
}

#[test]
fn a_followed_log_that_is_never_silent_ends_by_itself_too() {
    // It lives as long as the answers of the sidecar, which are made up below.
    let scene: &'static Scene = Box::leak(Box::new(Scene::new()));
    let id = scene.running();
    let asked = std::cell::Cell::new(0);
    scene.app.answer_calls(move |_| {
        asked.set(asked.get() + 1);
        assert!(asked.get() < 100, "it goes on for ever");
        scene.app.advance_ms(1_000);
        let line = json!({ "n": 1, "time": "2027-01-15T08:00:00.000Z", "stream": "stdout", "text": "busy" });
        let page = json!({ "lines": [line], "cursor": "c2", "complete": false });
        Ok(OutboundAnswer {
            status: 200,
            headers: Vec::new(),
            body: page.to_string().into_bytes(),
        })
    });
    let request = scene.app.get(&format!("/api/v1/deployments/{id}/logs"));
    let request = request.bearer(&scene.token("ada"));
    let stream = request.header("accept", "text/event-stream").send();
    let text = String::from_utf8(stream.body).unwrap();
    assert!(
        text.ends_with("\n\n") && text.contains("id: c2\n"),
        "{text}"
    );
}

impl Scene {
    /// Where the last question to the sidecar went.
    fn last_url(&self) -> String {
        let sent = self.app.host.sent.borrow();
        sent.last().expect("something was asked").url.clone()
    }
}

#[test]
fn a_followed_log_ends_by_itself() {
    let scene = Scene::new();
    let id = scene.running();
    let request = scene
        .app
        .get(&format!("/api/v1/deployments/{id}/logs?q=other"))
        .bearer(&scene.token("ada"));
    let stream = request.header("accept", "text/event-stream").send();
    let text = String::from_utf8(stream.body).unwrap();
    assert!(
        text.starts_with("retry: 1000\n\n") && text.contains(": still here\nid: c1\n\n"),
        "{text}"
    );
}
