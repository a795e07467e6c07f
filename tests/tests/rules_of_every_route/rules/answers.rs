//! What is answered: versions, the same twice, and what a route is for.

use reqwest::Method;
use serde_json::{Value, json};

use super::{credential, expect, has_parameter, valid};
use crate::exchange::Ask;
use crate::fixtures::{Fixture, Whose};
use crate::scene::{Operation, Scene};

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
    let other = match (&fixture.other_query, &fixture.other_id, &fixture.other_body) {
        (Some(query), _, _) => Ask {
            path: format!("{}?{query}", operation.template),
            ..keyed.clone()
        },
        (None, Some(id), _) => Ask {
            path: operation.template.replace("{id}", id),
            ..keyed.clone()
        },
        (None, None, Value::Null) => {
            scene.fault(operation, "has no other request: say one (fixtures/)");
            return;
        }
        (None, None, body) => keyed.clone().json(body),
    };
    let got = scene.ask(Some(operation), &other).await;
    expect(scene, operation, "another request with the key", &got, 422);
    // It is the caller's own key.
    if fixture.whose == Whose::Nobodys {
        let eve = keyed.token(Some(&scene.things.eve)).json(&first_body);
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
                .or(Some(&scene.things.ada)),
        );
        let got = scene.ask(None, &ask).await;
        expect(scene, operation, "what Location names", &got, 200);
    }
}
