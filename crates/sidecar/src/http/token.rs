//! The bearer token of the sidecar's API.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq as _;

use super::problem::Problem;
use crate::server::Shared;

pub(crate) async fn require_token(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let offered = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or("", |(_, token)| token.trim());
    let expected = shared.sidecar_token.as_bytes();
    if bool::from(offered.as_bytes().ct_eq(expected)) {
        Ok(next.run(request).await)
    } else {
        Err(Problem::Unauthorized)
    }
}
