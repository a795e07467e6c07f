//! From a request to an answer: find the route, check who calls, run the handler, finish the answer, leave a line in
//! the log.

use std::rc::Rc;

use http::Method;
use nokube_domain::is_harmless_request_id;
use serde::Serialize;

use crate::bearer::{bearer, same_secret};
use crate::host::{Headers, Host, InboundRequest};
use crate::response::Body;
use crate::routes::match_path;
use crate::{Access, Component, Ctx, Error, Problem, Response, Route, address, cors};

/// Answers a request.
pub async fn handle(
    component: &'static Component,
    host: Rc<dyn Host>,
    request: InboundRequest,
) -> Response {
    let started = host.now();
    let method = request.method.clone();
    let request_id = request_id(host.as_ref(), &request.headers);
    let origin = request.headers.get("origin").map(str::to_owned);
    let path = request
        .path_and_query
        .split('?')
        .next()
        .unwrap_or_default()
        .to_owned();
    let client_address = {
        let system_token = host.variable("system_token").unwrap_or_default();
        let from_platform =
            bearer(&request.headers).is_some_and(|given| same_secret(given, &system_token));
        let proxies = host.variable("trusted_proxies").unwrap_or_default();
        address::client_address(&request.headers, &proxies, from_platform)
    };
    let mut cx = Ctx::new(
        Rc::clone(&host),
        component.name,
        request,
        request_id.clone(),
        client_address,
    );
    let found = find(component.routes, &cx.method, &canonical(&path));
    let route = match &found {
        Found::Route(route, _) => Some(*route),
        _ => None,
    };
    let outcome = match found {
        Found::Route(route, parameters) => {
            cx.enter(route.operation_id(), parameters);
            run(route, cx).await
        }
        Found::Options(allow) => Ok(cors::options(&allow)),
        Found::OtherMethods(allow) => Err(Error::MethodNotAllowed { allow }.into()),
        Found::Nothing => Err(Error::NoSuchPath.into()),
    };
    let (response, cause) = match outcome {
        Ok(response) => (response, None),
        Err(problem) => {
            let cause = problem.log_text().map(str::to_owned);
            (problem.into_response(&path, &request_id), cause)
        }
    };
    if is_logged(route, response.status) {
        let now = host.now();
        let line = RequestLine {
            time: now.to_string(),
            level: level(response.status),
            service: component.name,
            request_id: &request_id,
            method: method.as_str(),
            route: route.map(|route| route.path),
            status: response.status,
            ms: now.millis().saturating_sub(started.millis()),
            error: cause.as_deref(),
        };
        host.log(&serde_json::to_string(&line).expect("names and numbers"));
    }
    let allowed = host.variable("cors_origins").unwrap_or_default();
    finish(
        cors::allow(response, origin.as_deref(), &allowed),
        &request_id,
    )
}

async fn run(route: &Route, mut cx: Ctx) -> Result<Response, Problem> {
    cx.guard(route)?;
    (route.handler)(cx).await
}

pub(crate) enum Found {
    Route(&'static Route, Vec<(&'static str, String)>),
    Options(String),
    OtherMethods(String),
    Nothing,
}

pub(crate) fn find(routes: &'static [Route], method: &Method, path: &str) -> Found {
    // `/projects/health` is no project: of the patterns that fit, the one with the earliest fixed segment is meant,
    // whatever the method.
    let fitting = routes
        .iter()
        .filter_map(|route| match_path(route.path, path).map(|parameters| (route, parameters)));
    let Some(meant) = fitting
        .clone()
        .map(|(route, _)| route.path)
        .min_by_key(|pattern| parameter_places(pattern))
    else {
        return Found::Nothing;
    };
    let mut methods: Vec<&'static str> = Vec::new();
    for (route, parameters) in fitting.filter(|(route, _)| route.path == meant) {
        let answers_head = *method == Method::HEAD && route.method == Method::GET;
        if route.method == *method || answers_head {
            return Found::Route(route, parameters);
        }
        methods.push(route.method.as_str());
        if route.method == Method::GET {
            methods.push("HEAD");
        }
    }
    methods.push("OPTIONS");
    let allow = methods.join(", ");
    if *method == Method::OPTIONS {
        Found::Options(allow)
    } else {
        Found::OtherMethods(allow)
    }
}

/// Which segments of a pattern are parameters; fixed ones come first in order.
fn parameter_places(pattern: &str) -> Vec<bool> {
    pattern
        .split('/')
        .map(|part| part.starts_with(':'))
        .collect()
}

/// `/api/<capability>/…` is another name of `/api/v1/<capability>/…`.
pub(crate) fn canonical(path: &str) -> String {
    match path.strip_prefix("/api/") {
        Some(rest) if rest != "v1" && !rest.starts_with("v1/") => format!("/api/v1/{rest}"),
        _ => path.to_owned(),
    }
}

/// The client's id when it is harmless in logs and headers, else a new one.
fn request_id(host: &dyn Host, headers: &Headers) -> String {
    if let Some(given) = headers.get("x-request-id")
        && is_harmless_request_id(given)
    {
        return given.to_owned();
    }
    let mut random = [0; 10];
    host.fill_random(&mut random);
    nokube_domain::Uuid7::new(host.now(), random).to_string()
}

/// What the log has of a request. Neither its path nor its query, headers or body: tickets and tokens are in them.
#[derive(Serialize)]
struct RequestLine<'a> {
    time: String,
    level: &'static str,
    service: &'static str,
    request_id: &'a str,
    method: &'a str,
    /// The pattern; null where there is none.
    route: Option<&'static str>,
    status: u16,
    /// Until the answer begins; what follows a log goes on after that.
    ms: i64,
    /// What went wrong on our side.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Everything but what is asked every second and went well: by the platform's own parts, by what asks after its health
/// (which says in the log itself what is wrong), and by browsers before they ask.
fn is_logged(route: Option<&Route>, status: u16) -> bool {
    match route {
        Some(route) if route.path.ends_with("/health") => false,
        Some(route) => {
            let by_ours = matches!(
                route.access,
                Access::Runner | Access::System | Access::Agent
            );
            status >= 400 || !by_ours
        }
        None => status >= 400,
    }
}

fn level(status: u16) -> &'static str {
    match status {
        500.. => "error",
        400.. => "warn",
        _ => "info",
    }
}

/// What every answer has.
fn finish(mut response: Response, request_id: &str) -> Response {
    for (name, value) in [
        // Answers are for whoever asked, and change.
        ("cache-control", "no-store"),
        // An answer is data: no page, no script, no frame, even where a browser thinks otherwise.
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'",
        ),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        if !response.has_header(name) {
            response = response.header(name, value);
        }
    }
    response = response.header("x-request-id", request_id);
    // A known length lets the host send the answer in one piece. RFC 9110, section 8.6: none with 204 and 304.
    let length = match &response.body {
        Body::Bytes(bytes) if !matches!(response.status, 204 | 304) => Some(bytes.len()),
        _ => None,
    };
    match length {
        Some(length) => response.header("content-length", length.to_string()),
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_base_is_another_name_of_the_versioned_one() {
        assert_eq!(canonical("/api/projects/1"), "/api/v1/projects/1");
        assert_eq!(canonical("/api/v1/projects"), "/api/v1/projects");
        assert_eq!(canonical("/internal/tick"), "/internal/tick");
    }
}
