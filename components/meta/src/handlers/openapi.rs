//! What the API promises.

use nokube_guest::{Ctx, Error, Response};

/// Made of the code by `cargo xtask openapi`, of every component's routes.
static DOCUMENT: &[u8] = include_bytes!("../../../../docs/openapi.json");

/// `GET /openapi.json`. Public and as old as the platform's version: it may be kept for 5 minutes.
pub(crate) async fn get_openapi(cx: Ctx) -> Result<Response, Error> {
    let response = cx.document("application/json", DOCUMENT);
    Ok(response.header("cache-control", "public, max-age=300"))
}
