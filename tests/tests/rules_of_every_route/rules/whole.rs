//! What holds of all routes together: methods, limits, and paths that nobody has.

use std::collections::BTreeMap;

use nokube_tests::platform::repository_root;
use reqwest::Method;
use serde_json::json;

use super::{expect, has_problem};
use crate::exchange::{Ask, Got};
use crate::fixtures::fixture;
use crate::scene::{ORIGIN, Operation, Scene};

/// More than any limit that is tried.
const MOST_GUESSES: u32 = 40;

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
        if fixture(scene, &first.id).is_none_or(|fixture| !fixture.is_reachable)
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

/// Limits that are not reached within a test, and where each is shown to be one.
const REACHED_ELSEWHERE: [(&str, &str); 3] = [
    (
        "register_user",
        "600 an address: components/auth/src/tests/limits.rs",
    ),
    (
        "exchange_api_token",
        "600 an address: components/auth/src/tests/limits.rs",
    ),
    (
        "refresh_tokens",
        "3000 an address: components/auth/src/tests/limits.rs",
    ),
];

/// What takes credentials says how often it may be tried, and holds to it.
pub(crate) async fn limits(scene: &Scene, operations: &[Operation]) {
    for operation in operations {
        if !has_problem(scene, operation, "429", "too-many-attempts") {
            continue;
        }
        let Some(ask) = guess(scene, operation) else {
            scene.fault(
                operation,
                "has a limit that nothing tries: say how (rules/whole.rs)",
            );
            continue;
        };
        let is_reached_elsewhere = REACHED_ELSEWHERE
            .iter()
            .any(|(known, _)| *known == operation.id);
        let guesses = if is_reached_elsewhere {
            1
        } else {
            MOST_GUESSES
        };
        let mut refused = None;
        for _ in 0..guesses {
            let got = scene.ask(Some(operation), &ask).await;
            // Who tries is told beforehand.
            for name in ["ratelimit", "ratelimit-policy"] {
                if got.header(name).is_none() {
                    scene.fault(operation, &format!("{} without {name}", got.status));
                }
            }
            if got.status == 429 {
                refused = Some(got);
                break;
            }
        }
        match refused {
            Some(got) if got.header("retry-after").is_none() => {
                scene.fault(operation, "429 without retry-after");
            }
            None if !is_reached_elsewhere => scene.fault(operation, "may be tried for ever"),
            _ => {}
        }
    }
}

/// A wrong guess at what each route with a limit takes, each by somebody of its own: who guesses wrong at one waits at
/// the others, too. Of limits that are reached elsewhere, whatever is counted.
fn guess(scene: &Scene, operation: &Operation) -> Option<Ask> {
    let ask = Ask::new(&operation.method, &operation.template);
    let password = "wrong horse battery";
    let things = &scene.things;
    Some(match operation.id.as_str() {
        "login" => ask.json(&json!({ "username": "nobody1", "password": password })),
        "register_user" => {
            ask.json(&json!({ "username": "latecomer", "password": "correct horse latecomer" }))
        }
        "exchange_api_token" => {
            ask.json(&json!({ "grant_type": "api_token", "token": things.api_token_value }))
        }
        "refresh_tokens" => ask.json(&json!({ "refresh_token": "none" })),
        "change_password" => ask.token(Some(&things.eve)).json(
            &json!({ "current_password": password, "new_password": "another horse battery" }),
        ),
        "delete_me" => ask
            .token(Some(&things.bob))
            .json(&json!({ "current_password": password })),
        "update_me" => ask
            .token(Some(&things.eve))
            .json(&json!({ "email": "eve@example.org" })),
        "export_me" => ask.token(Some(&things.eve)),
        "begin_totp" => ask
            .token(Some(&things.beginner))
            .json(&json!({ "password": password })),
        "confirm_totp" => ask
            .token(Some(&things.guesser))
            .json(&json!({ "code": "none" })),
        "delete_totp" => ask
            .token(Some(&things.guarded))
            .json(&json!({ "password": password, "code": "000000" })),
        "get_calendar" => Ask {
            path: format!("{}?token=none", operation.template),
            ..ask
        },
        _ => return None,
    })
}

/// The one-time addresses of sources, which are no component's: what every answer has, their methods, and that they are
/// good for one thing.
pub(crate) async fn one_time_addresses(scene: &Scene) {
    let address = &scene.things.upload_path;
    let problem = |got: &Got, slug: &str| got.json()["type"] == format!("/problems/{slug}");
    for method in ["PATCH", "DELETE", "PURGE"] {
        let parsed: Method = method.parse().expect("a method");
        let got = scene.ask(None, &Ask::new(&parsed, address)).await;
        let allow = got.header("allow").unwrap_or_default();
        let is_told = ["GET", "PUT", "POST"]
            .iter()
            .all(|known| allow.contains(known));
        if got.status != 405 || !is_told || !problem(&got, "method-not-allowed") {
            scene.note(format!(
                "a one-time address by {method}: {} {allow:?}",
                got.status
            ));
        }
    }
    let altered = format!("{address}x");
    for (what, method, path, slug) in [
        (
            "that is for sending, read",
            Method::GET,
            address,
            "ticket-other-use",
        ),
        ("altered", Method::PUT, &altered, "ticket-invalid"),
    ] {
        let got = scene.ask(None, &Ask::new(&method, path)).await;
        if got.status != 403 || !problem(&got, slug) {
            scene.note(format!("a one-time address {what}: {}", got.status));
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
