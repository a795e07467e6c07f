//! No list reads a whole table or sorts what an index has in order.

use nokube_guest::testing::TestApp;

use super::{alice, app, create_named};

/// What an administrator counts is everything there is.
const COUNTS_ALL: &str = "SELECT count(*)";

/// 10,000 entries, 500 projects of alice's and 100 members of project 1.
fn crowd() -> TestApp {
    let app = app();
    create_named(&app, &alice(&app), "Shop");
    for sql in [
        "INSERT INTO projects (owner_id, owner_name, name, slug, created_at_ms, updated_at_ms) \
         SELECT 1, 'alice', 'P', 'p' || value, 0, 0 FROM (WITH RECURSIVE n(value) AS \
         (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 499) SELECT value FROM n)",
        "INSERT INTO project_members (project_id, user_id, username, role, added_at_ms) \
         SELECT id, 1, 'alice', 'owner', 0 FROM projects WHERE id > 1",
        "INSERT INTO project_members (project_id, user_id, username, role, added_at_ms) \
         SELECT 1, id + 1000, 'u' || id, 'viewer', 0 FROM projects LIMIT 99",
        "INSERT INTO audit (at_ms, actor_id, actor_name, action, target, project_id, detail, request_id) \
         SELECT value * 1000, value % 50, 'x', 'a.' || (value % 7), 't', value % 500, '{}', 'r' FROM (WITH RECURSIVE \
         n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 10000) SELECT value FROM n)",
    ] {
        app.sql("platform", sql);
    }
    app
}

#[test]
fn every_list_of_projects_members_and_entries_is_read_through_an_index() {
    let app = crowd();
    let admin = app.token(9, "root", "admin");
    let times = "from=1970-01-01T00:01:00Z&to=1970-01-01T02:00:00Z";
    let mut paths = vec![
        "/api/v1/projects".to_owned(),
        "/api/v1/projects?q=p4&page=2&limit=100".to_owned(),
        "/api/v1/projects/1/members".to_owned(),
        "/api/v1/projects/1".to_owned(),
        "/api/v1/projects/1/members/alice".to_owned(),
    ];
    let cursor = app
        .get("/api/v1/audit?limit=1")
        .bearer(&admin)
        .send()
        .expect(200)["cursor"]
        .clone();
    let cursor = format!("cursor={}", cursor.as_str().unwrap());
    for list in [
        "/api/v1/audit?",
        "/api/v1/projects/1/activity?",
        "/api/v1/audit?project_id=1&",
    ] {
        for filter in [
            "",
            "action=a.1",
            times,
            &format!("{times}&{cursor}&action=a.1"),
            &cursor,
        ] {
            paths.push(format!("{list}{filter}"));
        }
    }
    app.query_plans("platform");
    for path in &paths {
        for token in [&alice(&app), &admin] {
            app.get(path).bearer(token).send().expect(200);
            let plans = app.query_plans("platform");
            assert!(
                plans
                    .iter()
                    .any(|(query, _)| query.contains("LIMIT") || !path.contains('?')),
                "{path}"
            );
            for (query, plan) in plans {
                for line in &plan {
                    // Newest first of everything is the index's own order: it is read as far as the page needs.
                    let in_order = line.starts_with("SCAN audit USING INDEX audit_by_time");
                    let counts = query.starts_with(COUNTS_ALL) && line.contains("COVERING INDEX");
                    let searches = !line.starts_with("SCAN") && !line.contains("TEMP B-TREE");
                    assert!(
                        searches || in_order || counts || is_about_the_schema(&query),
                        "{path}: {query}\n{plan:#?}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_leaves_with_an_account_is_read_through_an_index() {
    let app = crowd();
    app.query_plans("platform");
    for path in [
        "/internal/owners/1",
        "/internal/owners/1?after=01985000-0000-7000-8000-000000000001",
    ] {
        app.get(path).bearer("test-system-token").send().expect(200);
        for (query, plan) in app.query_plans("platform") {
            let is_indexed = plan
                .iter()
                .all(|line| !line.starts_with("SCAN") && !line.contains("TEMP B-TREE"));
            assert!(
                is_indexed || is_about_the_schema(&query),
                "{query}\n{plan:#?}"
            );
        }
    }
}

/// Which migrations ran, asked before everything.
fn is_about_the_schema(query: &str) -> bool {
    query.contains("schema_migrations") || query.contains("sqlite_master")
}
