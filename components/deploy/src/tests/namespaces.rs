//! The namespace of an environment: recorded once, and gone with the last deployment.

use super::*;

impl Scene {
    /// Recorded names, by project and environment.
    fn namespaces(&self) -> Vec<String> {
        let rows = self.app.sql(
            "platform",
            "SELECT project_id || ' ' || environment || ' ' || name FROM namespaces ORDER BY 1",
        );
        rows.iter().map(|row| format!("{:?}", row[0])).collect()
    }

    fn namespace_told(&self, id: &str) -> String {
        self.told(id)["namespace"].as_str().unwrap().to_owned()
    }

    fn delete(&self, id: &str) {
        let request = self.app.delete(&format!("/api/v1/deployments/{id}"));
        request.bearer(&self.token("ada")).send().expect(202);
        for _ in 0..3 {
            self.tick();
        }
    }

    fn own_project_of_eve(&self, slug: &str) {
        let sql = format!("UPDATE projects SET slug = '{slug}' WHERE id = 2");
        self.app.sql("platform", &sql);
    }

    fn deploy_of_eve(&self) -> String {
        let body = json!({ "project_id": 2, "service_name": "web", "build_id": build_id(4) });
        id_of(&self.post_as("eve", "/api/v1/deploy", &body).expect(202))
    }
}

fn row(text: &str) -> String {
    format!("{:?}", nokube_guest::db::Value::Text(text.to_owned()))
}

#[test]
fn deployments_of_an_environment_share_a_namespace_and_environments_do_not() {
    let scene = Scene::new();
    let web = scene.running();
    let api = id_of(&scene.deploy(&json!({ "service_name": "api" })).expect(202));
    let recette = id_of(
        &scene
            .deploy(&json!({ "environment": "recette" }))
            .expect(202),
    );
    assert_eq!(scene.namespace_told(&web), "shop-production");
    assert_eq!(scene.namespace_told(&api), "shop-production");
    assert_eq!(scene.namespace_told(&recette), "shop-recette");
    assert_eq!(
        scene.namespaces(),
        [
            row("1 production shop-production"),
            row("1 recette shop-recette")
        ]
    );
}

#[test]
fn the_namespace_is_shown_where_the_target_has_namespaces() {
    let scene = Scene::new();
    let id = scene.running();
    assert_eq!(scene.deployment(&id)["namespace"], Value::Null);
    let scene = Scene::new();
    scene.sidecar.borrow_mut().is_cluster = true;
    let id = scene.running();
    assert_eq!(scene.deployment(&id)["namespace"], "shop-production");
    let listed = scene.get("/api/v1/deployments?project_id=1").expect(200);
    assert_eq!(listed["data"][0]["namespace"], "shop-production");
    // An address is expected of what has none for another reason.
    assert_eq!(scene.deployment(&id)["warnings"], json!([]));
    scene
        .deploy(&json!({ "exposure_type": "node_port" }))
        .expect(202);
    let shown = scene.deployment(&id);
    assert_eq!(shown["access_url"], Value::Null);
    let warning = shown["warnings"][0].as_str().unwrap();
    assert!(warning.contains("NodePort"), "{warning}");
}

#[test]
fn a_name_is_kept_when_the_project_is_called_otherwise_or_taken_over() {
    let scene = Scene::new();
    let id = scene.running();
    scene.app.sql(
        "platform",
        "UPDATE projects SET name = 'Store', slug = 'store', owner_id = 2, owner_name = 'bob' WHERE id = 1",
    );
    scene.deploy(&json!({ "replicas": 2 })).expect(202);
    let told = scene.told(&id);
    assert_eq!(
        (&told["project"], &told["namespace"]),
        (&json!("store"), &json!("shop-production"))
    );
    // What comes after has the new name.
    let next = id_of(
        &scene
            .deploy(&json!({ "environment": "recette" }))
            .expect(202),
    );
    assert_eq!(scene.namespace_told(&next), "store-recette");
}

#[test]
fn projects_of_one_name_do_not_share_a_namespace() {
    let scene = Scene::new();
    let of_ada = scene.running();
    scene.own_project_of_eve("shop");
    let of_eve = scene.deploy_of_eve();
    assert_eq!(scene.namespace_told(&of_ada), "shop-production");
    assert_eq!(scene.namespace_told(&of_eve), "shop-production-2");
}

#[test]
fn a_name_goes_with_the_last_deployment_and_not_before() {
    let scene = Scene::new();
    let web = scene.running();
    let api = id_of(&scene.deploy(&json!({ "service_name": "api" })).expect(202));
    scene.delete(&web);
    assert_eq!(scene.namespaces(), [row("1 production shop-production")]);
    scene.sidecar.borrow_mut().slow_removals = 2;
    scene.delete(&api);
    for _ in 0..3 {
        scene.tick();
    }
    assert!(scene.namespaces().is_empty());
    scene.own_project_of_eve("shop");
    let of_eve = scene.deploy_of_eve();
    assert_eq!(scene.namespace_told(&of_eve), "shop-production");
}

#[test]
fn what_is_left_of_a_project_deleted_by_force_keeps_its_namespace_until_it_is_gone() {
    let scene = Scene::new();
    scene.running();
    scene.sidecar.borrow_mut().down = true;
    let request = scene.app.delete("/internal/projects/1?force=true");
    assert_eq!(request.bearer(SYSTEM).send().status, 204);
    scene
        .app
        .sql("platform", "DELETE FROM builds WHERE project_id = 1");
    scene
        .app
        .sql("platform", "DELETE FROM projects WHERE id = 1");
    scene.own_project_of_eve("shop");
    scene.sidecar.borrow_mut().slow_removals = 10;
    scene.sidecar.borrow_mut().down = false;
    let of_eve = scene.deploy_of_eve();
    assert_eq!(scene.namespace_told(&of_eve), "shop-production-2");
    scene.sidecar.borrow_mut().slow_removals = 0;
    for _ in 0..3 {
        scene.tick();
    }
    assert_eq!(scene.namespaces(), [row("2 production shop-production-2")]);
}

#[test]
fn a_deployment_of_an_older_version_gets_its_namespace_when_it_is_handed_over() {
    let scene = Scene::new();
    let id = scene.running();
    scene.app.sql("platform", "DELETE FROM namespaces");
    scene.action(&id, "restart", &json!({})).expect(202);
    assert_eq!(scene.namespace_told(&id), "shop-production");
    assert_eq!(scene.namespaces(), [row("1 production shop-production")]);
}

#[test]
fn names_that_the_operator_keeps_are_nobodys() {
    let scene = Scene::new();
    scene
        .app
        .set("reserved_namespaces", "cert-manager, shop-production");
    let id = scene.running();
    assert_eq!(scene.namespace_told(&id), "shop-production-1");
    let preview = json!({
        "project_id": 1, "service_name": "web", "build_id": build_id(1), "environment": "recette",
    });
    scene.post("/api/v1/deploy/preview", &preview).expect(200);
    let shown = scene.sidecar.borrow().previewed[0].clone();
    assert_eq!(shown["namespace"], "shop-recette");
    assert_eq!(scene.namespaces().len(), 1, "a preview records nothing");
}
