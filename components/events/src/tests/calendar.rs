//! The private address, and the calendar at it.

use icalendar::{Calendar, Component as _};
use nokube_guest::db::Value;
use nokube_guest::host::SendError;
use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::json;

use super::{accounts, alice, app, created, sale, sale_with};

/// Makes an address and gives its path.
fn address(app: &TestApp, token: &str) -> String {
    let made = app
        .post("/api/v1/events/feed")
        .bearer(token)
        .send()
        .expect(201);
    let url = made["url"].as_str().unwrap();
    url.strip_prefix("https://nokube.example")
        .unwrap()
        .to_owned()
}

fn calendar(answer: &TestAnswer) -> Calendar {
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.headers.get("content-type"),
        Some("text/calendar; charset=utf-8")
    );
    let text = String::from_utf8(answer.body.clone()).unwrap();
    text.parse().expect("a calendar")
}

#[test]
fn a_calendar_is_read_without_signing_in() {
    let app = app();
    created(&app, &sale());
    created(
        &app,
        &sale_with(&json!({ "title": "Put away", "status": "archived" })),
    );
    let old = json!({ "title": "Long ago", "start_date": "2020-01-01", "end_date": "2020-01-02" });
    created(&app, &sale_with(&old));
    let path = address(&app, &alice(&app));
    let answer = app.get(&path).send();
    let read = calendar(&answer);
    let titles: Vec<&str> = read
        .events()
        .filter_map(|event| event.get_summary())
        .collect();
    assert_eq!(titles, ["Soldes d'été"]);
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert!(text.contains("STATUS:TENTATIVE\r\n"));
    assert!(text.contains("DTEND;VALUE=DATE:20270711\r\n"));
    assert!(text.contains("Events of alice"));
    assert_eq!(
        answer.headers.get("cache-control"),
        Some("private, no-cache")
    );
    let etag = answer.headers.get("etag").unwrap().to_owned();
    let again = || app.get(&path).header("if-none-match", &etag).send().status;
    assert_eq!(again(), 304);
    created(&app, &sale());
    assert_eq!(again(), 200);
}

#[test]
fn a_calendar_goes_back_a_year_and_has_what_ends_first() {
    let app = app();
    // A whole day ends with it: the first is gone since eight hours, the second for another sixteen not.
    for (title, day) in [("Gone", "2026-01-13"), ("Oldest", "2026-01-14")] {
        let body = json!({ "title": title, "start_date": day, "end_date": day });
        created(&app, &sale_with(&body));
    }
    app.sql(
        "platform",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) \
         INSERT INTO events (owner_id, id, title, title_key, is_whole_days, start_ms, end_ms, until_ms, \
         status, sequence, created_at_ms, updated_at_ms) \
         SELECT 1, printf('01890a5d-ac96-774b-8cce-%012x', i), 'Event ' || i, 'event', 0, \
         1900000000000 + i, 1900000000000 + i, 1900000000000 + i, 'draft', 0, 0, 0 FROM n",
    );
    let answer = app.get(&address(&app, &alice(&app))).send();
    assert_eq!(answer.status, 200);
    let text = String::from_utf8(answer.body).unwrap();
    assert_eq!(text.matches("BEGIN:VEVENT").count(), 5_000);
    let has = |title: &str| text.contains(&format!("SUMMARY:{title}\r\n"));
    assert_eq!([has("Gone"), has("Oldest")], [false, true]);
    assert_eq!([has("Event 4999"), has("Event 5000")], [true, false]);
}

#[test]
fn an_address_ends_when_there_is_another_or_none() {
    let app = app();
    let user = alice(&app);
    let feed = |app: &TestApp| app.get("/api/v1/events/feed").bearer(&user).send();
    assert_eq!(feed(&app).status, 404);
    let first = address(&app, &user);
    assert_eq!(feed(&app).expect(200)["last_read_at"], json!(null));
    assert_eq!(app.get(&first).send().status, 200);
    assert!(feed(&app).expect(200)["last_read_at"].is_string());
    let second = address(&app, &user);
    assert_ne!(first, second);
    assert_eq!(app.get(&first).send().status, 404);
    assert_eq!(app.get(&second).send().status, 200);
    let etag = || feed(&app).headers.get("etag").unwrap().to_owned();
    let delete = |version: &str| {
        app.delete("/api/v1/events/feed")
            .header("if-match", version)
            .bearer(&user)
            .send()
            .status
    };
    let before_another = etag();
    app.advance_ms(1);
    let third = address(&app, &user);
    assert_eq!(delete(&before_another), 412);
    assert_eq!(app.get(&third).send().status, 200);
    assert_eq!((delete(&etag()), delete("*")), (204, 404));
    assert_eq!(app.get(&third).send().status, 404);
}

#[test]
fn the_calendar_of_a_disabled_account_is_not_there_until_it_is_enabled() {
    let app = app();
    created(&app, &sale());
    let path = address(&app, &alice(&app));
    accounts(&app, &[(2, "bob")]);
    let disabled = app.get(&path).send();
    let unknown = app.get("/api/v1/events/calendar.ics?token=x").send();
    for answer in [&disabled, &unknown] {
        let problem = answer.expect(404);
        assert_eq!(problem["detail"], "There is no such calendar.");
        let standing = answer.headers.get("ratelimit").unwrap();
        assert!(standing.starts_with("\"address\";"), "{standing}");
    }
    accounts(&app, &[(1, "alice")]);
    assert_eq!(calendar(&app.get(&path).send()).events().count(), 1);
    // Nobody knows: nothing is shown.
    app.answer_calls(|_| Err(SendError::NoAnswer("down".into())));
    assert_eq!(app.get(&path).send().status, 503);
}

#[test]
fn a_token_is_kept_as_a_hash_and_never_shown_again() {
    let app = app();
    let path = address(&app, &alice(&app));
    let (_, token) = path.split_once("token=").unwrap();
    assert_eq!(token.len(), 43);
    for table in ["event_feeds", "audit", "idempotency_keys"] {
        let rows = app.sql("platform", &format!("SELECT * FROM {table}"));
        assert!(!format!("{rows:?}").contains(token), "{table}");
    }
    let shown = app.get("/api/v1/events/feed").bearer(&alice(&app)).send();
    assert!(!String::from_utf8_lossy(&shown.body).contains(token));
}

#[test]
fn an_address_that_is_read_is_the_same_to_who_ends_it() {
    let app = app();
    let user = alice(&app);
    let path = address(&app, &user);
    let shown = |tag: &str| {
        let request = app.get("/api/v1/events/feed").bearer(&user);
        request.header("if-none-match", tag).send()
    };
    let tag = shown("none").headers.get("etag").unwrap().to_owned();
    assert_eq!(shown(&tag).status, 304);
    assert_eq!(app.get(&path).send().status, 200);
    assert_eq!(shown(&tag).status, 200, "it tells when it was read");
    let request = app.delete("/api/v1/events/feed").bearer(&user);
    assert_eq!(request.header("if-match", &tag).send().status, 204);
}

#[test]
fn the_token_of_a_forgotten_user_makes_no_event_and_no_address() {
    let app = app();
    let user = alice(&app);
    let path = created(&app, &sale());
    app.sql(
        "platform",
        "INSERT INTO forgotten_users VALUES (1, 1800000000000)",
    );
    let post = |path: &str| app.post(path).bearer(&user).json(&sale()).send().status;
    assert_eq!(post("/api/v1/events"), 401);
    assert_eq!(post("/api/v1/events/feed"), 401);
    let rows = app.sql("platform", "SELECT owner_id FROM event_feeds");
    assert!(rows.is_empty(), "{rows:?}");
    assert_eq!(app.get(&path).bearer(&user).send().status, 200);
}

#[test]
fn a_calendar_is_read_so_often_and_no_more() {
    let app = app();
    app.set("feed_limit_per_calendar", "2");
    let path = address(&app, &alice(&app));
    let read = || app.get(&path).send();
    assert_eq!(
        read().headers.get("ratelimit"),
        Some("\"calendar\";r=1;t=900")
    );
    assert_eq!(read().status, 200);
    let refused = read();
    assert_eq!(refused.expect(429)["type"], "/problems/too-many-attempts");
    assert_eq!(refused.headers.get("retry-after"), Some("900"));
    let kept = "SELECT window_count, last_read_at_ms FROM event_feeds";
    let before = app.sql("platform", kept);
    app.advance_ms(1_000);
    assert_eq!(read().status, 429);
    assert_eq!(app.sql("platform", kept), before, "it writes nothing");
    app.advance_ms(15 * 60 * 1_000);
    assert_eq!(read().status, 200);
}

#[test]
fn who_tries_wrong_addresses_is_stopped_and_who_has_one_is_not() {
    let app = app();
    app.set("feed_limit_per_address", "2");
    let path = address(&app, &alice(&app));
    let wrong = || {
        let path = "/api/v1/events/calendar.ics?token=x";
        app.get(path).send().status
    };
    assert_eq!(app.get("/api/v1/events/calendar.ics").send().status, 404);
    assert_eq!((wrong(), wrong(), wrong()), (404, 429, 429));
    // Behind the same address.
    assert_eq!(app.get(&path).send().status, 200);
    let counted = app.sql("platform", "SELECT count FROM event_feed_misses");
    assert_eq!(counted, [[Value::Integer(2)]]);
    app.advance_ms(15 * 60 * 1_000);
    assert_eq!(wrong(), 404);
}
