//! Each rule finds what breaks it: made-up answers to a made-up document, without a platform.

use reqwest::Method;
use serde_json::{Value, json};

use crate::exchange::{Ask, Got};
use crate::fixtures::{Fixture, Whose};
use crate::rules;
use crate::scene::Scene;

/// A document with one route.
fn document(method: &str, template: &str, operation: &Value) -> Value {
    json!({ "paths": { template: { method: operation } } })
}

fn got(status: u16, headers: &[(&str, &str)], body: &Value) -> Got {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Got {
        status,
        headers: headers.iter().map(owned).collect(),
        body: body.to_string().into_bytes(),
    }
}

/// Takes everything from everybody.
fn agreeable(_: &Ask) -> Got {
    got(200, &[("content-type", "application/json")], &json!({}))
}

/// Refuses everybody as if nothing were there, and in other words what is there.
fn telltale(ask: &Ask) -> Got {
    let is_there = ask.path.contains("/5");
    got(
        404,
        &[],
        &json!({ "title": if is_there { "not yours" } else { "not found" } }),
    )
}

/// A new answer each time, and the caller's name in none.
fn forgetful(ask: &Ask) -> Got {
    let key = ask
        .headers
        .iter()
        .find(|(name, _)| *name == "idempotency-key");
    got(201, &[], &json!({ "key": key.map(|(_, key)| key.clone()) }))
}

/// The rule has to tell of each of these.
fn finds(scene: &Scene, wanted: &[&str]) {
    let faults = scene.faults();
    for wanted in wanted {
        let is_told = faults.iter().any(|fault| fault.contains(wanted));
        assert!(is_told, "nothing tells of {wanted:?}: {faults:#?}");
    }
}

fn item(method: &str, operation: &Value) -> Value {
    document(method, "/items/{id}", operation)
}

#[tokio::test]
async fn who_may_is_held_against_every_route() {
    let described = json!({ "operationId": "get_item", "security": [{ "user": [] }] });
    let scene = Scene::made_up(&item("get", &described), agreeable);
    let operation = &scene.operations()[0];
    let mut fixture = Fixture::of_item(200, Whose::Nobodys);
    rules::credentials(&scene, operation, &fixture).await;
    rules::somebody_elses(&scene, operation, &fixture).await;
    rules::is_not_there_from_outside(&scene, operation, &fixture).await;
    finds(
        &scene,
        &[
            "without a token: 200 instead of 401",
            "with a token that is none: 200",
            "with a token of three parts: 200",
            "has no owner",
            "from outside: 200 instead of 404",
            // What every answer has, and what the document tells of.
            "x-request-id is None",
            "x-frame-options is None",
            "has no Cache-Control",
            "200 is not described",
        ],
    );
    for (whose, wanted) in [
        (Whose::Shared, "with a stranger's token: 200 instead of 404"),
        (Whose::Own, "with a stranger's token: 200 instead of 404"),
        (
            Whose::Administrators,
            "with a user's token: 200 instead of 403",
        ),
    ] {
        let scene = Scene::made_up(&item("get", &described), agreeable);
        fixture.whose = whose;
        rules::somebody_elses(&scene, operation, &fixture).await;
        finds(&scene, &[wanted]);
    }
    fixture.whose = Whose::Own;
    let scene = Scene::made_up(&item("get", &described), telltale);
    rules::somebody_elses(&scene, operation, &fixture).await;
    finds(&scene, &["what is another's differs"]);
}

#[tokio::test]
async fn what_a_viewer_changes_and_secrets_take_from_users_is_found() {
    let described = json!({ "operationId": "change_item", "security": [{ "user": [] }] });
    let scene = Scene::made_up(&item("patch", &described), agreeable);
    let fixture = Fixture::of_item(200, Whose::Shared);
    rules::somebody_elses(&scene, &scene.operations()[0], &fixture).await;
    finds(
        &scene,
        &[
            "with a viewer's token: 200 instead of 403",
            "does not tell of 403",
        ],
    );
    let fixture = Fixture::of_item(200, Whose::Owners);
    rules::somebody_elses(&scene, &scene.operations()[0], &fixture).await;
    finds(&scene, &["with a developer's token: 200 instead of 403"]);
    let mut secret = Fixture::of_item(200, Whose::Nobodys);
    secret.token = Some("secret".to_owned());
    let described = json!({ "operationId": "tick", "security": [{ "system": [] }] });
    let scene = Scene::made_up(&item("post", &described), agreeable);
    rules::credentials(&scene, &scene.operations()[0], &secret).await;
    finds(&scene, &["with an administrator's token: 200"]);
    let mut address = Fixture::of_item(200, Whose::Nobodys);
    address.other_query = Some("token=none".to_owned());
    let described = json!({ "operationId": "get_calendar" });
    let scene = Scene::made_up(&item("get", &described), agreeable);
    rules::somebody_elses(&scene, &scene.operations()[0], &address).await;
    finds(&scene, &["at another address: 200 instead of 404"]);
}

#[tokio::test]
async fn what_a_list_shows_of_a_strangers_project_is_found() {
    let parameter = json!({ "in": "query", "name": "project_id", "schema": {} });
    let tells = json!({ "404": { "description": "* `not-found`: nothing." } });
    let strict = json!({
        "operationId": "list_items", "parameters": [parameter], "responses": tells,
    });
    let own = json!({ "operationId": "list_items", "parameters": [parameter] });
    let shows = |ask: &Ask| {
        let is_none = ask.path.ends_with("project_id=987654321");
        let data = if is_none { json!([]) } else { json!(["hers"]) };
        got(200, &[], &json!({ "data": data }))
    };
    let mut fixture = Fixture::of_item(200, Whose::Nobodys);
    fixture.path.clear();
    for (described, wanted) in [
        (&strict, "of a stranger's project: 200 instead of 404"),
        (&strict, "of a project that is not there: 200 instead"),
        (&own, "of a stranger's project shows Some(1) entries"),
        (&own, "of a stranger's project differs from that of none"),
    ] {
        let scene = Scene::made_up(&document("get", "/items", described), shows);
        rules::somebody_elses_project(&scene, &scene.operations()[0], &fixture).await;
        finds(&scene, &[wanted]);
    }
}

#[tokio::test]
async fn whatever_is_sent_is_held_against_every_route() {
    let schema = json!({
        "type": "object", "required": ["name"], "additionalProperties": false,
    });
    let described = json!({
        "operationId": "change_item",
        "requestBody": { "content": { "application/json": { "schema": schema } } },
        "parameters": [
            { "in": "query", "name": "limit", "schema": { "type": "integer", "maximum": 9 } },
            { "in": "query", "name": "page", "schema": { "type": "integer", "minimum": 1 } },
            { "in": "query", "name": "q", "schema": { "type": "string", "maxLength": 3 } },
            { "in": "query", "name": "status", "schema": { "type": "string", "enum": ["a"] } },
            { "in": "query", "name": "from", "schema": { "type": "string", "format": "date-time" } },
            { "in": "query", "name": "all", "schema": { "type": "boolean" } },
        ],
    });
    let mut fixture = Fixture::of_item(200, Whose::Nobodys);
    fixture.body = json!({ "name": "x" });
    let scene = Scene::made_up(&item("get", &described), agreeable);
    let operation = &scene.operations()[0];
    rules::bodies(&scene, operation, &fixture).await;
    rules::queries(&scene, operation, &fixture).await;
    finds(
        &scene,
        &[
            "broken JSON: 200 instead of 400",
            "an empty body: 200 instead of 400",
            "another type: 200 instead of 415",
            "a form: 200 instead of 415",
            "a list: 200 instead of 422",
            "too much: 200 instead of 413",
            "an unknown field: 200 instead of 422",
            "an empty object: 200 instead of 422",
            "/name is missing without a fault",
            "?limit=10: 200 instead of 422",
            "?page=0: 200 instead of 422",
            "?q=xxxx: 200 instead of 422",
            "?status=none-of-them: 200 instead of 422",
            "?from=yesterday: 200 instead of 422",
            "?all=maybe: 200 instead of 422",
            "a page of one",
            "by HEAD: has a body",
        ],
    );
    // Whatever a query has.
    let scene = Scene::made_up(&item("get", &described), |_| got(422, &[], &json!({})));
    rules::queries(&scene, operation, &fixture).await;
    finds(&scene, &["with a parameter that nobody knows: 422"]);
    // 422 for another reason than was given.
    let scene = Scene::made_up(&item("get", &described), |_| got(422, &[], &json!({})));
    rules::bodies(&scene, operation, &fixture).await;
    rules::queries(&scene, operation, &fixture).await;
    finds(&scene, &["an unknown field: null", "?limit=10: null"]);
}

#[tokio::test]
async fn versions_and_keys_are_held_against_every_route() {
    let header = |name: &str| json!({ "in": "header", "name": name, "schema": {} });
    let described = json!({
        "operationId": "create_item", "security": [{ "user": [] }],
        "parameters": [header("If-Match"), header("If-None-Match"), header("Idempotency-Key")],
    });
    let mut fixture = Fixture::of_item(201, Whose::Nobodys);
    fixture.body = json!({ "name": "x" });
    fixture.other_body = json!({ "name": "y" });
    let scene = Scene::made_up(&item("post", &described), forgetful);
    let operation = &scene.operations()[0];
    rules::versions(&scene, operation, &fixture).await;
    rules::idempotency(&scene, operation, &fixture).await;
    fixture.status = 204;
    rules::works(&scene, operation, &fixture).await;
    finds(
        &scene,
        &[
            "of a stale version: 201 instead of 412",
            "of a version that is known: 201 instead of 304",
            "with a key that is none: 201 instead of 400",
            "with the key again: is not the first answer",
            "another request with the key: 201 instead of 422",
            "another's key gives this one's answer",
            "as it is meant: 201 instead of 204",
        ],
    );
}

#[tokio::test]
async fn methods_limits_and_paths_are_held_against_all() {
    let limited = "* `too-many-attempts`: too many.";
    let described = json!({
        "operationId": "login", "responses": { "429": { "description": limited } },
    });
    let document = document("post", "/api/v1/auth/login", &described);
    let scene = Scene::made_up(&document, agreeable);
    let operations = scene.operations();
    assert_eq!(operations[0].method, Method::POST);
    rules::methods(&scene, &operations).await;
    rules::limits(&scene, &operations).await;
    rules::one_time_addresses(&scene).await;
    rules::paths_that_nobody_has(&scene).await;
    finds(
        &scene,
        &[
            "by GET: 200 instead of 405",
            "by OPTIONS: 200 instead of 204",
            "a page of https://console.example.com is told None",
            "by OPTIONS: Allow is",
            "200 without ratelimit",
            "may be tried for ever",
            "the document that is served is not the one that is committed",
            "GET /nothing: 200",
            "a one-time address by DELETE: 200",
            "a one-time address altered: 200",
        ],
    );
    let unheard = json!({
        "operationId": "unheard_of", "responses": { "429": { "description": limited } },
    });
    let unheard = Scene::made_up(&item("post", &unheard), agreeable);
    rules::limits(&unheard, &unheard.operations()).await;
    finds(&unheard, &["unheard_of: has a limit that nothing tries"]);
    let scene = Scene::made_up(&document, |_| {
        let everybody = [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
        ];
        got(429, &everybody, &json!({}))
    });
    rules::methods(&scene, &operations).await;
    rules::limits(&scene, &operations).await;
    finds(
        &scene,
        &[
            "a page of https://evil.example.com is told Some(\"*\")",
            "cookies are allowed for",
            "429 without retry-after",
            "429 without ratelimit-policy",
        ],
    );
}
