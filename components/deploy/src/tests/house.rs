//! Old revisions go, and never one that runs or could be rolled back to.

use super::*;
use nokube_guest::testing::Dice;
use std::collections::BTreeSet;

impl Scene {
    fn revisions(&self, id: &str) -> Vec<u64> {
        let rows = self.app.sql(
            "platform",
            &format!(
                "SELECT revision FROM deployment_revisions WHERE deployment_id = '{id}' ORDER BY revision"
            ),
        );
        rows.iter()
            .map(|row| match row[0] {
                nokube_guest::db::Value::Integer(number) => u64::try_from(number).unwrap(),
                ref other => panic!("{other:?}"),
            })
            .collect()
    }

    /// All pages of what must stay.
    fn kept_artifacts(&self) -> BTreeSet<String> {
        let (mut all, mut after) = (BTreeSet::new(), String::new());
        loop {
            let path = format!("/internal/artifacts?after={after}");
            let page = self.app.get(&path).bearer(SYSTEM).send().expect(200);
            let kept: Vec<String> = serde_json::from_value(page["kept"].clone()).unwrap();
            assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
            if let Some(last) = kept.last() {
                after.clone_from(last);
            }
            all.extend(kept);
            if page["more"] == false {
                return all;
            }
        }
    }
}

#[test]
fn over_any_history_what_runs_and_what_can_be_rolled_back_to_stays() {
    const KEEP: u64 = 4;
    let scene = Scene::new();
    scene.app.set("keep_revisions", "4");
    let mut dice = Dice::new(11);
    let id = scene.running();
    let mut newest: u64 = 1;
    let mut settled = 1;
    for step in 0..300 {
        // Sometimes nothing comes up for a while: what ran last has to stay all that time.
        let comes_up = (step / 40) % 2 == 0;
        scene.sidecar.borrow_mut().phase = if comes_up { None } else { Some("failed") };
        let changed =
            match dice.below(4) {
                0 => scene
                    .deploy(
                        &json!({ "build_id": build_id(1 + u32::try_from(dice.below(2)).unwrap()) }),
                    )
                    .status,
                1 => {
                    let kept = scene.revisions(&id);
                    let to = kept[usize::try_from(dice.below(kept.len() as u64)).unwrap()];
                    scene
                        .action(&id, "rollback", &json!({ "revision": to }))
                        .status
                }
                2 => {
                    scene
                        .patch(&id, &json!({ "env_vars": { "STEP": step.to_string() } }))
                        .status
                }
                _ => 0,
            };
        if changed == 202 {
            newest += 1;
            if comes_up {
                settled = newest;
            }
        }
        scene.tick();
        if comes_up && scene.deployment(&id)["status"] == "running" {
            settled = newest;
        }
        let kept = scene.revisions(&id);
        let first = newest.saturating_sub(KEEP - 1).max(1);
        for revision in (first..=newest).chain([settled]) {
            assert!(
                kept.contains(&revision),
                "{revision} of {kept:?} at step {step}"
            );
        }
        let named = scene.kept_artifacts();
        let told = scene.told(&id)["digest"].as_str().unwrap().to_owned();
        assert!(named.contains(&told));
    }
    for _ in 0..100 {
        scene.tick();
    }
    let left = scene.revisions(&id).len() as u64;
    assert!((KEEP..=KEEP + 1).contains(&left), "{left} are left");
}

#[test]
fn a_revision_that_was_removed_cannot_be_rolled_back_to() {
    let scene = Scene::new();
    scene.app.set("keep_revisions", "1");
    let id = scene.running();
    let again = scene.deploy(&json!({ "env_vars": { "A": "1" } }));
    assert_eq!(again.status, 202);
    for _ in 0..5 {
        scene.tick();
    }
    assert_eq!(scene.revisions(&id), [2]);
    let refused = scene.action(&id, "rollback", &json!({ "revision": 1 }));
    assert_eq!(refused.faults(), ["/revision"]);
    let list = scene
        .get(&format!("/api/v1/deployments/{id}/revisions"))
        .expect(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
}

#[test]
fn artifacts_of_builds_and_of_revisions_whose_build_is_gone_are_named() {
    let scene = Scene::new();
    scene.running();
    scene
        .app
        .sql("platform", "DELETE FROM builds WHERE image_tag = 't1'");
    let named: Vec<String> = scene.kept_artifacts().into_iter().collect();
    assert_eq!(named, [digest(1), digest(2), digest(4)]);
    assert_eq!(scene.get("/internal/artifacts").status, 401);
}

#[test]
fn artifacts_are_named_page_by_page() {
    let scene = Scene::new();
    scene.app.sql(
        "platform",
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2500) \
         INSERT INTO builds (id, project_id, service_name, status, builder, source, source_ready, \
         image_repository, image_tag, build_args, digest, attempts, log_lines, log_bytes, log_base, \
         log_full, created_by, created_by_name, created_at_ms, queued_at_ms, completed_at_ms) \
         SELECT 'b' || n, 1, 'x', 'success', 'runner', 'git', 1, 'r', 't', '{}', \
         'sha256:' || printf('%064d', n), 1, 0, 0, 0, 0, 1, 'ada', 0, 0, 0 FROM c",
    );
    assert_eq!(scene.kept_artifacts().len(), 2_503);
}

#[test]
fn a_project_has_a_bounded_number_of_deployments() {
    let scene = Scene::new();
    scene.app.set("max_deployments_per_project", "2");
    for (service, status) in [("web", 202), ("api", 202), ("job", 409), ("web", 202)] {
        let answer = scene.deploy(&json!({ "service_name": service }));
        assert_eq!(answer.status, status, "{service}");
        if status == 409 {
            assert_eq!(answer.expect(409)["type"], "/problems/too-many-deployments");
        }
    }
}
