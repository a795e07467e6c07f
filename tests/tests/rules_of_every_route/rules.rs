//! The rules themselves. Each takes a route and its fixture, and applies where the document says that it does.

use std::collections::BTreeMap;

use nokube_tests::platform::repository_root;
use reqwest::Method;
use serde_json::{Value, json};

use super::exchange::{Ask, Got};
use super::fixtures::Fixture;
use super::scene::{ORIGIN, Operation, Scene};

/// Components read at most 1 MiB unless they say otherwise; log lines of runners may have 16.
const TOO_LARGE_BYTES: usize = (1 << 20) + 1;
const TOO_LARGE_LOG_BYTES: usize = (16 << 20) + 1;

/// Who may call the route.
fn credential(scene: &Scene, operation: &Operation, fixture: &Fixture) -> Option<String> {
    if let Some(token) = &fixture.token {
        return Some(token.clone());
    }
    let scheme = operation.described["security"][0].as_object()?;
    Some(match scheme.keys().next()?.as_str() {
        "user" => scene.ada.clone(),
        "runner" => scene.key("runner_token"),
        "system" => scene.key("system_token"),
        other => panic!("{}: say who bears {other}", operation.id),
    })
}

fn is_public(operation: &Operation) -> bool {
    operation.described["security"][0].is_null()
}

/// Whether a response that is described under this status names a problem.
fn has_problem(scene: &Scene, operation: &Operation, status: &str, slug: &str) -> bool {
    let response = &operation.described["responses"][status];
    let response = scene.resolve(operation, response);
    response["description"]
        .as_str()
        .is_some_and(|text| text.contains(&format!("`{slug}`")))
}

fn parameters<'a>(scene: &'a Scene, operation: &'a Operation) -> Vec<&'a Value> {
    let parameters = operation.described["parameters"].as_array();
    let parameters = parameters.into_iter().flatten();
    parameters
        .map(|parameter| scene.resolve(operation, parameter))
        .collect()
}

fn has_parameter(scene: &Scene, operation: &Operation, place: &str, name: &str) -> bool {
    parameters(scene, operation)
        .iter()
        .any(|parameter| parameter["in"] == place && parameter["name"] == name)
}

/// A body read field by field: unknown fields are refused.
fn refuses_unknown(scene: &Scene, operation: &Operation) -> bool {
    let schema = scene.body_schema(operation);
    schema.is_some_and(|schema| schema["additionalProperties"] == false)
}

fn valid(scene: &Scene, operation: &Operation, fixture: &Fixture) -> Ask {
    Ask::new(&operation.method, &fixture.path_of(&operation.template))
        .token(credential(scene, operation, fixture).as_deref())
        .json(&fixture.body)
}

/// Notes when an answer is another one.
fn expect(scene: &Scene, operation: &Operation, what: &str, got: &Got, status: u16) -> bool {
    let is_so = got.status == status;
    if !is_so {
        let text = String::from_utf8_lossy(&got.body);
        let text: String = text.chars().take(300).collect();
        scene.fault(
            operation,
            &format!("{what}: {} instead of {status}: {text}", got.status),
        );
    }
    is_so
}

/// No credential, and one that is none: 401.
pub(crate) async fn credentials(scene: &Scene, operation: &Operation, fixture: &Fixture) {
    if is_public(operation) {
        return;
    }
    let ask = valid(scene, operation, fixture);
    for (what, token) in [
        ("without a token", None),
        ("with a token that is none", Some("x")),
        ("with a token of three parts", Some("e30.e30.e30")),
    ] {
        let got = scene.ask(Some(operation), &ask.clone().token(token)).await;
        expect(scene, operation, what, &got, 401);
    }
    // A user's token is nobody's but a user's.
    if operation.described["security"][0]["user"].is_null() {
        let got = scene
            .ask(Some(operation), &ask.token(Some(&scene.admin)))
            .await;
        expect(scene, operation, "with an administrator's token", &got, 401);
    }
}

/// To a stranger it is as if it were not there; who may only look changes nothing.
pub(crate) async fn somebody_elses(scene: &Scene, operation: &Operation, fixture: &Fixture) {
    let ask = valid(scene, operation, fixture);
    if fixture.is_hers {
        let foreign = scene
            .ask(Some(operation), &ask.clone().token(Some(&scene.eve)))
            .await;
        expect(scene, operation, "with a stranger's token", &foreign, 404);
        if let Some(missing) = missing(operation, fixture) {
            let asked = Ask {
                path: missing,
                ..ask.clone()
            };
            let missing = scene.ask(Some(operation), &asked).await;
            expect(scene, operation, "for what is not there", &missing, 404);
            if missing.words() != foreign.words() {
                scene.fault(
                    operation,
                    "what is another's differs from what is not there",
                );
            }
        }
        let looks_only = operation.method == Method::GET;
        let got = scene
            .ask(Some(operation), &ask.token(Some(&scene.bob)))
            .await;
        let status = if looks_only { fixture.status } else { 403 };
        expect(scene, operation, "with a viewer's token", &got, status);
        if !looks_only && !has_problem(scene, operation, "403", "forbidden") {
            scene.fault(operation, "does not tell of 403");
        }
    } else if !is_public(operation) && operation.template.contains('{') {
        let owned = operation.described["security"][0]["user"].is_array();
        if owned {
            let got = scene
                .ask(Some(operation), &ask.token(Some(&scene.eve)))
                .await;
            expect(scene, operation, "with a stranger's token", &got, 404);
        }
    }
}

/// The path of something of the same kind that is not there.
fn missing(operation: &Operation, fixture: &Fixture) -> Option<String> {
    let mut path = operation.template.clone();
    if !path.contains('{') {
        return None;
    }
    for (name, value) in &fixture.path {
        let none = if value.contains('-') {
            "01890a5d-ac96-774b-bcce-b302099a8057"
        } else {
            "987654321"
        };
        path = path.replace(&format!("{{{name}}}"), none);
    }
    Some(path)
}

/// Not JSON, another type, too large, and fields that nobody knows.
pub(crate) async fn bodies(scene: &Scene, operation: &Operation, fixture: &Fixture) {
    if scene.body_schema(operation).is_none() {
        return;
    }
    let ask = Ask {
        headers: Vec::new(),
        body: None,
        ..valid(scene, operation, fixture)
    };
    let json_type = "application/json";
    let form = "application/x-www-form-urlencoded";
    let good = fixture.body.to_string().into_bytes();
    let too_large = if operation.id == "append_build_logs" {
        TOO_LARGE_LOG_BYTES
    } else {
        TOO_LARGE_BYTES
    };
    for (what, media_type, body, status) in [
        ("broken JSON", json_type, b"{".to_vec(), 400),
        ("an empty body", json_type, Vec::new(), 400),
        ("another type", "text/xml", good.clone(), 415),
        ("a form", form, b"a=b".to_vec(), 415),
        ("a list", json_type, b"[]".to_vec(), 422),
        ("too much", json_type, vec![b' '; too_large], 413),
    ] {
        let asked = ask.clone().header("content-type", media_type).bytes(body);
        let got = scene.ask(Some(operation), &asked).await;
        expect(scene, operation, what, &got, status);
    }
    if refuses_unknown(scene, operation) {
        let mut body = fixture.body.clone();
        body["surprise"] = json!(true);
        // In curl's default type it is read as JSON all the same.
        for media_type in [json_type, form] {
            let asked = ask
                .clone()
                .header("content-type", media_type)
                .bytes(body.to_string().into_bytes());
            let got = scene.ask(Some(operation), &asked).await;
            if expect(scene, operation, "an unknown field", &got, 422) {
                let faults = got.json()["errors"].clone();
                let named = faults.as_array().into_iter().flatten();
                if named.clone().count() != 1 || faults[0]["pointer"] != "/surprise" {
                    scene.fault(operation, &format!("an unknown field: {faults}"));
                }
            }
        }
    }
    let schema = scene.body_schema(operation);
    let required = schema.and_then(|schema| schema["required"].as_array());
    if let Some(required) = required {
        let got = scene.ask(Some(operation), &ask.json(&json!({}))).await;
        expect(scene, operation, "an empty object", &got, 422);
        if refuses_unknown(scene, operation) {
            for name in required {
                let pointer = format!("/{}", name.as_str().unwrap_or_default());
                let faults = got.json()["errors"].clone();
                let mut named = faults.as_array().into_iter().flatten();
                if !named.any(|fault| fault["pointer"] == pointer.as_str()) {
                    scene.fault(operation, &format!("{pointer} is missing without a fault"));
                }
            }
        }
    }
}

/// `ETag`, `If-None-Match`, `If-Match`.
pub(crate) async fn versions(scene: &Scene, operation: &Operation, fixture: &Fixture) {
    let ask = valid(scene, operation, fixture);
    if has_parameter(scene, operation, "header", "If-Match") {
        let stale = ask.clone().header("if-match", "\"stale\"");
        let got = scene.ask(Some(operation), &stale).await;
        expect(scene, operation, "of a stale version", &got, 412);
    }
    if has_parameter(scene, operation, "header", "If-None-Match") {
        let got = scene.ask(Some(operation), &ask).await;
        let etag = got.header("etag").unwrap_or_default().to_owned();
        let unchanged = ask.header("if-none-match", etag);
        let got = scene.ask(Some(operation), &unchanged).await;
        expect(scene, operation, "of a version that is known", &got, 304);
    }
}

/// Parameters outside of their bounds, pages, and `HEAD`.
pub(crate) async fn queries(scene: &Scene, operation: &Operation, fixture: &Fixture) {
    let ask = valid(scene, operation, fixture);
    let with = |name: &str, value: &str| {
        let mark = if ask.path.contains('?') { '&' } else { '?' };
        Ask {
            path: format!("{}{mark}{name}={value}", ask.path),
            ..ask.clone()
        }
    };
    for parameter in parameters(scene, operation) {
        if parameter["in"] != "query" {
            continue;
        }
        let name = parameter["name"].as_str().unwrap_or_default();
        // What the fixture has already would be the first of two.
        if fixture.query.contains(&format!("{name}=")) {
            continue;
        }
        for value in outside(&parameter["schema"]) {
            let got = scene.ask(Some(operation), &with(name, &value)).await;
            let what = format!("?{name}={value}");
            if expect(scene, operation, &what, &got, 422) {
                let fault = got.json()["errors"][0].clone();
                if fault["pointer"] != format!("/{name}") || fault["in"] != "query" {
                    scene.fault(operation, &format!("{what}: {fault}"));
                }
            }
        }
    }
    if has_parameter(scene, operation, "query", "page") {
        pages(scene, operation, &with("limit", "1")).await;
    }
    if operation.method == Method::GET && !fixture.once {
        let head = Ask {
            method: Method::HEAD,
            ..ask.clone()
        };
        let got = scene.ask(None, &head).await;
        expect(scene, operation, "by HEAD", &got, fixture.status);
        if !got.body.is_empty() || got.header("content-type").is_none() {
            scene.fault(operation, "by HEAD: has a body, or no type");
        }
    }
}

/// Values that a schema excludes.
fn outside(schema: &Value) -> Vec<String> {
    let mut values = Vec::new();
    match schema["type"].as_str() {
        Some("integer") => {
            values.extend(["x".to_owned(), "1.5".to_owned(), "-1".to_owned()]);
            for (bound, step) in [("minimum", -1), ("maximum", 1)] {
                values.extend(
                    schema[bound]
                        .as_i64()
                        .map(|bound| (bound + step).to_string()),
                );
            }
        }
        Some("boolean") => values.push("maybe".to_owned()),
        _ => {
            if schema["enum"].is_array() {
                values.push("none-of-them".to_owned());
            }
            if schema["format"] == "date-time" {
                values.push("yesterday".to_owned());
            }
            if let Some(most) = schema["maxLength"].as_u64() {
                values.push("x".repeat(usize::try_from(most).unwrap_or(0) + 1));
            }
        }
    }
    values
}

/// Where a page is in the whole, and the links to the others.
async fn pages(scene: &Scene, operation: &Operation, ask: &Ask) {
    let got = scene.ask(Some(operation), ask).await;
    if !expect(scene, operation, "one entry at a time", &got, 200) {
        return;
    }
    let list = got.json();
    let place = &list["pagination"];
    let total = place["total"].as_u64().unwrap_or(0);
    let shown = list["data"].as_array().map_or(0, Vec::len) as u64;
    if place["page"] != 1 || place["limit"] != 1 || place["pages"] != total || shown != total.min(1)
    {
        scene.fault(
            operation,
            &format!("a page of one: {place} with {shown} entries"),
        );
    }
    let link = got.header("link").unwrap_or_default();
    let wanted = [
        ("first", total > 0),
        ("next", total > 1),
        ("last", total > 0),
    ];
    for (relation, is_there) in wanted {
        if link.contains(&format!("rel=\"{relation}\"")) != is_there {
            scene.fault(operation, &format!("of {total} entries, Link is {link:?}"));
        }
    }
}

/// The same request with the same key is answered as before, another one refused.
pub(crate) async fn idempotency(scene: &Scene, operation: &Operation, fixture: &Fixture) {
    if !has_parameter(scene, operation, "header", "Idempotency-Key") {
        return;
    }
    let ask = valid(scene, operation, fixture);
    for key in [String::new(), "a b".to_owned(), "x".repeat(256)] {
        let got = scene
            .ask(
                Some(operation),
                &ask.clone().header("idempotency-key", &key),
            )
            .await;
        expect(scene, operation, "with a key that is none", &got, 400);
    }
    let key = format!("rules-{}", operation.id);
    let mut first_body = fixture.body.clone();
    if operation.id == "create_project" {
        // The name of the fixture is for `works`.
        first_body["name"] = json!("Once");
    }
    let keyed = Ask {
        headers: Vec::new(),
        body: None,
        ..ask
    }
    .header("idempotency-key", &key);
    let first = scene
        .ask(Some(operation), &keyed.clone().json(&first_body))
        .await;
    expect(scene, operation, "with a key", &first, fixture.status);
    let again = scene
        .ask(Some(operation), &keyed.clone().json(&first_body))
        .await;
    expect(
        scene,
        operation,
        "with the key again",
        &again,
        fixture.status,
    );
    if again.body != first.body || again.header("idempotency-replayed") != Some("true") {
        scene.fault(operation, "with the key again: is not the first answer");
    }
    let other = match (&fixture.other_query, &fixture.other_body) {
        (Some(query), _) => Ask {
            path: format!("{}?{query}", operation.template),
            ..keyed.clone()
        },
        (None, Value::Null) => {
            // No body and no query: another request is another path, which is another route's.
            return;
        }
        (None, body) => keyed.clone().json(body),
    };
    let got = scene.ask(Some(operation), &other).await;
    expect(scene, operation, "another request with the key", &got, 422);
    // It is the caller's own key.
    if !fixture.is_hers {
        let eve = keyed.token(Some(&scene.eve)).json(&first_body);
        let got = scene.ask(Some(operation), &eve).await;
        expect(
            scene,
            operation,
            "another's request with the key",
            &got,
            fixture.status,
        );
        if got.body == first.body {
            scene.fault(operation, "another's key gives this one's answer");
        }
    }
}

/// It does what it is for.
pub(crate) async fn works(scene: &Scene, operation: &Operation, fixture: &Fixture) {
    let ask = valid(scene, operation, fixture);
    let got = scene.ask(Some(operation), &ask).await;
    expect(scene, operation, "as it is meant", &got, fixture.status);
    let described = &operation.described["responses"][got.status.to_string()];
    let wants_location = described["headers"].get("Location").is_some();
    if let (true, Some(place)) = (wants_location, got.header("location"))
        && place.starts_with("/api/")
    {
        let ask = Ask::new(&Method::GET, place).token(
            credential(scene, operation, fixture)
                .as_deref()
                .or(Some(&scene.ada)),
        );
        let got = scene.ask(None, &ask).await;
        expect(scene, operation, "what Location names", &got, 200);
    }
}

/// The platform's own parts call it, but nothing of it is open to the outside.
pub(crate) async fn is_not_there_from_outside(
    scene: &Scene,
    operation: &Operation,
    fixture: &Fixture,
) {
    // Three components have one; from outside it is that of `meta`, which is tried as such.
    if operation.template != "/internal/tick" {
        let ask = valid(scene, operation, fixture);
        let got = scene.ask(None, &ask).await;
        expect(scene, operation, "from outside", &got, 404);
    }
}

/// Other methods: 405 with `Allow`; `OPTIONS`, and pages of other origins.
pub(crate) async fn methods(scene: &Scene, operations: &[Operation]) {
    let mut paths: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        paths
            .entry(&operation.template)
            .or_default()
            .push(operation);
    }
    for (template, operations) in paths {
        let Some(first) = operations.first() else {
            continue;
        };
        if super::fixtures::fixture(scene, &first.id).is_none_or(|fixture| !fixture.is_reachable)
            || template == "/internal/tick"
        {
            continue;
        }
        let parts = template.split('/').map(|part| {
            let is_parameter = part.starts_with('{');
            if is_parameter { "1" } else { part }
        });
        let path = parts.collect::<Vec<_>>().join("/");
        let mut allowed: Vec<String> = operations
            .iter()
            .map(|operation| operation.method.to_string())
            .collect();
        if allowed.iter().any(|method| method == "GET") {
            allowed.push("HEAD".to_owned());
        }
        allowed.push("OPTIONS".to_owned());
        allowed.sort();
        let allow = |got: &Got| {
            let header = got.header("allow").unwrap_or_default();
            let mut methods: Vec<String> = header.split(", ").map(str::to_owned).collect();
            methods.sort();
            methods
        };
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE"] {
            if allowed.iter().any(|known| known == method) {
                continue;
            }
            let method: Method = method.parse().expect("a method");
            // Whoever asks: the path is no secret.
            let got = scene.ask(None, &Ask::new(&method, &path)).await;
            if expect(scene, first, &format!("by {method}"), &got, 405) && allow(&got) != allowed {
                scene.fault(first, &format!("by {method}: Allow is {:?}", allow(&got)));
            }
        }
        for (origin, may) in [(ORIGIN, true), ("https://evil.example.com", false)] {
            let ask = Ask::new(&Method::OPTIONS, &path)
                .header("origin", origin)
                .header("access-control-request-method", first.method.as_str());
            let got = scene.ask(None, &ask).await;
            expect(scene, first, "by OPTIONS", &got, 204);
            let given = got.header("access-control-allow-origin");
            if given != may.then_some(origin) || got.header("vary") != Some("origin") {
                scene.fault(first, &format!("a page of {origin} is told {given:?}"));
            }
            if got.header("access-control-allow-credentials").is_some() {
                scene.fault(first, "cookies are allowed for");
            }
            if allow(&got) != allowed {
                scene.fault(first, &format!("by OPTIONS: Allow is {:?}", allow(&got)));
            }
        }
    }
}

/// What takes credentials says how often it may be tried, and holds to it.
pub(crate) async fn limits(scene: &Scene, operations: &[Operation]) {
    for operation in operations {
        if !has_problem(scene, operation, "429", "too-many-attempts") {
            continue;
        }
        if operation.id != "login" {
            continue;
        }
        let body = json!({ "username": "nobody1", "password": "wrong horse battery" });
        let ask = Ask::new(&operation.method, &operation.template).json(&body);
        let mut refused = None;
        for _ in 0..20 {
            let got = scene.ask(Some(operation), &ask).await;
            if got.header("ratelimit").is_none() || got.header("ratelimit-policy").is_none() {
                scene.fault(operation, &format!("{} without RateLimit", got.status));
            }
            if got.status == 429 {
                refused = Some(got);
                break;
            }
        }
        match refused {
            Some(got) if got.header("retry-after").is_some() => {}
            Some(_) => scene.fault(operation, "429 without Retry-After"),
            None => scene.fault(operation, "may be tried for ever"),
        }
    }
}

/// Paths that no route has, and the document itself.
pub(crate) async fn paths_that_nobody_has(scene: &Scene) {
    let served = scene
        .ask(None, &Ask::new(&Method::GET, "/api/v1/openapi.json"))
        .await;
    let committed = std::fs::read(repository_root().join("docs/openapi.json")).unwrap_or_default();
    if served.body != committed {
        scene.note("the document that is served is not the one that is committed".to_owned());
    }
    for path in [
        "/",
        "/nothing",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v2/projects",
        "/api/v1/nothing",
        "/api/v1/projects/",
        "/api/v1/projects/1/nothing",
        "/api/v1/auth/nothing",
        "/api/v1/builds/1/nothing",
        "/api/v1/deployments/1/nothing",
        "/internal/nothing",
        "/blobs/nothing/nothing",
    ] {
        for method in [Method::GET, Method::POST] {
            let got = scene.ask(None, &Ask::new(&method, path)).await;
            let media_type = got.header("content-type");
            if got.status != 404 || media_type != Some("application/problem+json") {
                scene.note(format!("{method} {path}: {} {media_type:?}", got.status));
            }
        }
    }
}
