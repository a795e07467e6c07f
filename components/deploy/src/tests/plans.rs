//! No list reads a whole table, or sorts what an index has in order.

use super::*;

#[test]
fn every_list_of_deployments_is_read_through_an_index() {
    let scene = Scene::new();
    let id = scene.running();
    for sql in [
        "INSERT INTO deployments (id, project_id, service_name, environment, host_label, revision, replicas, desired, \
         generation, acknowledged_generation, handover_failures, handover_after_ms, status, replicas_ready, \
         replicas_total, objects, created_at_ms, updated_at_ms) \
         SELECT printf('01940000-0000-7000-9000-%012d', value), 1 + value % 2, 's' || value, 'production', 's' || value, \
         1, 1, 'running', 1, 1, 0, 0, 'running', 1, 1, '[]', value, value FROM (WITH RECURSIVE n(value) AS \
         (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 10000) SELECT value FROM n)",
        "INSERT INTO deployment_revisions (deployment_id, revision, kind, image_name, digest, spec, secrets, \
         created_by, created_by_name, created_at_ms) SELECT d.id, 1, 'deploy', 'i', 'd', r.spec, '{}', 1, 'ada', 0 \
         FROM deployments d, deployment_revisions r WHERE d.created_at_ms <= 10000",
    ] {
        scene.app.sql("platform", sql);
    }
    let of_one = [
        "deployments?project_id=1".to_owned(),
        "deployments?project_id=1&environment=production&status=running&page=3".to_owned(),
        format!("deployments/{id}"),
        format!("deployments/{id}/revisions"),
    ];
    scene.app.query_plans("platform");
    for path in &of_one {
        for name in ["ada", "root"] {
            for (query, plan) in plans(&scene, name, path) {
                let scans =
                    |line: &String| line.starts_with("SCAN") || line.contains("TEMP B-TREE");
                assert!(!plan.iter().any(scans), "{path}: {query}\n{plan:#?}");
            }
        }
    }
    // Deployments of several projects are put in order, those of other projects are not looked at.
    for (query, plan) in plans(&scene, "ada", "deployments?status=running") {
        assert!(
            !plan.iter().any(|line| line.starts_with("SCAN")),
            "{query}\n{plan:#?}"
        );
    }
    // Everyone's are read in the order of an index, as far as the page needs, and counted without their rows.
    for (query, plan) in plans(&scene, "root", "deployments?all=true") {
        let scans = plan.iter().filter(|line| line.starts_with("SCAN"));
        let mut fit = scans
            .map(|line| line.contains("deployments_by_time") || line.contains("COVERING INDEX"));
        assert!(fit.all(|fits| fits), "{query}\n{plan:#?}");
        assert!(
            !plan.iter().any(|line| line.contains("TEMP B-TREE")),
            "{query}\n{plan:#?}"
        );
    }
}

/// What a request asks of the database, but for the migrations that ran.
fn plans(scene: &Scene, name: &str, path: &str) -> Vec<(String, Vec<String>)> {
    scene.get_as(name, &format!("/api/v1/{path}")).expect(200);
    let mut plans = scene.app.query_plans("platform");
    plans.retain(|(query, _)| !query.contains("schema_migrations"));
    assert!(!plans.is_empty(), "{path}");
    plans
}
