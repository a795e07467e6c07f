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
        scene.get(&format!("{path}?q=hell")).expect(200)["lines"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        scene.get(&format!("{path}?q=other")).expect(200)["lines"],
        json!([])
    );
    let late = format!("{path}?since=2027-01-15T08:00:01Z");
    assert_eq!(scene.get(&late).expect(200)["lines"], json!([]));
    assert_eq!(scene.get(&format!("{path}?since=x")).faults(), ["/since"]);
    scene
        .get(&format!("{path}?cursor=a%26limit%3D9"))
        .expect(200);
    let sent = scene.app.host.sent.borrow();
    assert!(
        sent.last().unwrap().url.ends_with("cursor=a%26limit%3D9"),
        "{}",
        sent.last().unwrap().url
    );
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
fn a_followed_log_ends_by_itself() {
    let scene = Scene::new();
    let id = scene.running();
    let request = scene
        .app
        .get(&format!("/api/v1/deployments/{id}/logs?q=nothing"))
        .bearer(&scene.token("ada"));
    let stream = request.header("accept", "text/event-stream").send();
    let text = String::from_utf8(stream.body).unwrap();
    assert!(
        text.starts_with("retry: 1000\n\n") && text.contains(": still here"),
        "{text}"
    );
}
