//! Logs of builds.

use super::*;

fn lines(lease: &str, first: u64, texts: &[&str]) -> Value {
    let lines: Vec<Value> = texts
        .iter()
        .map(|text| json!({ "time": "2027-01-15T08:00:01Z", "stream": "stdout", "text": text }))
        .collect();
    json!({ "lease_id": lease, "first": first, "lines": lines })
}

#[test]
fn lines_told_twice_are_kept_once_and_none_may_be_left_out() {
    let scene = Scene::new();
    let id = scene.pending();
    let lease = scene.start(&id);
    for _ in 0..2 {
        assert_eq!(
            scene
                .tell(&id, "logs", &lines(&lease, 1, &["a", "b"]))
                .status,
            204
        );
    }
    assert_eq!(
        scene
            .tell(&id, "logs", &lines(&lease, 2, &["b", "c\nd"]))
            .status,
        204
    );
    scene
        .tell(&id, "logs", &lines(&lease, 9, &["x"]))
        .expect(409);
    scene
        .tell(&id, "logs", &lines("other", 4, &["x"]))
        .expect(410);
    scene
        .tell(&id, "logs", &lines(&lease, 0, &["x"]))
        .expect(422);
    assert_eq!(scene.lines(&id), ["a", "b", "c d"]);
}

#[test]
fn a_log_is_read_by_cursor_and_complete_at_the_end() {
    let scene = Scene::new();
    let id = scene.pending();
    let lease = scene.start(&id);
    scene.tell(&id, "logs", &lines(&lease, 1, &["a", "b", "c"]));
    let path = format!("/api/v1/builds/{id}/logs");
    let first = scene.get(&format!("{path}?limit=2")).expect(200);
    assert_eq!(first["lines"].as_array().unwrap().len(), 2);
    assert_eq!(
        first["lines"][0],
        json!({
            "n": 1, "time": "2027-01-15T08:00:01.000Z", "stream": "stdout", "text": "a",
        })
    );
    let cursor = first["cursor"].as_str().unwrap();
    let second = scene.get(&format!("{path}?cursor={cursor}")).expect(200);
    assert_eq!(
        (&second["lines"][0]["text"], &second["complete"]),
        (&json!("c"), &json!(false))
    );
    scene.succeed(&id, &lease);
    let cursor = second["cursor"].as_str().unwrap();
    let last = scene.get(&format!("{path}?cursor={cursor}")).expect(200);
    assert_eq!(
        (&last["lines"], &last["complete"]),
        (&json!([]), &json!(true))
    );
    let cursor = last["cursor"].as_str().unwrap();
    let nothing = scene.get(&format!("{path}?cursor={cursor}")).expect(200);
    assert_eq!(
        (&nothing["lines"], &nothing["cursor"]),
        (&json!([]), &json!(cursor))
    );
    assert_eq!(
        scene.get(&format!("{path}?cursor=zzz")).faults(),
        ["/cursor"]
    );
    assert_eq!(scene.get(&format!("{path}?limit=0")).faults(), ["/limit"]);
}

#[test]
fn a_log_may_be_begun_some_lines_before_its_end() {
    let scene = Scene::new();
    let id = scene.pending();
    let lease = scene.start(&id);
    scene.tell(&id, "logs", &lines(&lease, 1, &["a", "b", "c"]));
    let path = format!("/api/v1/builds/{id}/logs");
    let texts = |query: &str| {
        let page = scene.get(&format!("{path}?{query}")).expect(200);
        let lines = page["lines"].as_array().cloned().unwrap_or_default();
        let texts = lines.iter().map(|line| line["text"].as_str().unwrap());
        (texts.collect::<String>(), page["cursor"].clone())
    };
    let (last, cursor) = texts("tail=2&limit=1");
    assert_eq!(last, "b");
    let cursor = cursor.as_str().unwrap().to_owned();
    assert_eq!(texts(&format!("tail=2&cursor={cursor}")).0, "c");
    assert_eq!(texts("tail=0").0, "");
    assert_eq!(texts("tail=100").0, "abc");
    assert_eq!(scene.get(&format!("{path}?tail=-1")).faults(), ["/tail"]);
}

#[test]
fn a_log_is_text_when_text_is_asked_for() {
    let scene = Scene::new();
    let id = scene.pending();
    let lease = scene.start(&id);
    scene.tell(&id, "logs", &lines(&lease, 1, &["a", "b"]));
    let request = scene
        .app
        .get(&format!("/api/v1/builds/{id}/logs"))
        .bearer(&scene.ada);
    let answer = request.header("accept", "text/plain").send();
    assert_eq!(String::from_utf8_lossy(&answer.body), "a\nb\n");
    assert_eq!(answer.headers.get("content-length"), Some("4"));
}

#[test]
fn an_event_stream_ends_with_the_build_or_by_itself() {
    let scene = Scene::new();
    let id = scene.pending();
    let lease = scene.start(&id);
    scene.tell(&id, "logs", &lines(&lease, 1, &["a"]));
    let follow = |last: Option<&str>| {
        let request = scene
            .app
            .get(&format!("/api/v1/builds/{id}/logs"))
            .bearer(&scene.ada);
        let mut request = request.header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send();
        assert_eq!(
            answer.headers.get("content-type"),
            Some("text/event-stream")
        );
        String::from_utf8(answer.body).unwrap()
    };
    let running = follow(None);
    assert_eq!(running.matches("event: line").count(), 1, "{running}");
    assert!(!running.contains("event: end"), "{running}");
    let seen = running
        .split("id: ")
        .nth(1)
        .unwrap()
        .split('\n')
        .next()
        .unwrap()
        .to_owned();
    scene.succeed(&id, &lease);
    let rest = follow(Some(&seen));
    assert_eq!(rest.matches("event: line").count(), 0, "{rest}");
    assert!(
        rest.ends_with("event: end\ndata: {\"complete\":true,\"status\":\"success\"}\n\n"),
        "{rest}"
    );
}

#[test]
fn a_log_that_is_full_says_so_once_and_ends_with_the_outcome() {
    let scene = Scene::new();
    let id = scene.pending();
    let lease = scene.start(&id);
    let long = "x".repeat(20_000);
    let texts: Vec<&str> = std::iter::repeat_n(long.as_str(), 400).collect();
    assert_eq!(
        scene.tell(&id, "logs", &lines(&lease, 1, &texts)).status,
        204
    );
    assert_eq!(
        scene.tell(&id, "logs", &lines(&lease, 401, &texts)).status,
        204
    );
    assert_eq!(
        scene.tell(&id, "logs", &lines(&lease, 801, &["y"])).status,
        204
    );
    let cancel = format!("/api/v1/builds/{id}/cancel");
    scene
        .app
        .post(&cancel)
        .bearer(&scene.ada)
        .send()
        .expect(202);
    let sql = "SELECT line FROM build_logs WHERE length(line) < 1000 ORDER BY n";
    let short = format!("{:?}", scene.app.sql("platform", sql));
    assert_eq!(short.matches("The log is full").count(), 1, "{short}");
    assert!(
        short.contains("Cancelled by ada") && !short.contains("\"y\""),
        "{short}"
    );
    // 10 MiB of 16 KiB lines, and the two.
    let count = scene.app.sql("platform", "SELECT count(*) FROM build_logs");
    assert_eq!(count[0][0], nokube_guest::db::Value::Integer(642));
    let request = scene
        .app
        .get(&format!("/api/v1/builds/{id}/logs"))
        .bearer(&scene.ada);
    let text = request.header("accept", "text/plain").send();
    assert!(
        text.body.len() > 10 << 20,
        "a long log is sent piece by piece"
    );
}

#[test]
fn a_user_who_follows_many_logs_does_not_keep_others_out() {
    let scene = Scene::new();
    let id = scene.pending();
    scene.start(&id);
    let lasts = |token: &str| {
        let path = format!("/api/v1/builds/{id}/logs");
        let request = scene.app.get(&path).bearer(token);
        let answer = request.header("accept", "text/event-stream").send();
        assert_eq!(answer.status, 200);
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.starts_with("retry: 1000"), "{text}");
        text.contains("still here")
    };
    for _ in 0..4 {
        scene.app.sql(
            "platform",
            "INSERT INTO followers (component, user_id, until_ms) VALUES ('builds', 1, 1900000000000)",
        );
    }
    assert!(!lasts(&scene.ada), "the fifth of one user ends at once");
    assert!(lasts(&scene.bob), "another user's stream lasts");
}
