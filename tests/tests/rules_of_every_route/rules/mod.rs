//! The rules themselves. Each takes a route and its fixture, and applies where the document says that it does.

mod access;
mod answers;
mod input;
mod whole;

pub(crate) use access::{
    credentials, is_not_there_from_outside, somebody_elses, somebody_elses_project,
};
pub(crate) use answers::{idempotency, versions, works};
pub(crate) use input::{bodies, queries};
pub(crate) use whole::{limits, methods, one_time_addresses, paths_that_nobody_has};

use serde_json::Value;

use super::exchange::{Ask, Got};
use super::fixtures::Fixture;
use super::scene::{Operation, Scene};

/// Who may call the route.
fn credential(scene: &Scene, operation: &Operation, fixture: &Fixture) -> Option<String> {
    if let Some(token) = &fixture.token {
        return Some(token.clone());
    }
    let scheme = operation.described["security"][0].as_object()?;
    Some(match scheme.keys().next()?.as_str() {
        "user" => scene.things.ada.clone(),
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
