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

#[test]
fn entries_are_filtered_by_project_action_and_time() {
    let app = app();
    for name in ["One", "Two", "Three"] {
        create_named(&app, &alice(&app), name);
        app.advance_ms(60_000);
    }
    let request = app.delete("/api/v1/projects/2").bearer(&alice(&app));
    assert_eq!(request.send().status, 204);
    let read = |list: &str| {
        app.get(&format!("/api/v1/{list}"))
            .bearer(&alice(&app))
            .send()
    };
    let found = |list: &str| -> Vec<String> {
        let page = read(list).expect(200);
        let entries = page["data"].as_array().unwrap().iter();
        let told = |entry: &serde_json::Value| {
            format!(
                "{} {}",
                entry["action"].as_str().unwrap(),
                entry["target"].as_str().unwrap()
            )
        };
        entries.map(told).collect()
    };
    assert_eq!(
        found("audit?project_id=2"),
        ["project.delete project:2", "project.create project:2"]
    );
    assert_eq!(
        found("audit?action=project.delete"),
        ["project.delete project:2"]
    );
    // From is inclusive, to is not; any offset will do.
    let times = "from=2027-01-15T08:01:00Z&to=2027-01-15T09:02:00%2B01:00";
    assert_eq!(
        found(&format!("audit?{times}")),
        ["project.create project:2"]
    );
    assert_eq!(found(&format!("projects/1/activity?{times}")), [""; 0]);
    assert_eq!(
        found("projects/1/activity?action=project.create"),
        ["project.create project:1"]
    );
    assert_eq!(read("audit?from=yesterday").faults(), ["/from"]);
    assert_eq!(
        read("audit?from=2027-01-15T08:01:00Z&to=2027-01-15T08:00:00Z").faults(),
        ["/to"]
    );
    assert_eq!(read("audit?cursor=300").faults(), ["/cursor"]);
    assert_eq!(
        read(&format!("audit?action={}", "x".repeat(65))).faults(),
        ["/action"]
    );
}
