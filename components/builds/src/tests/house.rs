//! What is old goes, and nothing that anybody may still need.

use super::*;
use nokube_guest::testing::Dice;
use std::collections::BTreeSet;

const HOUR_MS: i64 = 60 * 60 * 1_000;
/// Old builds are looked for this often.
const TURN_MS: i64 = 5_000;

impl Scene {
    /// A build that ended, as a row; ids grow with `n`.
    fn ended(&self, n: u64, service: &str, lines: u64) -> String {
        let id = format!("01940000-0000-7000-8000-{n:012}");
        self.app.sql(
            "platform",
            &format!(
                "INSERT INTO builds (id, project_id, service_name, status, builder, source, source_ready, \
                 image_repository, image_tag, build_args, digest, attempts, log_lines, log_bytes, log_base, \
                 log_full, created_by, created_by_name, created_at_ms, queued_at_ms, completed_at_ms) VALUES \
                 ('{id}', 1, '{service}', 'success', 'runner', 'git', 1, 'r', 't{n}', '{{}}', \
                 '{}', 1, {lines}, 0, 0, 0, 1, 'ada', {n}, {n}, {n})",
                digest()
            ),
        );
        self.app.sql(
            "platform",
            &format!(
                "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {lines}) \
                 INSERT INTO build_logs (build_id, n, at_ms, stream, line) \
                 SELECT '{id}', n, 0, 'stdout', 'x' FROM c WHERE {lines} > 0"
            ),
        );
        id
    }

    /// A revision that was made of a build.
    fn revision_of(&self, build: &str, number: u64) {
        self.app.sql(
            "platform",
            "INSERT INTO deployments (id, project_id, service_name, environment, host_label, revision, \
             replicas, desired, generation, acknowledged_generation, handover_failures, handover_after_ms, \
             status, replicas_ready, replicas_total, objects, created_at_ms, updated_at_ms) VALUES \
             ('d', 1, 'web', 'production', 'web', 1, 1, 'running', 1, 1, 0, 0, 'running', 1, 1, '[]', 0, 0) \
             ON CONFLICT DO NOTHING",
        );
        self.app.sql(
            "platform",
            &format!(
                "INSERT INTO deployment_revisions (deployment_id, revision, kind, build_id, image_name, \
                 digest, spec, secrets, created_by, created_by_name, created_at_ms) VALUES \
                 ('d', {number}, 'deploy', '{build}', 'i', '{}', '{{}}', '{{}}', 1, 'ada', 0)",
                digest()
            ),
        );
    }

    fn turn(&self) {
        self.app.advance_ms(TURN_MS);
        self.tick();
    }

    fn ids(&self) -> BTreeSet<String> {
        let rows = self.app.sql("platform", "SELECT id FROM builds");
        rows.iter().map(|row| format!("{:?}", row[0])).collect()
    }

    fn has(&self, id: &str) -> bool {
        self.ids().iter().any(|known| known.contains(id))
    }

    fn kept_sources(&self) -> Vec<String> {
        let list = self
            .app
            .get("/internal/builds/sources")
            .bearer(SYSTEM)
            .send()
            .expect(200);
        assert_eq!(list["more"], false);
        serde_json::from_value(list["kept"].clone()).unwrap()
    }

    fn source(&self, id: &str) -> TestAnswer {
        self.app
            .get(&format!("/internal/builds/{id}/source"))
            .bearer(SYSTEM)
            .send()
    }

    /// Announces an upload of ada's.
    fn announced(&self) -> String {
        let token = self.app.token(1, "ada", "user");
        let path = "/api/v1/builds/upload?project_id=1&service_name=web";
        id_of(&self.app.post(path).bearer(&token).send().expect(307))
    }

    fn arrives(&self, id: &str, digest: &str) {
        self.app
            .post(&format!("/internal/builds/{id}/source"))
            .bearer(SYSTEM)
            .json(&json!({ "digest": digest, "size_bytes": 7 }))
            .send()
            .expect(202);
    }

    fn retry(&self, id: &str) -> TestAnswer {
        let token = self.app.token(1, "ada", "user");
        let path = format!("/api/v1/builds/{id}/retry");
        self.app.post(&path).bearer(&token).send()
    }
}

#[test]
fn over_any_history_the_newest_builds_and_those_that_were_deployed_stay() {
    const KEEP: usize = 5;
    let scene = Scene::new();
    scene.app.set("keep_builds", "5");
    let mut dice = Dice::new(7);
    let mut of_service: [Vec<String>; 3] = Default::default();
    let mut deployed = BTreeSet::new();
    for n in 1..=150 {
        let service = usize::try_from(dice.below(3)).unwrap();
        let id = scene.ended(n, ["web", "api", "job"][service], dice.below(4));
        if dice.below(6) == 0 {
            scene.revision_of(&id, n);
            deployed.insert(id.clone());
        }
        of_service[service].push(id);
        if dice.below(4) == 0 {
            scene.turn();
        }
        let newest = of_service
            .iter()
            .flat_map(|ids| ids.iter().rev().take(KEEP));
        for id in newest.chain(&deployed) {
            assert!(scene.has(id), "{id} after {n} builds");
        }
    }
    for _ in 0..20 {
        scene.turn();
    }
    let expected: BTreeSet<&String> = of_service
        .iter()
        .flat_map(|ids| ids.iter().rev().take(KEEP))
        .chain(&deployed)
        .collect();
    assert_eq!(scene.ids().len(), expected.len());
    let orphans = "SELECT 1 FROM build_logs WHERE build_id NOT IN (SELECT id FROM builds)";
    assert!(scene.app.sql("platform", orphans).is_empty());
}

#[test]
fn a_long_log_goes_in_several_turns_and_then_its_build() {
    let scene = Scene::new();
    scene.app.set("keep_builds", "1");
    let old = scene.ended(1, "web", 25_000);
    scene.ended(2, "web", 0);
    for left in [15_000, 5_000] {
        scene.turn();
        let count = scene.app.sql("platform", "SELECT count(*) FROM build_logs");
        assert_eq!(count[0][0], nokube_guest::db::Value::Integer(left));
        assert!(scene.has(&old));
    }
    scene.turn();
    assert!(!scene.has(&old));
}

#[test]
fn builds_that_wait_or_run_are_never_old() {
    let scene = Scene::new();
    scene.app.set("keep_builds", "1");
    let waiting = scene.pending();
    for n in 1..=3 {
        scene.ended(n, "web", 0);
    }
    scene.turn();
    assert!(scene.has(&waiting));
    assert_eq!(scene.ids().len(), 2);
}

#[test]
fn a_source_is_needed_until_its_last_build_ended_long_enough_ago() {
    let scene = Scene::new();
    let id = scene.announced();
    assert_eq!(scene.kept_sources(), std::slice::from_ref(&id));
    scene.arrives(&id, &digest());
    let lease = scene.start(&id);
    assert_eq!(scene.succeed(&id, &lease).status, 204);
    scene.app.advance_ms(23 * HOUR_MS);
    let again = id_of(&scene.retry(&id).expect(202));
    assert_eq!(scene.kept_sources(), std::slice::from_ref(&id));
    let lease = scene.start(&again);
    assert_eq!(scene.succeed(&again, &lease).status, 204);
    scene.app.advance_ms(24 * HOUR_MS);
    // Too old to be built again, and still there for what was asked just before.
    assert_eq!(
        scene.retry(&id).expect(409)["type"],
        "/problems/source-gone"
    );
    assert_eq!(scene.kept_sources(), std::slice::from_ref(&id));
    scene.app.advance_ms(HOUR_MS);
    assert!(scene.kept_sources().is_empty());
}

#[test]
fn a_source_is_of_use_while_its_build_waits_and_the_same_one_afterwards() {
    let scene = Scene::new();
    let id = scene.announced();
    assert_eq!(scene.source(&id).expect(200)["digest"], Value::Null);
    scene.arrives(&id, &digest());
    let lease = scene.start(&id);
    assert_eq!(scene.source(&id).expect(200)["digest"], digest());
    assert_eq!(scene.succeed(&id, &lease).status, 204);
    assert_eq!(scene.source(&id).expect(200)["digest"], digest());
    let cancelled = scene.announced();
    let token = scene.app.token(1, "ada", "user");
    let path = format!("/api/v1/builds/{cancelled}/cancel");
    scene.app.post(&path).bearer(&token).send().expect(202);
    assert_eq!(scene.source(&cancelled).status, 409);
    let git = scene.pending();
    assert_eq!(scene.source(&git).status, 409);
    assert_eq!(
        scene.source("01940000-0000-7000-8000-000000000999").status,
        404
    );
}

#[test]
fn what_housekeeping_asks_is_for_the_platform_alone() {
    let scene = Scene::new();
    for path in ["/internal/builds/sources", "/internal/builds/x/source"] {
        assert_eq!(scene.get(path).status, 401);
        assert_eq!(scene.app.get(path).bearer(RUNNER).send().status, 401);
    }
}
