//! Creating, reading, changing and deleting events.

use serde_json::json;

use super::{alice, app, create, created, sale, sale_with};

#[test]
fn an_event_is_created_and_read() {
    let app = app();
    let answer = create(&app, &alice(&app), &sale());
    let event = answer.expect(201);
    assert_eq!(event["title"], "Soldes d'été");
    assert_eq!(event["owner"], "alice");
    assert_eq!(event["created_at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(
        (&event["start_date"], &event["end_date"], &event["all_day"]),
        (&json!("2027-06-20"), &json!("2027-07-10"), &json!(true))
    );
    let location = answer.headers.get("location").unwrap();
    let read = app.get(location).bearer(&alice(&app)).send();
    assert_eq!(read.headers.get("etag"), answer.headers.get("etag"));
    assert_eq!(read.expect(200), event);
    let alias = location.replace("/api/v1/", "/api/");
    assert_eq!(app.get(&alias).bearer(&alice(&app)).send().status, 200);
    let audit = app.sql("platform", "SELECT action FROM audit");
    assert_eq!(audit.len(), 1);
}

#[test]
fn times_come_back_in_utc() {
    let app = app();
    let body = sale_with(&json!({
        "start_date": "2027-06-20T09:00:00+02:00", "end_date": "2027-06-20T09:00:00.5+02:00", "all_day": false
    }));
    let event = create(&app, &alice(&app), &body).expect(201);
    assert_eq!(event["start_date"], "2027-06-20T07:00:00.000Z");
    assert_eq!(event["end_date"], "2027-06-20T07:00:00.500Z");
    assert_eq!(event["all_day"], false);
}

#[test]
fn every_fault_is_told_at_once_and_nothing_is_written() {
    let app = app();
    let body = json!({
        "title": " ", "description": 7, "start_date": "soon", "end_date": "2027-13-01",
        "status": "cancelled", "colour": "red"
    });
    assert_eq!(
        create(&app, &alice(&app), &body).faults(),
        [
            "/title",
            "/description",
            "/start_date",
            "/end_date",
            "/status",
            "/colour"
        ]
    );
    let faults = |changes| create(&app, &alice(&app), &sale_with(&changes)).faults();
    assert_eq!(faults(json!({ "end_date": "2027-06-19" })), ["/end_date"]);
    assert_eq!(
        faults(json!({ "end_date": "2027-07-10T00:00:00Z" })),
        ["/end_date"]
    );
    assert_eq!(faults(json!({ "all_day": false })), ["/all_day"]);
    assert_eq!(faults(json!({ "title": "x".repeat(201) })), ["/title"]);
    assert_eq!(
        faults(json!({ "description": "x".repeat(2001) })),
        ["/description"]
    );
    let missing = create(&app, &alice(&app), &json!({})).faults();
    assert_eq!(missing, ["/title", "/start_date", "/end_date", "/status"]);
    let list = app.get("/api/v1/events").bearer(&alice(&app)).send();
    assert_eq!(list.expect(200)["pagination"]["total"], 0);
}

#[test]
fn a_replacement_unsets_what_it_leaves_out_and_a_change_keeps_it() {
    let app = app();
    let path = created(&app, &sale());
    let change = json!({ "title": "Winter sale" });
    let changed = app.patch(&path).bearer(&alice(&app)).json(&change).send();
    let changed = changed.expect(200);
    assert_eq!(changed["description"], "Tout à moitié prix");
    assert_eq!(changed["title"], "Winter sale");
    // What was read is sent back, changed.
    let mut whole = changed;
    whole["status"] = "published".into();
    let replaced = app.put(&path).bearer(&alice(&app)).json(&whole).send();
    assert_eq!(replaced.expect(200)["status"], "published");
    let mut body = sale();
    body.as_object_mut().unwrap().remove("description");
    let replaced = app.put(&path).bearer(&alice(&app)).json(&body).send();
    assert!(replaced.expect(200)["description"].is_null());
    let short = app.put(&path).bearer(&alice(&app));
    assert_eq!(
        short.json(&json!({ "title": "x" })).send().faults(),
        ["/start_date", "/end_date", "/status"]
    );
    let null = json!({ "title": null, "status": null, "end_date": null });
    let refused = app.patch(&path).bearer(&alice(&app)).json(&null).send();
    assert_eq!(refused.faults(), ["/title", "/end_date", "/status"]);
    let early = json!({ "end_date": "2020-01-01" });
    let refused = app.patch(&path).bearer(&alice(&app)).json(&early).send();
    assert_eq!(refused.faults(), ["/end_date"]);
}

#[test]
fn every_status_is_reached_from_every_other() {
    let app = app();
    let path = created(&app, &sale());
    for from in ["draft", "published", "archived"] {
        for to in ["draft", "published", "archived"] {
            for status in [from, to] {
                let body = json!({ "status": status });
                let answer = app.patch(&path).bearer(&alice(&app)).json(&body).send();
                assert_eq!(answer.expect(200)["status"], status);
            }
        }
    }
}

#[test]
fn what_changes_nothing_writes_nothing() {
    let app = app();
    let path = created(&app, &sale());
    app.advance_ms(1_000);
    let same = app.put(&path).bearer(&alice(&app)).json(&sale()).send();
    let same = same.expect(200);
    assert_eq!(same["updated_at"], same["created_at"]);
    assert_eq!(app.sql("platform", "SELECT 1 FROM audit").len(), 1);
}

#[test]
fn a_stale_version_is_neither_changed_nor_deleted() {
    let app = app();
    let answer = create(&app, &alice(&app), &sale());
    let etag = answer.headers.get("etag").unwrap().to_owned();
    let path = answer.headers.get("location").unwrap().to_owned();
    let change = json!({ "title": "Other" });
    let patch = || {
        let request = app.patch(&path).bearer(&alice(&app));
        request.header("if-match", &etag).json(&change).send()
    };
    let _ = patch().expect(200);
    assert_eq!(patch().status, 412);
    let delete = |etag: &str| {
        let request = app.delete(&path).bearer(&alice(&app));
        request.header("if-match", etag).send()
    };
    assert_eq!(delete(&etag).status, 412);
    assert_eq!(delete("*").status, 204);
    assert_eq!(app.get(&path).bearer(&alice(&app)).send().status, 404);
    assert!(app.sql("platform", "SELECT 1 FROM event_words").is_empty());
}

#[test]
fn the_same_key_creates_once() {
    let app = app();
    let send = || {
        let request = app.post("/api/v1/events").bearer(&alice(&app));
        request.header("idempotency-key", "k").json(&sale()).send()
    };
    assert_eq!(send().expect(201), send().expect(201));
    assert_eq!(app.sql("platform", "SELECT 1 FROM events").len(), 1);
}

#[test]
fn a_user_has_a_bounded_number_of_events() {
    let app = app();
    app.set("max_events_per_user", "1");
    created(&app, &sale());
    let refused = create(&app, &alice(&app), &sale());
    assert_eq!(refused.expect(409)["type"], "/problems/too-many-events");
    let bob = app.token(2, "bob", "user");
    let _ = create(&app, &bob, &sale()).expect(201);
}

#[test]
fn a_deleted_event_makes_room_for_another() {
    let app = app();
    app.set("max_events_per_user", "2");
    let paths = [created(&app, &sale()), created(&app, &sale())];
    let refused = || create(&app, &alice(&app), &sale()).status == 409;
    let delete = |path: &str| app.delete(path).bearer(&alice(&app)).send().status;
    assert!(refused());
    for path in paths {
        assert_eq!(delete(&path), 204);
        assert_eq!(delete(&path), 404);
        created(&app, &sale());
        assert!(refused(), "one went, one came");
    }
}

#[test]
fn a_count_that_is_too_low_never_keeps_anyone_from_creating() {
    let app = app();
    let path = created(&app, &sale());
    app.sql("platform", "UPDATE event_owners SET events = 0");
    assert_eq!(app.delete(&path).bearer(&alice(&app)).send().status, 204);
    created(&app, &sale());
    let counted = app.sql("platform", "SELECT events FROM event_owners");
    assert_eq!(format!("{counted:?}"), "[[Integer(1)]]");
}

#[test]
fn a_description_of_nothing_but_words_is_indexed_whole() {
    let app = app();
    let words: Vec<String> = (0..2_000 / 5).map(|n| format!("w{n:03}")).collect();
    let body = sale_with(&json!({ "description": words.join(" ") }));
    created(&app, &body);
    let rows = app.sql("platform", "SELECT 1 FROM event_words WHERE word LIKE 'w%'");
    assert_eq!(rows.len(), 400);
}
