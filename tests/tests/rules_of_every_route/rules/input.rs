//! What is sent: bodies and queries.

use reqwest::Method;
use serde_json::{Value, json};

use super::{expect, has_parameter, parameters, refuses_unknown, valid};
use crate::exchange::Ask;
use crate::fixtures::Fixture;
use crate::scene::{Operation, Scene};

/// Components read at most 1 MiB unless they say otherwise; log lines of runners may have 16.
const TOO_LARGE_BYTES: usize = (1 << 20) + 1;
const TOO_LARGE_LOG_BYTES: usize = (16 << 20) + 1;

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
    if operation.method == Method::GET && !fixture.once {
        // As what keeps an answer from being taken out of a cache.
        let got = scene.ask(Some(operation), &with("_", "1")).await;
        let what = "with a parameter that nobody knows";
        expect(scene, operation, what, &got, fixture.status);
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
