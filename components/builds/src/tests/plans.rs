//! No list reads a whole table, or sorts what an index has in order.

use super::*;

#[test]
fn every_list_of_builds_is_read_through_an_index() {
    let scene = Scene::new();
    let id = scene.pending();
    scene.app.sql(
        "platform",
        "INSERT INTO builds (id, project_id, service_name, status, builder, source, source_ready, \
         image_repository, image_tag, build_args, attempts, log_lines, log_bytes, log_base, log_full, created_by, \
         created_by_name, created_at_ms, queued_at_ms) SELECT printf('01940000-0000-7000-8000-%012d', value), \
         1 + value % 3, 'web', 'success', 'runner', 'git', 1, 'r', 't', '{}', 1, 0, 0, 0, 0, 1, 'ada', value, value \
         FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 10000) \
         SELECT value FROM n)",
    );
    let root = scene.app.token(9, "root", "admin");
    let of_one = [
        "builds?project_id=1".to_owned(),
        "builds?project_id=1&service_name=web&status=success&page=3".to_owned(),
        format!("builds/{id}"),
        format!("builds/{id}/logs"),
    ];
    scene.app.query_plans("platform");
    for path in &of_one {
        for token in [&scene.ada, &root] {
            for (query, plan) in plans(&scene, token, path) {
                let scans =
                    |line: &String| line.starts_with("SCAN") || line.contains("TEMP B-TREE");
                assert!(!plan.iter().any(scans), "{path}: {query}\n{plan:#?}");
            }
        }
    }
    // Builds of several projects are put in order, those of other projects are not looked at.
    for (query, plan) in plans(&scene, &scene.ada, "builds?status=success") {
        assert!(
            !plan.iter().any(|line| line.starts_with("SCAN")),
            "{query}\n{plan:#?}"
        );
    }
    // Everyone's are read in the order of an index, as far as the page needs, and counted without their rows.
    for (query, plan) in plans(&scene, &root, "builds?all=true") {
        let fits =
            |line: &String| line.contains("builds_by_time") || line.contains("COVERING INDEX");
        assert!(plan.iter().all(fits), "{query}\n{plan:#?}");
    }
}

/// What a request asks of the database, but for the migrations that ran.
fn plans(scene: &Scene, token: &str, path: &str) -> Vec<(String, Vec<String>)> {
    let request = scene.app.get(&format!("/api/v1/{path}"));
    request.bearer(token).send().expect(200);
    let mut plans = scene.app.query_plans("platform");
    plans.retain(|(query, _)| !query.contains("schema_migrations"));
    assert!(!plans.is_empty(), "{path}");
    plans
}
