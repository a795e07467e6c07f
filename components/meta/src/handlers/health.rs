//! Whether the whole application works.

use nokube_api::health::{ApplicationHealth, ComponentHealth};
use nokube_guest::{Ctx, Error, Method, Response};

/// The components and where their health is.
const COMPONENTS: [(&str, &str); 5] = [
    ("auth", "/api/v1/auth/health"),
    ("projects", "/api/v1/projects/health"),
    ("builds", "/api/v1/builds/health"),
    ("deploy", "/api/v1/deploy/health"),
    ("events", "/api/v1/events/health"),
];

/// `GET /health`: 200 when every component answers 200, else 503.
pub(crate) async fn get_health(cx: Ctx) -> Result<Response, Error> {
    let mut components = Vec::new();
    for (name, path) in COMPONENTS {
        let outcome = cx
            .call_component(name, Method::GET, path, None::<&()>)
            .await;
        let is_ok = match &outcome {
            Ok(answer) => answer.is_success(),
            Err(error) => {
                cx.log("error", &format!("{name} does not answer: {error}"));
                false
            }
        };
        components.push(ComponentHealth {
            name: name.to_owned(),
            status: status(is_ok),
        });
    }
    let all_ok = components.iter().all(|component| component.status == "ok");
    let health = ApplicationHealth {
        status: status(all_ok),
        service: "nokube".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: cx.now().to_string(),
        components,
    };
    Ok(Response::json(if all_ok { 200 } else { 503 }, &health))
}

fn status(is_ok: bool) -> String {
    if is_ok { "ok" } else { "unavailable" }.to_owned()
}
