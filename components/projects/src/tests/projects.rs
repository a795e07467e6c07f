//! Creating, listing, changing and deleting projects.

use super::{alice, app, create, create_named, deploy_something};
use nokube_guest::db::Value;
use nokube_guest::host::OutboundAnswer;
use nokube_guest::testing::TestApp;
use serde_json::json;

#[test]
fn a_project_is_created_with_its_slug_and_owner() {
    let app = app();
    let body = json!({
        "name": "Événements DataPress", "description": "Une démo",
        "repository_url": "https://example.com/a/b.git", "branch": "main"
    });
    let answer = create(&app, &alice(&app), &body);
    assert_eq!(answer.headers.get("location"), Some("/api/v1/projects/1"));
    let project = answer.expect(201);
    assert_eq!(project["slug"], "evenements-datapress");
    assert_eq!(
        (project["owner"].as_str(), project["role"].as_str()),
        (Some("alice"), Some("owner"))
    );
    assert_eq!(project["created_at"], "2027-01-15T08:00:00.000Z");
    let read = app.get("/api/projects/1").bearer(&alice(&app)).send();
    assert_eq!(read.headers.get("etag"), answer.headers.get("etag"));
    assert_eq!(read.expect(200), project);
}

#[test]
fn a_slug_is_unique_per_owner() {
    let app = app();
    create_named(&app, &alice(&app), "Shop");
    let again = create(&app, &alice(&app), &json!({ "name": "shop!" }));
    assert_eq!(again.expect(409)["type"], "/problems/slug-taken");
    create_named(&app, &app.token(2, "bob", "user"), "Shop");
}

#[test]
fn an_owner_has_a_bounded_number_of_projects() {
    let app = app();
    app.set("max_projects_per_user", "2");
    create_named(&app, &alice(&app), "One");
    create_named(&app, &alice(&app), "Two");
    let third = create(&app, &alice(&app), &json!({ "name": "Three" }));
    assert_eq!(third.expect(409)["type"], "/problems/too-many-projects");
    create_named(&app, &app.token(2, "bob", "user"), "Three");
}

#[test]
fn every_fault_is_told_and_nothing_is_written() {
    let app = app();
    let body = json!({
        "name": "", "description": 7, "repository_url": "ext::sh -c id", "branch": "--upload-pack=x", "colour": "red"
    });
    let faults = create(&app, &alice(&app), &body).faults();
    assert_eq!(
        faults,
        [
            "/name",
            "/description",
            "/repository_url",
            "/branch",
            "/colour"
        ]
    );
    let list = app
        .get("/api/v1/projects")
        .bearer(&alice(&app))
        .send()
        .expect(200);
    assert_eq!(list["pagination"]["total"], 0);
}

#[test]
fn addresses_of_this_machine_are_refused_unless_allowed() {
    let app = app();
    let body = |url: &str| json!({ "name": "x", "repository_url": url });
    let local = "http://127.0.0.1:8080/r.git";
    assert_eq!(
        create(&app, &alice(&app), &body(local)).faults(),
        ["/repository_url"]
    );
    app.set("git_access", "local");
    app.set("denied_ports", "3000, 3001");
    let own = "http://127.0.0.1:3000/r.git";
    assert_eq!(
        create(&app, &alice(&app), &body(own)).faults(),
        ["/repository_url"]
    );
    let _ = create(&app, &alice(&app), &body(local)).expect(201);
}

#[test]
fn the_same_key_creates_once() {
    let app = app();
    let send = |name: &str, user: &str| {
        app.post("/api/v1/projects")
            .bearer(user)
            .header("idempotency-key", "k-1")
            .json(&json!({ "name": name }))
            .send()
    };
    let (user, other) = (alice(&app), app.token(2, "bob", "user"));
    let first = send("Shop", &user);
    let again = send("Shop", &user);
    assert_eq!(first.expect(201), again.expect(201));
    assert_eq!(again.headers.get("location"), Some("/api/v1/projects/1"));
    assert_eq!(again.headers.get("idempotency-replayed"), Some("true"));
    assert_eq!(
        send("Other", &user).expect(422)["type"],
        "/problems/idempotency-key-reused"
    );
    assert_eq!(send("Shop", &other).expect(201)["id"], 2);
    app.advance_ms(24 * 60 * 60 * 1_000);
    assert_eq!(send("Other", &alice(&app)).expect(201)["id"], 3);
}

#[test]
fn a_key_is_good_under_both_names_of_a_path() {
    let app = app();
    let send = |path: &str| {
        app.post(path)
            .bearer(&alice(&app))
            .header("idempotency-key", "k")
            .json(&json!({ "name": "Shop" }))
            .send()
    };
    let first = send("/api/v1/projects");
    assert_eq!(first.expect(201), send("/api/projects").expect(201));
}

#[test]
fn of_one_user_so_many_answers_are_kept_and_the_oldest_go() {
    let app = app();
    let send = |user: &str, key: &str| {
        app.post("/api/v1/projects")
            .bearer(user)
            .header("idempotency-key", key)
            .json(&json!({ "name": key }))
            .send()
    };
    let bob = app.token(2, "bob", "user");
    let _ = send(&bob, "of-bob").expect(201);
    let _ = send(&alice(&app), "oldest").expect(201);
    app.sql(
        "platform",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
         INSERT INTO idempotency_keys SELECT 1, 'k' || i, x'', 201, '[]', x'', created_at_ms \
         FROM n, idempotency_keys WHERE idempotency_key = 'oldest'",
    );
    let is_kept = |user: &str, key: &str| {
        let replayed = send(user, key)
            .headers
            .get("idempotency-replayed")
            .is_some();
        assert!(replayed || key == "oldest", "{key}");
        replayed
    };
    assert!(is_kept(&alice(&app), "oldest"));
    let _ = send(&alice(&app), "newest").expect(201);
    assert!(!is_kept(&alice(&app), "oldest"));
    assert!(is_kept(&alice(&app), "newest") && is_kept(&bob, "of-bob"));
    let kept = "SELECT count(*) FROM idempotency_keys WHERE user_id = 1";
    assert_eq!(app.sql("platform", kept), [[Value::Integer(1_000)]]);
}

#[test]
fn a_failed_creation_may_be_tried_again_with_its_key() {
    let app = app();
    create_named(&app, &alice(&app), "Shop");
    let send = || {
        app.post("/api/v1/projects")
            .bearer(&alice(&app))
            .header("idempotency-key", "k")
            .json(&json!({ "name": "Shop" }))
            .send()
    };
    let _ = send().expect(409);
    assert_eq!(
        app.delete("/api/v1/projects/1")
            .bearer(&alice(&app))
            .send()
            .status,
        204
    );
    let _ = send().expect(201);
}

#[test]
fn lists_are_paged_searched_and_linked() {
    let app = app();
    for name in ["Alpha", "Beta 100%", "Gamma"] {
        create_named(&app, &alice(&app), name);
    }
    let list = |query: &str| {
        app.get(&format!("/api/v1/projects{query}"))
            .bearer(&alice(&app))
            .send()
    };
    let first = list("?limit=2");
    let page = first.expect(200);
    assert_eq!(
        page["pagination"],
        json!({ "page": 1, "limit": 2, "total": 3, "pages": 2 })
    );
    assert_eq!(page["data"][0]["name"], "Gamma");
    assert!(
        first
            .headers
            .get("link")
            .unwrap()
            .contains("</api/v1/projects?page=2&limit=2>; rel=\"next\"")
    );
    assert_eq!(
        list("?page=2&limit=2").expect(200)["data"][0]["name"],
        "Alpha"
    );
    assert_eq!(list("?q=bet").expect(200)["pagination"]["total"], 1);
    assert_eq!(list("?q=0%25").expect(200)["pagination"]["total"], 1);
    assert_eq!(list("?q=_").expect(200)["pagination"]["total"], 0);
    assert_eq!(list("?page=0&limit=1000").faults(), ["/page", "/limit"]);
}

#[test]
fn a_change_keeps_what_is_left_out_and_unsets_null() {
    let app = app();
    let body = json!({ "name": "Shop", "description": "old", "branch": "main" });
    let created = create(&app, &alice(&app), &body);
    let etag = created.headers.get("etag").unwrap().to_owned();
    app.advance_ms(1_000);
    let patch = |body: serde_json::Value| {
        app.patch("/api/v1/projects/1")
            .bearer(&alice(&app))
            .header("if-match", &etag)
            .json(&body)
            .send()
    };
    assert_eq!(patch(json!({ "name": null })).faults(), ["/name"]);
    let changed = patch(json!({ "name": "Store", "description": null })).expect(200);
    assert_eq!(
        (changed["name"].as_str(), changed["slug"].as_str()),
        (Some("Store"), Some("shop"))
    );
    assert_eq!(
        (changed["description"].as_str(), changed["branch"].as_str()),
        (None, Some("main"))
    );
    assert_ne!(changed["updated_at"], changed["created_at"]);
    assert_eq!(patch(json!({ "name": "Late" })).status, 412);
}

#[test]
fn an_empty_project_is_deleted_without_asking_anyone() {
    let app = app();
    create_named(&app, &alice(&app), "Shop");
    assert_eq!(
        app.delete("/api/v1/projects/1")
            .bearer(&alice(&app))
            .send()
            .status,
        204
    );
    assert_eq!(
        app.get("/api/v1/projects/1")
            .bearer(&alice(&app))
            .send()
            .status,
        404
    );
    assert!(app.host.sent.borrow().is_empty());
    assert_eq!(create_named(&app, &alice(&app), "Shop")["id"], 2);
}

#[test]
fn a_project_that_was_changed_while_its_deployments_went_is_kept() {
    // It lives as long as the answers of `deploy`, which are made up below.
    let app: &'static TestApp = Box::leak(Box::new(app()));
    let created = create(app, &alice(app), &json!({ "name": "Shop" }));
    let etag = created.headers.get("etag").unwrap().to_owned();
    deploy_something(app);
    app.answer_calls(|_| {
        app.sql("platform", "DELETE FROM deployments");
        app.sql("platform", "UPDATE projects SET description = 'keep it'");
        Ok(OutboundAnswer {
            status: 204,
            headers: vec![],
            body: vec![],
        })
    });
    let delete = |etag: &str| {
        app.delete("/api/v1/projects/1")
            .bearer(&alice(app))
            .header("if-match", etag)
            .send()
    };
    assert_eq!(delete("\"another\"").status, 412);
    assert!(app.host.sent.borrow().is_empty(), "nothing was taken down");
    assert_eq!(delete(&etag).status, 412);
    let read = app.get("/api/v1/projects/1").bearer(&alice(app)).send();
    assert_eq!(read.expect(200)["description"], "keep it");
    assert_eq!(delete(read.headers.get("etag").unwrap()).status, 204);
}

#[test]
fn a_project_is_kept_while_its_deployments_can_not_be_taken_down() {
    let app = app();
    create_named(&app, &alice(&app), "Shop");
    deploy_something(&app);
    let delete = || app.delete("/api/v1/projects/1").bearer(&alice(&app)).send();
    assert_eq!(delete().expect(409)["type"], "/problems/deployments-remain");
    app.answer_calls(|_| {
        Ok(OutboundAnswer {
            status: 503,
            headers: vec![],
            body: vec![],
        })
    });
    assert_eq!(delete().status, 409);
    app.answer_calls(|_| {
        Ok(OutboundAnswer {
            status: 204,
            headers: vec![],
            body: vec![],
        })
    });
    // It says they are gone, and one is there again.
    assert_eq!(delete().status, 409);
    app.sql("platform", "DELETE FROM deployments");
    assert_eq!(delete().status, 204);
    let sent = app.host.sent.borrow();
    assert_eq!(
        sent[0].url,
        "http://deploy.spin.internal/internal/projects/1"
    );
    assert!(
        sent[0]
            .headers
            .contains(&("authorization".into(), "Bearer test-system-token".into()))
    );
}
