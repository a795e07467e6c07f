//! What is the same in every component's document: headers, parameters, credentials, and what problems look like.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::{Access, problems};

const DESCRIPTION: &str = "\
The control plane of NoKube. JSON in and out, `snake_case`, times in RFC 3339 UTC with milliseconds.

* `/api/…` is another name of `/api/v1/…`.
* Credentials are bearer tokens, never cookies.
* An error is a problem (RFC 9457): its `type` is stable and listed in `Problem`; `detail` is for people. What is \
somebody else's is 404, like what is missing.
* `X-Request-Id` is taken from the request when it has at most 128 letters, digits and `-_.:/`, else made; every answer \
and the platform's log have it. `traceparent` is passed on.
* Lists are read by `page` and `limit`, and link to their other pages (RFC 8288); what only grows is read by `cursor`.
* A single resource has an `ETag`. What changes it honours `If-Match`, and answers 412 when it is another version by now.
* What creates honours `Idempotency-Key` for 24 hours: the same request is answered as before, with \
`Idempotency-Replayed: true`.
* Unknown fields of a user's JSON are refused (422), with every other fault at once. Unknown parameters of a query are \
ignored, since programs and proxies add their own, and so is a body where none is described.";

/// The document without paths.
pub(crate) fn frame() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "NoKube",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "externalDocs": {
            "description": "What each problem means, and what to do about it",
            "url": concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/PROBLEMS.md"),
        },
        "servers": [{ "url": "/", "description": "This platform" }],
        "paths": {},
        "components": {
            "schemas": {},
            "responses": {},
            "parameters": parameters(),
            "headers": headers(),
            "securitySchemes": {},
        },
    })
}

fn parameters() -> Value {
    let condition = |name: &str, description: &str| {
        json!({
            "name": name, "in": "header", "required": false, "description": description,
            "schema": { "type": "string" },
        })
    };
    json!({
        "IfMatch": condition("If-Match", "Change it only if this is its present `ETag`, else 412."),
        "IfNoneMatch": condition("If-None-Match", "Answer 304 if this is still its `ETag`."),
        "IdempotencyKey": {
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Names this attempt: the same request with the same key is done once.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
        },
        "Page": {
            "name": "page", "in": "query", "required": false, "allowEmptyValue": true,
            "description": "Which page, from 1.",
            "schema": { "type": "integer", "minimum": 1, "maximum": 1_000_000, "default": 1 },
        },
        "Limit": {
            "name": "limit", "in": "query", "required": false, "allowEmptyValue": true,
            "description": "Entries per page.",
            "schema": { "type": "integer", "minimum": 1, "maximum": 100, "default": 20 },
        },
    })
}

fn headers() -> Value {
    let header = |required: bool, description: &str| {
        json!({
            "required": required, "description": description, "schema": { "type": "string" },
        })
    };
    json!({
        "RequestId": header(true, "The id of the request; the platform's log has it."),
        "ETag": header(true, "The version of what is shown."),
        "Location": header(true, "Where the new thing is."),
        "Link": header(false, "The other pages (RFC 8288): `first`, `prev`, `next`, `last`."),
        "Allow": header(true, "The methods of this path."),
        "WwwAuthenticate": header(true, "What credentials are wanted (RFC 6750)."),
        "RetryAfter": header(false, "Seconds after which to try again."),
        "RateLimit": header(true, "What is left of each limit (draft-ietf-httpapi-ratelimit-headers)."),
        "RateLimitPolicy": header(true, "The limits themselves."),
        "IdempotencyReplayed": header(false, "`true` when this is the answer of the first attempt."),
        "CacheControl": header(false, "How long the answer may be kept; `no-store` unless said otherwise."),
    })
}

/// A reference to one of the headers above.
pub(crate) fn header(name: &str) -> Value {
    json!({ "$ref": format!("#/components/headers/{name}") })
}

/// A reference to one of the parameters above.
pub(crate) fn parameter(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}

/// The name and the scheme of what a caller has to bear.
pub(crate) fn security(access: Access) -> Option<(&'static str, Value)> {
    let bearer = |description: &str| json!({ "type": "http", "scheme": "bearer", "description": description });
    match access {
        Access::Public => None,
        Access::User | Access::Admin => Some((
            "user",
            json!({
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "An access token of `POST /api/v1/auth/login`.",
            }),
        )),
        Access::Runner => Some(("runner", bearer("The token of build runners."))),
        Access::Agent => Some(("agent", bearer("What an agent got when it was enrolled."))),
        Access::Webhook => Some((
            "webhook",
            json!({
                "type": "apiKey", "in": "header", "name": "X-Hub-Signature-256",
                "description": "HMAC-SHA-256 over the raw body.",
            }),
        )),
        Access::System => Some(("system", bearer("The token of the platform's own parts."))),
    }
}

/// The response of these problems, and the name it has among the shared ones.
pub(crate) fn problem_response(
    status: Option<u16>,
    slugs: &BTreeSet<&'static str>,
) -> (String, Value) {
    let name = match status {
        Some(_) => slugs.iter().copied().collect::<Vec<_>>().join("."),
        None => "server-error".to_owned(),
    };
    let lines = slugs.iter().map(|slug| {
        let known = problems::find(slug);
        format!("* `{slug}`: {}", known.when)
    });
    let types: Vec<String> = slugs
        .iter()
        .map(|slug| format!("/problems/{slug}"))
        .collect();
    let mut headers = Map::new();
    headers.insert("X-Request-Id".to_owned(), header("RequestId"));
    match status {
        Some(401) => {
            headers.insert("WWW-Authenticate".to_owned(), header("WwwAuthenticate"));
        }
        Some(429) | None => {
            headers.insert("Retry-After".to_owned(), header("RetryAfter"));
        }
        _ => {}
    }
    let response = json!({
        "description": lines.collect::<Vec<_>>().join("\n"),
        "headers": headers,
        "content": { "application/problem+json": { "schema": {
            "allOf": [
                { "$ref": "#/components/schemas/Problem" },
                { "properties": { "type": { "enum": types } } },
            ],
        } } },
    });
    (name, response)
}
