//! What was done, and who may read it.

use super::{alice, app, create_named};

#[test]
fn each_change_is_one_entry_and_pages_go_back_in_time() {
    let app = app();
    for name in ["One", "Two", "Three"] {
        create_named(&app, &alice(&app), name);
    }
    let read = |query: &str| {
        app.get(&format!("/api/v1/audit{query}"))
            .bearer(&alice(&app))
            .send()
            .expect(200)
    };
    let page = read("?limit=2");
    assert_eq!(page["data"][0]["target"], "project:3");
    assert_eq!(page["data"][0]["action"], "project.create");
    assert_eq!(page["data"][0]["actor"], "alice");
    let rest = read(&format!(
        "?limit=2&cursor={}",
        page["cursor"].as_str().unwrap()
    ));
    assert_eq!(rest["data"][0]["target"], "project:1");
    assert_eq!(rest["cursor"], serde_json::Value::Null);
}

#[test]
fn users_read_their_own_entries_and_administrators_all() {
    let app = app();
    create_named(&app, &alice(&app), "One");
    let count = |token: &str| {
        let page = app.get("/api/v1/audit").bearer(token).send().expect(200);
        page["data"].as_array().unwrap().len()
    };
    assert_eq!(count(&app.token(2, "bob", "user")), 0);
    assert_eq!(count(&app.token(9, "root", "admin")), 1);
}

#[test]
fn activity_is_for_members() {
    let app = app();
    create_named(&app, &alice(&app), "One");
    let activity = |token: &str| app.get("/api/v1/projects/1/activity").bearer(token).send();
    assert_eq!(
        activity(&alice(&app)).expect(200)["data"][0]["detail"]["slug"],
        "one"
    );
    assert_eq!(activity(&app.token(2, "bob", "user")).status, 404);
}
