//! How the database looks things up, on the real schema with ten thousand events and a thousand users.
//!
//! The requests below run once, the host notes every statement they gave, and SQLite says how it goes about
//! each of them: by an index, always, and where a list has an index of its order, without sorting.

use nokube_guest::testing::TestApp;
use serde_json::json;

use super::{alice, app, created, sale};

const USERS: i64 = 1_000;
const EVENTS: i64 = 10_000;

/// Ten events for each user, five words for each event.
fn fill(app: &TestApp) {
    created(app, &sale());
    app.sql(
        "platform",
        &format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {EVENTS}) \
             INSERT INTO events (owner_id, id, title, title_key, is_whole_days, start_ms, end_ms, \
             until_ms, status, sequence, created_at_ms, updated_at_ms) \
             SELECT 1 + i % {USERS}, printf('01985000-0000-7000-8000-%012d', i), 'Event ' || i, \
             'event ' || i, 0, i * 1000, i * 1000, i * 1000, 'draft', 0, i, i FROM n"
        ),
    );
    app.sql(
        "platform",
        "INSERT INTO event_words (owner_id, word, event_number) \
         SELECT owner_id, w.column1 || (number % 10), number FROM events, \
         (VALUES ('spring'), ('sale'), ('mail'), ('radio'), ('press')) AS w",
    );
}

/// Forgets what was asked so far, asks, and gives the statements about events.
fn statements(app: &TestApp, ask: impl FnOnce()) -> Vec<String> {
    app.host.statements.borrow_mut().clear();
    ask();
    let all = app.host.statements.borrow();
    let about_events = all
        .iter()
        .filter(|statement| statement.contains("event"))
        .filter(|statement| !statement.contains("schema_migrations"));
    about_events.cloned().collect()
}

fn plan(app: &TestApp, statement: &str) -> Vec<String> {
    app.query_plan("platform", statement)
}

fn is_indexed(app: &TestApp, statement: &str) {
    for step in plan(app, statement) {
        assert!(!step.starts_with("SCAN"), "{step}: {statement}");
    }
}

/// Every combination of filters with every order, both ways.
fn queries() -> Vec<String> {
    let mut queries = Vec::new();
    for filter in 0..16 {
        for sort in [
            "start_date",
            "end_date",
            "title",
            "status",
            "created_at",
            "updated_at",
        ] {
            for sign in ["", "-"] {
                let mut query = format!("?sort={sign}{sort}");
                for (bit, text) in [
                    (1, "&status=draft"),
                    (2, "&from=2027-01-01"),
                    (4, "&to=2027-12-31"),
                    (8, "&q=spring+sale"),
                ] {
                    if filter & bit != 0 {
                        query.push_str(text);
                    }
                }
                queries.push(query);
            }
        }
    }
    queries
}

#[test]
fn every_list_is_looked_up_by_an_index() {
    let app = app();
    fill(&app);
    for query in queries() {
        let statements = statements(&app, || {
            let path = format!("/api/v1/events{query}");
            let _ = app.get(&path).bearer(&alice(&app)).send().expect(200);
        });
        assert_eq!(statements.len(), 2, "a page and its total: {statements:?}");
        for statement in &statements {
            is_indexed(&app, statement);
        }
    }
}

#[test]
fn a_whole_list_is_read_in_the_order_of_an_index() {
    let app = app();
    fill(&app);
    for sort in [
        "start_date",
        "end_date",
        "title",
        "status",
        "created_at",
        "updated_at",
    ] {
        for query in [format!("?sort={sort}"), format!("?sort=-{sort}")] {
            let path = format!("/api/v1/events{query}");
            for statement in statements(&app, || {
                let _ = app.get(&path).bearer(&alice(&app)).send().expect(200);
            }) {
                for step in plan(&app, &statement) {
                    assert!(!step.contains("TEMP B-TREE"), "{query}: {step}");
                }
            }
        }
    }
    let path = "/api/v1/events?status=published";
    for statement in statements(&app, || {
        let _ = app.get(path).bearer(&alice(&app)).send().expect(200);
    }) {
        let steps = plan(&app, &statement).join("\n");
        assert!(steps.contains("events_by_status"), "{steps}");
        assert!(!steps.contains("TEMP B-TREE"), "{steps}");
    }
}

#[test]
fn a_search_begins_at_its_words() {
    let app = app();
    fill(&app);
    for statement in statements(&app, || {
        let path = "/api/v1/events?q=sale&sort=title";
        let _ = app.get(path).bearer(&alice(&app)).send().expect(200);
    }) {
        let steps = plan(&app, &statement).join("\n");
        assert!(
            steps.contains("owner_id=? AND word>? AND word<?"),
            "{steps}"
        );
        assert!(steps.contains("INTEGER PRIMARY KEY"), "{steps}");
    }
}

#[test]
fn every_other_call_is_looked_up_by_an_index() {
    let app = app();
    fill(&app);
    let user = alice(&app);
    let path = created(&app, &sale());
    let mut feed = String::new();
    let seen = statements(&app, || {
        let _ = app
            .post("/api/v1/events")
            .bearer(&user)
            .json(&sale())
            .send()
            .expect(201);
        let _ = app.get(&path).bearer(&user).send().expect(200);
        let change = json!({ "title": "Other" });
        let _ = app
            .patch(&path)
            .bearer(&user)
            .json(&change)
            .send()
            .expect(200);
        let _ = app
            .put(&path)
            .bearer(&user)
            .json(&sale())
            .send()
            .expect(200);
        let _ = app.delete(&path).bearer(&user).send().expect(204);
        let made = app
            .post("/api/v1/events/feed")
            .bearer(&user)
            .send()
            .expect(201);
        made["url"].as_str().unwrap().clone_into(&mut feed);
        let _ = app
            .get("/api/v1/events/feed")
            .bearer(&user)
            .send()
            .expect(200);
        let read = app.get(feed.strip_prefix("https://nokube.example").unwrap());
        assert_eq!(read.send().status, 200);
        assert_eq!(
            app.get("/api/v1/events/calendar.ics?token=x").send().status,
            404
        );
        let _ = app
            .delete("/api/v1/events/feed")
            .bearer(&user)
            .send()
            .expect(204);
    });
    assert!(seen.len() >= 12, "{seen:?}");
    for statement in seen {
        // Rows to insert come from nowhere.
        if !statement.starts_with("INSERT INTO") {
            is_indexed(&app, &statement);
        }
    }
}
