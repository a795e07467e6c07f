//! `GET /v1/dns/txt?name=`: whether a domain's owner has put a proof there.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use nokube_api::sidecar::TxtRecords;
use nokube_domain::check_challenge_name;
use serde::Deserialize;

use super::problem::Problem;
use crate::server::Shared;

#[derive(Debug, Deserialize)]
pub(crate) struct TxtQuery {
    name: Option<String>,
}

pub(crate) async fn get_txt_records(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<TxtQuery>,
) -> Result<Json<TxtRecords>, Problem> {
    let name = query.name.unwrap_or_default();
    check_challenge_name(&name).map_err(|fault| Problem::BadBody(format!("name {fault}")))?;
    match shared.dns.txt(&name).await {
        Ok(records) => Ok(Json(TxtRecords { name, records })),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::info!(name, error, "TXT records cannot be looked up");
            Err(Problem::Unavailable("the DNS does not answer"))
        }
    }
}
