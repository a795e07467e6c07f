//! For each route: what names something that is there, and a body that is taken.

use serde_json::{Value, json};

use super::scene::Scene;

/// A valid request of a route.
pub(crate) struct Fixture {
    /// What is put in the path for each of its parameters.
    pub(crate) path: Vec<(&'static str, String)>,
    /// Without the question mark.
    pub(crate) query: String,
    /// Null when it takes none.
    pub(crate) body: Value,
    /// Another valid body, or `query`, of a route that takes an `Idempotency-Key`.
    pub(crate) other_body: Value,
    pub(crate) other_query: Option<String>,
    /// Another credential than ada's, the runner's or the system's.
    pub(crate) token: Option<String>,
    /// What it answers.
    pub(crate) status: u16,
    /// It names something of ada's: to a stranger it is not there, and bob may only look.
    pub(crate) is_hers: bool,
    /// It can be called from outside at all.
    pub(crate) is_reachable: bool,
    /// Runs even when its credential is used up by it.
    pub(crate) once: bool,
}

impl Fixture {
    fn new(status: u16) -> Self {
        Self {
            path: Vec::new(),
            query: String::new(),
            body: Value::Null,
            other_body: Value::Null,
            other_query: None,
            token: None,
            status,
            is_hers: false,
            is_reachable: true,
            once: false,
        }
    }

    fn id(self, id: impl ToString) -> Self {
        self.parameter("id", id)
    }

    fn parameter(mut self, name: &'static str, value: impl ToString) -> Self {
        self.path.push((name, value.to_string()));
        self
    }

    fn body(mut self, body: Value) -> Self {
        self.body = body;
        self
    }

    fn or_body(mut self, body: Value) -> Self {
        self.other_body = body;
        self
    }

    fn query(mut self, query: String) -> Self {
        self.query = query;
        self
    }

    fn or_query(mut self, query: String) -> Self {
        self.other_query = Some(query);
        self
    }

    fn hers(mut self) -> Self {
        self.is_hers = true;
        self
    }

    fn by(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    fn once(mut self) -> Self {
        self.once = true;
        self
    }

    fn unreachable(mut self) -> Self {
        self.is_reachable = false;
        self
    }

    /// Of a template, the path of this fixture, with its query.
    pub(crate) fn path_of(&self, template: &str) -> String {
        let mut path = template.to_owned();
        for (name, value) in &self.path {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        if self.query.is_empty() {
            path
        } else {
            format!("{path}?{}", self.query)
        }
    }
}

/// The fixture of a route. A new route needs one here.
pub(crate) fn fixture(scene: &Scene, operation: &str) -> Option<Fixture> {
    of_auth(scene, operation)
        .or_else(|| of_projects(scene, operation))
        .or_else(|| of_builds(scene, operation))
        .or_else(|| of_runners(scene, operation))
        .or_else(|| of_deployments(scene, operation))
        .or_else(|| of_the_platform(scene, operation))
}

fn of_auth(scene: &Scene, operation: &str) -> Option<Fixture> {
    let fixture = Fixture::new(200);
    Some(match operation {
        "get_auth_health" | "get_jwks" | "verify_token" | "get_me" => fixture,
        "register_user" => Fixture::new(201)
            .body(json!({ "username": "newcomer", "password": "correct horse newcomer" })),
        "login" => fixture.body(json!({ "username": "ada", "password": "correct horse ada" })),
        "refresh_tokens" => fixture
            .body(json!({ "refresh_token": scene.refresh_token }))
            .once(),
        "logout" => Fixture::new(204).by(&scene.leaver).once(),
        "update_me" => fixture.body(json!({ "email": "ada@example.org" })),
        _ => return None,
    })
}

fn of_projects(scene: &Scene, operation: &str) -> Option<Fixture> {
    let fixture = Fixture::new(200);
    Some(match operation {
        "get_projects_health" | "list_projects" | "list_audit" => fixture,
        "create_project" => Fixture::new(201)
            .body(json!({ "name": "Rules" }))
            .or_body(json!({ "name": "Other rules" })),
        "get_project" | "list_project_activity" => fixture.id(scene.project).hers(),
        "update_project" => fixture
            .id(scene.project)
            .body(json!({ "description": "changed" }))
            .hers(),
        // Bob knows the other one.
        "delete_project" => Fixture::new(204).id(scene.spare_project),
        _ => return None,
    })
}

fn of_builds(scene: &Scene, operation: &str) -> Option<Fixture> {
    let fixture = Fixture::new(200);
    let project = scene.project;
    let wanted = |service: &str| {
        json!({
            "project_id": project, "service_name": service, "repository_url": scene.repository_url,
        })
    };
    let upload = |service: &str| format!("project_id={project}&service_name={service}");
    Some(match operation {
        "get_builds_health" | "list_builds" => fixture,
        "create_build" => Fixture::new(202)
            .body(wanted("first"))
            .or_body(wanted("second"))
            .hers(),
        "create_build_upload" => Fixture::new(307)
            .query(upload("first"))
            .or_query(upload("second"))
            .hers(),
        "get_build" | "get_build_logs" => fixture.id(&scene.build).hers(),
        "cancel_build" => Fixture::new(202).id(&scene.waiting_build).hers(),
        "retry_build" => Fixture::new(202).id(&scene.build).hers(),
        _ => return None,
    })
}

/// Runners are told that a lease is not theirs: what they do with their own is in `crates/runner`'s tests.
fn of_runners(scene: &Scene, operation: &str) -> Option<Fixture> {
    let lost = Fixture::new(410).id(&scene.build);
    Some(match operation {
        "lease_build" => Fixture::new(204).body(json!({ "runner": "test", "builders": [] })),
        "start_build" | "heartbeat_build" => lost.body(json!({ "lease_id": "none" })),
        "append_build_logs" => lost.body(json!({ "lease_id": "none", "first": 1, "lines": [] })),
        "finish_build" => {
            lost.body(json!({ "lease_id": "none", "status": "given_back", "commit": null }))
        }
        _ => return None,
    })
}

fn of_deployments(scene: &Scene, operation: &str) -> Option<Fixture> {
    let fixture = Fixture::new(200);
    let change = || Fixture::new(202).id(&scene.deployment).hers();
    let release = |environment: &str| {
        json!({
            "project_id": scene.project, "service_name": "web", "build_id": scene.build,
            "environment": environment,
        })
    };
    Some(match operation {
        "get_deploy_health" | "list_deployments" => fixture,
        "create_deployment" => Fixture::new(202)
            .body(release("first"))
            .or_body(release("second"))
            .hers(),
        "get_deployment" | "list_deployment_revisions" | "get_deployment_logs" => {
            fixture.id(&scene.deployment).hers()
        }
        "update_deployment" => change().body(json!({ "description": "changed" })),
        "roll_back_deployment" => change()
            .body(json!({ "revision": 1 }))
            .or_body(json!({ "revision": 2 })),
        "scale_deployment" => change().body(json!({ "replicas": 2 })),
        "restart_deployment" | "stop_deployment" | "start_deployment" | "delete_deployment" => {
            change()
        }
        _ => return None,
    })
}

fn of_the_platform(scene: &Scene, operation: &str) -> Option<Fixture> {
    let digest = format!("sha256:{}", "ab".repeat(32));
    Some(match operation {
        "get_health"
        | "get_openapi"
        | "tick"
        | "get_setup_state"
        | "list_kept_sources"
        | "list_kept_artifacts" => Fixture::new(200),
        // Of a repository: it waits for no source.
        "get_build_source" => Fixture::new(409).id(&scene.build),
        "put_build_source" => Fixture::new(409)
            .id(&scene.build)
            .body(json!({ "digest": digest, "size_bytes": 1 })),
        "delete_project_deployments" => Fixture::new(204).id(scene.spare_project),
        // The platform calls them by chaining; `spin.toml` has no route to them.
        "list_user_names" => Fixture::new(200).unreachable(),
        "tick_builds" | "tick_deployments" => Fixture::new(200).unreachable(),
        _ => return None,
    })
}
