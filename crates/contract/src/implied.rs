//! What follows from a route and its kind, so that nobody has to describe it, or can forget to.

use std::collections::{BTreeMap, BTreeSet};

use crate::operation::{Body, Operation};
use crate::{Access, Route, problems};

/// Problems of ours and of the engine, whatever was asked.
const SERVER: [&str; 7] = [
    "internal",
    "unavailable",
    "busy",
    "function-failed",
    "function-not-started",
    "function-timeout",
    "storage-full",
];

/// The slugs that an operation may answer, by status. 5xx have none: they are `SERVER`'s.
pub(crate) fn problems_of(
    route: &Route,
    operation: &Operation,
) -> BTreeMap<u16, BTreeSet<&'static str>> {
    let mut slugs = vec!["bad-request"];
    match route.access {
        Access::Public => {}
        Access::Admin => slugs.extend(["unauthenticated", "forbidden"]),
        _ => slugs.push("unauthenticated"),
    }
    if route.is_scoped {
        slugs.push("scope-missing");
    }
    if route.path.contains(':') {
        slugs.push("not-found");
    }
    match &operation.body {
        Some(Body::Fields(_) | Body::Machine(_)) => slugs.extend([
            "not-json",
            "broken-body",
            "body-too-slow",
            "body-too-large",
            "unsupported-media-type",
            "invalid-request",
        ]),
        Some(Body::Bytes(_)) | None => {}
    }
    if operation.paged || !operation.query.is_empty() {
        slugs.push("invalid-request");
    }
    if operation.if_match {
        slugs.push("stale-version");
    }
    if operation.idempotent {
        slugs.extend(["bad-idempotency-key", "idempotency-key-reused"]);
    }
    if operation.limited {
        slugs.push("too-many-attempts");
    }
    slugs.extend(&operation.problems);
    let mut by_status: BTreeMap<u16, BTreeSet<&'static str>> = BTreeMap::new();
    for slug in slugs {
        let status = problems::find(slug).status;
        if status < 500 {
            by_status.entry(status).or_default().insert(slug);
        }
    }
    by_status
}

/// The slugs of every 5xx answer.
pub(crate) fn server_problems() -> BTreeSet<&'static str> {
    SERVER.into_iter().collect()
}
