//! Members: adding, changing, removing, leaving, and taking a project over.

use super::{alice, app, create_named, deploy_something};
use nokube_guest::host::{OutboundAnswer, SendError};
use nokube_guest::testing::{TestAnswer, TestApp};
use serde_json::{Value, json};

const BOB: &str = "/api/v1/projects/1/members/bob";

/// A platform with accounts alice, bob (2) and carol (3), and alice's project 1.
fn scene() -> TestApp {
    let app = app();
    app.answer_calls(|request| {
        let name = request
            .url
            .strip_prefix("http://auth.spin.internal/internal/users?username=");
        let users = match name.expect("only names are asked for") {
            "alice" => json!([{ "id": 1, "username": "alice" }]),
            "bob" => json!([{ "id": 2, "username": "bob" }]),
            "carol" => json!([{ "id": 3, "username": "carol" }]),
            _ => json!([]),
        };
        Ok(OutboundAnswer {
            status: 200,
            headers: vec![],
            body: json!({ "users": users }).to_string().into_bytes(),
        })
    });
    create_named(&app, &alice(&app), "Shop");
    app
}

fn bob(app: &TestApp) -> String {
    app.token(2, "bob", "user")
}

fn put(app: &TestApp, token: &str, name: &str, role: &str) -> TestAnswer {
    app.put(&format!("/api/v1/projects/1/members/{name}"))
        .bearer(token)
        .json(&json!({ "role": role }))
        .send()
}

fn remove(app: &TestApp, token: &str, name: &str) -> TestAnswer {
    let path = format!("/api/v1/projects/1/members/{name}");
    app.delete(&path).bearer(token).send()
}

fn take_over(app: &TestApp, token: &str, name: &str) -> TestAnswer {
    let request = app.patch("/api/v1/projects/1").bearer(token);
    request.json(&json!({ "owner": name })).send()
}

/// Actions of the project's audit trail, newest first.
fn actions(app: &TestApp) -> Vec<String> {
    let request = app.get("/api/v1/projects/1/activity").bearer(&alice(app));
    let page = request.send().expect(200);
    let entries = page["data"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            format!(
                "{} {}",
                entry["action"].as_str().unwrap(),
                entry["target"].as_str().unwrap()
            )
        })
        .collect()
}

#[test]
fn a_member_is_added_once_and_changed_with_one_entry_for_each_change() {
    let app = scene();
    let added = put(&app, &alice(&app), "bob", "viewer");
    assert_eq!(added.headers.get("location"), Some(BOB));
    assert_eq!(
        added.expect(201),
        json!({ "username": "bob", "role": "viewer", "added_at": "2027-01-15T08:00:00.000Z" })
    );
    put(&app, &alice(&app), "bob", "viewer").expect(200);
    let changed = put(&app, &alice(&app), "bob", "developer");
    let read = app.get(BOB).bearer(&bob(&app)).send();
    assert_eq!(read.headers.get("etag"), changed.headers.get("etag"));
    assert_eq!(read.expect(200)["role"], "developer");
    assert_eq!(
        actions(&app),
        [
            "member.change member:bob",
            "member.add member:bob",
            "project.create project:1"
        ]
    );
    let list = app
        .get("/api/v1/projects")
        .bearer(&bob(&app))
        .send()
        .expect(200);
    assert_eq!(
        (&list["data"][0]["role"], &list["data"][0]["owner"]),
        (&json!("developer"), &json!("alice"))
    );
    let members = app
        .get("/api/v1/projects/1/members?limit=1")
        .bearer(&bob(&app))
        .send();
    let members = members.expect(200);
    assert_eq!(members["data"][0]["username"], "alice");
    assert_eq!(members["pagination"]["total"], 2);
}

#[test]
fn whoever_has_no_account_is_a_fault_of_the_path_beside_those_of_the_body() {
    let app = scene();
    // `%2e`, `&`: never part of the address that auth is asked at.
    for name in ["nobody", "B-B", "x", "bob&username=carol", "%2e%2e"] {
        let answer = put(&app, &alice(&app), name, "boss");
        assert_eq!(answer.faults(), ["/role", "/username"], "{name}");
        let fault = &answer.json()["errors"][1];
        assert_eq!(
            (&fault["in"], &fault["detail"]),
            (&json!("path"), &json!("is not the name of an account"))
        );
    }
    let asked = app.host.sent.borrow();
    assert_eq!(asked.len(), 1, "only what may be a name is asked for");
    assert_eq!(
        put(&app, &bob(&app), "carol", "viewer").status,
        404,
        "strangers ask nothing"
    );
}

#[test]
fn names_are_shown_and_roles_changed_while_auth_is_down() {
    let app = scene();
    put(&app, &alice(&app), "bob", "viewer").expect(201);
    app.answer_calls(|_| Err(SendError::NoAnswer("connection refused".into())));
    assert_eq!(put(&app, &alice(&app), "carol", "viewer").status, 503);
    put(&app, &alice(&app), "bob", "developer").expect(200);
    let list = app
        .get("/api/v1/projects/1/members")
        .bearer(&alice(&app))
        .send();
    let names: Vec<Value> = list.expect(200)["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["username"].clone())
        .collect();
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(remove(&app, &alice(&app), "bob").status, 204);
    app.answer_calls(|_| {
        Ok(OutboundAnswer {
            status: 500,
            headers: vec![],
            body: vec![],
        })
    });
    assert_eq!(put(&app, &alice(&app), "bob", "viewer").status, 503);
}

#[test]
fn a_removed_member_is_a_stranger_at_once_with_the_token_it_has() {
    let app = scene();
    put(&app, &alice(&app), "bob", "owner").expect(201);
    let token = bob(&app);
    put(&app, &token, "carol", "viewer").expect(201);
    assert_eq!(remove(&app, &alice(&app), "bob").status, 204);
    assert_eq!(put(&app, &token, "carol", "owner").status, 404);
    assert_eq!(remove(&app, &token, "carol").status, 404);
    assert_eq!(
        app.get("/api/v1/projects/1").bearer(&token).send().status,
        404
    );
    let list = app
        .get("/api/v1/projects")
        .bearer(&token)
        .send()
        .expect(200);
    assert_eq!(list["pagination"]["total"], 0);
    // What it did itself stays its own to read.
    let own = app
        .get("/api/v1/audit?project_id=1")
        .bearer(&token)
        .send()
        .expect(200);
    assert_eq!(own["data"].as_array().unwrap().len(), 1);
    assert_eq!(own["data"][0]["action"], "member.add");
}

#[test]
fn each_member_may_leave_and_only_owners_remove() {
    let app = scene();
    put(&app, &alice(&app), "bob", "viewer").expect(201);
    put(&app, &alice(&app), "carol", "developer").expect(201);
    assert_eq!(remove(&app, &bob(&app), "carol").status, 403);
    assert_eq!(remove(&app, &bob(&app), "bob").status, 204);
    assert_eq!(remove(&app, &bob(&app), "bob").status, 404);
    assert_eq!(remove(&app, &alice(&app), "bob").status, 404);
    assert_eq!(actions(&app)[0], "member.leave member:bob");
    let admin = app.token(9, "root", "admin");
    assert_eq!(remove(&app, &admin, "carol").status, 403);
    assert_eq!(put(&app, &admin, "root", "owner").status, 403);
}

#[test]
fn a_project_always_has_the_owner_whose_name_it_carries() {
    let app = scene();
    for (status, answer) in [
        (409, remove(&app, &alice(&app), "alice")),
        (409, put(&app, &alice(&app), "alice", "developer")),
    ] {
        assert_eq!(answer.expect(status)["type"], "/problems/owner-needed");
    }
    put(&app, &alice(&app), "alice", "owner").expect(200);
    // Another owner can not drive it out either, without taking the name's place.
    put(&app, &alice(&app), "bob", "owner").expect(201);
    assert_eq!(remove(&app, &bob(&app), "alice").status, 409);
    assert_eq!(put(&app, &bob(&app), "alice", "viewer").status, 409);
    let taken = take_over(&app, &bob(&app), "bob").expect(200);
    assert_eq!(
        (&taken["owner"], &taken["slug"]),
        (&json!("bob"), &json!("shop"))
    );
    assert_eq!(remove(&app, &bob(&app), "bob").status, 409);
    assert_eq!(remove(&app, &alice(&app), "alice").status, 204);
    // The slug is free for whoever carried the project before.
    assert_eq!(create_named(&app, &alice(&app), "Shop")["id"], 2);
}

#[test]
fn a_project_is_taken_over_by_its_new_owner_and_nobody_else() {
    let app = scene();
    put(&app, &alice(&app), "bob", "developer").expect(201);
    assert_eq!(take_over(&app, &bob(&app), "bob").status, 403);
    put(&app, &alice(&app), "bob", "owner").expect(200);
    for owner in ["bob", "carol"] {
        assert_eq!(
            take_over(&app, &alice(&app), owner).faults(),
            ["/owner"],
            "{owner}"
        );
    }
    create_named(&app, &bob(&app), "Shop");
    let taken = take_over(&app, &bob(&app), "bob");
    assert_eq!(taken.expect(409)["type"], "/problems/slug-taken");
    assert_eq!(
        app.delete("/api/v1/projects/2")
            .bearer(&bob(&app))
            .send()
            .status,
        204
    );
    app.set("max_projects_per_user", "0");
    let taken = take_over(&app, &bob(&app), "bob");
    assert_eq!(taken.expect(409)["type"], "/problems/too-many-projects");
    let kept = app
        .get("/api/v1/projects/1")
        .bearer(&bob(&app))
        .send()
        .expect(200);
    assert_eq!(kept["owner"], "alice");
}

#[test]
fn what_is_deployed_gets_its_new_address_by_a_new_generation() {
    let app = scene();
    deploy_something(&app);
    put(&app, &alice(&app), "bob", "owner").expect(201);
    // Naming the present owner changes nothing.
    take_over(&app, &bob(&app), "alice").expect(200);
    let state = || {
        app.sql(
            "platform",
            "SELECT generation, acknowledged_generation, status FROM deployments",
        )
    };
    let before = state();
    take_over(&app, &bob(&app), "bob").expect(200);
    let after = state();
    assert_eq!(
        format!("{before:?}"),
        r#"[[Integer(1), Integer(1), Text("running")]]"#
    );
    assert_eq!(
        format!("{after:?}"),
        r#"[[Integer(2), Integer(1), Text("pending")]]"#
    );
    assert_eq!(actions(&app)[0], "project.take_over project:1");
}

#[test]
fn members_are_bounded_in_number() {
    let app = scene();
    app.set("max_members_per_project", "2");
    put(&app, &alice(&app), "bob", "viewer").expect(201);
    let third = put(&app, &alice(&app), "carol", "viewer");
    assert_eq!(third.expect(409)["type"], "/problems/too-many-members");
    put(&app, &alice(&app), "bob", "owner").expect(200);
}

#[test]
fn a_change_from_an_older_view_is_refused() {
    let app = scene();
    let with = |name: &str, etag: &str, role: &str| {
        app.put(&format!("/api/v1/projects/1/members/{name}"))
            .bearer(&alice(&app))
            .header("if-match", etag)
            .json(&json!({ "role": role }))
            .send()
    };
    assert_eq!(
        with("bob", "*", "viewer").status,
        412,
        "there is none to match"
    );
    let etag = put(&app, &alice(&app), "bob", "viewer")
        .headers
        .get("etag")
        .unwrap()
        .to_owned();
    with("bob", &etag, "developer").expect(200);
    assert_eq!(with("bob", &etag, "owner").status, 412);
    let late = app
        .delete(BOB)
        .bearer(&alice(&app))
        .header("if-match", &etag)
        .send();
    assert_eq!(late.status, 412);
}
