//! The way of a request through a small component: what holds for every route of every component.

use nokube_domain::{DisplayName, Invalid};
use nokube_guest::db::{Db, DbError};
use nokube_guest::host::OutboundAnswer;
use nokube_guest::testing::{TestApp, check_health};
use nokube_guest::{Caller, Component, Ctx, Error, Method, Response, Route};
use serde_json::json;

static NOTES: Component = Component {
    name: "notes",
    routes: ROUTES,
};

static ROUTES: &[Route] = nokube_guest::routes! {
    public {
        GET "/api/v1/notes/health" => get_notes_health;
        GET "/api/v1/notes/broken" => break_down;
        GET "/api/v1/notes/far" => call_far;
    }
    user {
        POST "/api/v1/notes" => create_note;
        GET "/api/v1/notes/:id" => get_note;
    }
    admin {
        DELETE "/api/v1/notes" => delete_notes;
    }
    runner {
        POST "/api/v1/notes/lease" => lease_note;
    }
    agent {
        POST "/api/v1/agent/notes" => post_agent_note;
    }
    webhook {
        POST "/api/v1/webhooks/notes" => take_webhook;
    }
};

async fn get_notes_health(cx: Ctx) -> Result<Response, Error> {
    let database: Result<Db, DbError> = cx.database("notes");
    Ok(nokube_guest::health(&cx, Some(database)).await)
}

async fn break_down(_: Ctx) -> Result<Response, Error> {
    Err(Error::Database(DbError::Statement {
        message: "no such table: secrets".to_owned(),
        statement: "SELECT 1 FROM secrets".to_owned(),
    }))
}

async fn call_far(cx: Ctx) -> Result<Response, Error> {
    let answer = cx
        .call_component("auth", Method::GET, "/internal/x", None::<&()>)
        .await?;
    Ok(Response::empty(answer.status))
}

async fn create_note(mut cx: Ctx, caller: Caller) -> Result<Response, Error> {
    let mut fields = cx.fields().await?;
    let title = fields.text("title", DisplayName::parse);
    let title = fields.finish(|| title)?;
    let db = cx.database("notes")?;
    db.transaction(async |tx| {
        tx.execute("CREATE TABLE IF NOT EXISTS notes (title TEXT UNIQUE)", &[])
            .await?;
        let title = title.as_str();
        tx.execute(
            "INSERT INTO notes VALUES (?1)",
            nokube_guest::params![title],
        )
        .await?;
        if title == "taken back" {
            return Err(Error::Forbidden("No."));
        }
        Ok(())
    })
    .await?;
    Ok(Response::json(201, &json!({ "by": caller.username })))
}

async fn get_note(cx: Ctx, _: Caller) -> Result<Response, Error> {
    let id = cx.parameter("id", "note", |text| {
        text.parse::<u8>().map_err(|_| Invalid::new("no"))
    })?;
    Ok(cx.resource(200, &json!({ "id": id })))
}

async fn delete_notes(_: Ctx, _: Caller) -> Result<Response, Error> {
    Ok(Response::no_content())
}

async fn lease_note(_: Ctx) -> Result<Response, Error> {
    Ok(Response::no_content())
}

async fn post_agent_note(_: Ctx) -> Result<Response, Error> {
    Ok(Response::no_content())
}

async fn take_webhook(_: Ctx) -> Result<Response, Error> {
    Ok(Response::no_content())
}

fn app() -> TestApp {
    TestApp::new(&NOTES)
}

#[test]
fn each_group_lets_in_its_own_callers_only() {
    let app = app();
    let user = app.token(1, "alice", "user");
    let admin = app.token(2, "root", "admin");
    let delete = |token: &str| app.delete("/api/v1/notes").bearer(token).send().status;
    assert_eq!(
        (delete(&user), delete(&admin), delete("x")),
        (403, 204, 401)
    );
    let lease = |token: &str| app.post("/api/v1/notes/lease").bearer(token).send().status;
    assert_eq!((lease("test-runner-token"), lease(&admin)), (204, 401));
    assert_eq!(lease("test-system-token"), 401);
    let agent = |token: &str| app.post("/api/v1/agent/notes").bearer(token).send().status;
    assert_eq!((agent("anything"), agent("")), (204, 401));
    let webhook = app.post("/api/v1/webhooks/notes");
    assert_eq!(
        webhook
            .header("x-hub-signature-256", "sha256=0")
            .send()
            .status,
        204
    );
    assert_eq!(app.post("/api/v1/webhooks/notes").send().status, 401);
}

#[test]
fn a_secret_that_is_not_set_lets_nobody_in() {
    let app = app();
    app.set("runner_token", "");
    for token in ["", " ", "test-runner-token"] {
        assert_ne!(
            app.post("/api/v1/notes/lease").bearer(token).send().status,
            204
        );
    }
}

#[test]
fn the_short_base_is_an_alias() {
    let app = app();
    let token = app.token(1, "alice", "user");
    let read = |path: &str| app.get(path).bearer(&token).send();
    assert_eq!(
        read("/api/notes/7").expect(200),
        read("/api/v1/notes/7").expect(200)
    );
    assert_eq!(read("/api/v2/notes/7").status, 404);
    assert_eq!(read("/api/v1/notes/7/").status, 404);
    assert_eq!(read("/api/v1/notes/300").status, 404);
}

#[test]
fn head_is_answered_like_get_and_an_unchanged_version_is_not_sent_again() {
    let app = app();
    let token = app.token(1, "alice", "user");
    let get = app.get("/api/v1/notes/7").bearer(&token).send();
    let head = app
        .request(Method::HEAD, "/api/v1/notes/7")
        .bearer(&token)
        .send();
    assert_eq!(get.headers.get("etag"), head.headers.get("etag"));
    let etag = get.headers.get("etag").unwrap();
    let again = app
        .get("/api/v1/notes/7")
        .bearer(&token)
        .header("if-none-match", etag)
        .send();
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[test]
fn what_fails_inside_is_logged_once_and_not_told() {
    let app = app();
    let answer = app.get("/api/v1/notes/broken").send();
    let text = answer.expect(500).to_string();
    assert!(!text.contains("secrets"), "{text}");
    let logged = app.host.logged.borrow();
    assert_eq!(logged.len(), 1);
    assert!(logged[0].contains("no such table: secrets"));
    assert!(logged[0].contains(answer.headers.get("x-request-id").unwrap()));
}

/// The lines of the log, without those that were there before.
fn logged(app: &TestApp) -> Vec<serde_json::Value> {
    let lines = std::mem::take(&mut *app.host.logged.borrow_mut());
    let parsed = lines.iter().map(|line| serde_json::from_str(line));
    parsed.collect::<Result<_, _>>().expect("lines are JSON")
}

#[test]
fn each_request_leaves_a_line_with_its_id() {
    let app = app();
    let token = app.token(1, "alice", "user");
    let create = |title: &str| {
        let request = app.post("/api/notes?ticket=secret").bearer(&token);
        let request = request.header("x-request-id", "quoted-1");
        request.json(&json!({ "title": title })).send().status
    };
    for (title, status, level) in [
        ("kept", 201, "info"),
        ("", 422, "warn"),
        ("taken back", 403, "warn"),
    ] {
        assert_eq!(create(title), status, "{title}");
        assert_eq!(
            logged(&app),
            [json!({
                "time": "2027-01-15T08:00:00.000Z", "level": level, "service": "notes", "request_id": "quoted-1",
                "method": "POST", "route": "/api/v1/notes", "status": status, "ms": 0,
            })]
        );
    }
}

#[test]
fn a_line_of_the_log_has_the_pattern_of_a_path_and_never_what_is_in_it() {
    let app = app();
    let token = app.token(1, "alice", "user");
    for (method, path, status, route) in [
        (
            Method::GET,
            "/api/v1/notes/7?token=secret",
            200,
            json!("/api/v1/notes/:id"),
        ),
        (
            Method::GET,
            "/api/v1/notes/secret",
            404,
            json!("/api/v1/notes/:id"),
        ),
        (Method::GET, "/api/v1/secret", 404, json!(null)),
        (Method::PATCH, "/api/v1/notes?secret", 405, json!(null)),
    ] {
        let answer = app.request(method, path).bearer(&token).send();
        assert_eq!(answer.status, status, "{path}");
        let lines = logged(&app);
        assert_eq!((lines.len(), &lines[0]["route"]), (1, &route), "{path}");
        assert!(!lines[0].to_string().contains("secret"), "{}", lines[0]);
    }
}

#[test]
fn what_the_platform_itself_asks_every_second_is_logged_when_it_is_refused() {
    let app = app();
    let lease = |token: &str| app.post("/api/v1/notes/lease").bearer(token).send().status;
    assert_eq!(lease("test-runner-token"), 204);
    assert_eq!(app.get("/api/v1/notes/health").send().status, 200);
    let preflight = app.request(Method::OPTIONS, "/api/v1/notes").send();
    assert_eq!(preflight.status, 204);
    assert_eq!(logged(&app), Vec::<serde_json::Value>::new());
    assert_eq!(lease("wrong"), 401);
    assert_eq!(logged(&app)[0]["status"], 401);
}

#[test]
fn health_is_503_without_its_database() {
    check_health(&app());
}

#[test]
fn a_transaction_that_fails_leaves_nothing() {
    let app = app();
    let token = app.token(1, "alice", "user");
    let create = |title: &str| {
        let request = app.post("/api/v1/notes").bearer(&token);
        request.json(&json!({ "title": title })).send().status
    };
    assert_eq!(create("kept"), 201);
    assert_eq!(create("taken back"), 403);
    let rows = app.sql("notes", "SELECT count(*) FROM notes");
    assert_eq!(rows[0][0], nokube_guest::db::Value::Integer(1));
    // The connection is usable and in no transaction.
    app.sql("notes", "BEGIN IMMEDIATE");
}

#[test]
fn calls_between_components_carry_who_asked_and_how() {
    let app = app();
    app.answer_calls(|_| {
        Ok(OutboundAnswer {
            status: 204,
            headers: vec![],
            body: vec![],
        })
    });
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = app
        .get("/api/v1/notes/far")
        .header("x-request-id", "r-1")
        .header("traceparent", trace)
        .send();
    assert_eq!(answer.status, 204);
    let sent = app.host.sent.borrow();
    for (name, value) in [
        ("authorization", "Bearer test-system-token"),
        ("x-request-id", "r-1"),
        ("traceparent", trace),
        ("x-nokube-client-address", "192.0.2.1"),
    ] {
        assert!(
            sent[0].headers.contains(&(name.into(), value.into())),
            "{name}"
        );
    }
}

#[test]
fn a_service_that_does_not_answer_is_503_with_retry_after() {
    let answer = app().get("/api/v1/notes/far").send();
    assert_eq!(answer.expect(503)["type"], "/problems/unavailable");
    assert_eq!(answer.headers.get("retry-after"), Some("1"));
}

#[test]
fn pages_of_allowed_origins_may_ask_and_others_not() {
    let app = app();
    app.set("cors_origins", "https://console.example.com");
    let preflight = |origin: &str| {
        app.request(Method::OPTIONS, "/api/v1/notes")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .send()
    };
    let allowed = preflight("https://console.example.com");
    assert_eq!(allowed.status, 204);
    let origin = allowed.headers.get("access-control-allow-origin");
    assert_eq!(origin, Some("https://console.example.com"));
    let methods = allowed.headers.get("access-control-allow-methods");
    assert_eq!(methods, Some("POST, DELETE, OPTIONS"));
    let refused = preflight("https://evil.example.com");
    assert_eq!(refused.headers.get("access-control-allow-origin"), None);
}

#[test]
fn a_component_that_no_scope_names_is_reached_by_administration_alone() {
    let app = TestApp::new(&NOTES);
    let call = |method: Method, role: &str, scopes: &str| {
        let token = app.scoped_token(7, "alice", role, scopes);
        app.request(method, "/api/v1/notes/1").bearer(&token).send()
    };
    for scopes in ["", "read", "write", "notes:read", "projects:write"] {
        let answer = call(Method::GET, "user", scopes);
        assert_eq!(answer.expect(403)["type"], "/problems/scope-missing");
    }
    assert_ne!(call(Method::GET, "user", "admin").status, 403);
}

#[test]
fn the_scope_admin_makes_nobody_an_administrator() {
    let app = TestApp::new(&NOTES);
    let delete = |role: &str, scopes: &str| {
        let token = app.scoped_token(7, "alice", role, scopes);
        app.delete("/api/v1/notes").bearer(&token).send()
    };
    assert_eq!(
        delete("user", "admin").expect(403)["type"],
        "/problems/forbidden"
    );
    assert_eq!(
        delete("admin", "write").expect(403)["type"],
        "/problems/scope-missing"
    );
    assert_ne!(delete("admin", "admin").status, 403);
}

#[test]
fn a_fixed_path_is_never_taken_for_a_parameter_whatever_the_method() {
    let app = app();
    for (method, path, allow) in [
        (Method::PATCH, "/api/v1/notes/health", "GET, HEAD, OPTIONS"),
        (Method::GET, "/api/v1/notes/lease", "POST, OPTIONS"),
        (Method::PATCH, "/api/v1/notes/7", "GET, HEAD, OPTIONS"),
    ] {
        let answer = app.request(method, path).send();
        assert_eq!(answer.status, 405, "{path}");
        assert_eq!(answer.headers.get("allow"), Some(allow), "{path}");
    }
}
