//! `/blobs/{ticket}`: the ticket is the credential, and never goes into a log.
//!
//! A ticket that stores is spent once what it brought is named and, for a source, the platform has
//! answered: an upload that broke off or met a restart can be sent again with the same ticket. A source that the
//! platform has accepted stays, whatever comes with another ticket.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nokube_api::sidecar::SourceStored;
use nokube_artifact::layout::LayoutError;
use nokube_domain::BuildId;
use nokube_keys::{BlobTicket, TicketUse};
use tokio_util::io::ReaderStream;

use super::problem::Problem;
use crate::blobs::{ReceiveError, Received};
use crate::server::Shared;

/// An answer of the platform about a source is a small JSON document.
const MAX_ANSWER_BYTES: usize = 1 << 20;
const READ_BUFFER_BYTES: usize = 64 << 10;

pub(crate) async fn get_blob(
    State(shared): State<Arc<Shared>>,
    Path(ticket): Path<String>,
) -> Result<Response, Problem> {
    let (ticket, _) = verify(&shared, &ticket)?;
    if ticket.allows != TicketUse::GetSource {
        return Err(Problem::WrongTicket);
    }
    let path = shared.blobs.source_path(build_of(&ticket)?);
    let file = match tokio::fs::File::open(&path).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Problem::NotFound);
        }
        Err(error) => return Err(internal("a source cannot be opened", &error)),
    };
    let size_bytes = file
        .metadata()
        .await
        .map_err(|error| internal("a source cannot be read", &error))?
        .len();
    Ok((
        [
            (header::CONTENT_TYPE, "application/gzip".to_owned()),
            (header::CONTENT_LENGTH, size_bytes.to_string()),
        ],
        Body::from_stream(ReaderStream::with_capacity(file, READ_BUFFER_BYTES)),
    )
        .into_response())
}

pub(crate) async fn put_blob(
    State(shared): State<Arc<Shared>>,
    Path(ticket): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (ticket, expires_at_s) = verify(&shared, &ticket)?;
    if ticket.allows == TicketUse::GetSource {
        return Err(Problem::WrongTicket);
    }
    let build = build_of(&ticket)?;
    let _claim = shared.blobs.claim(&ticket).ok_or(Problem::BusyTicket)?;
    let id = ticket.id.clone();
    let spent = shared
        .on_blobs(move |blobs| blobs.spent().is_spent(&id))
        .await?
        .map_err(|error| internal("spent tickets cannot be read", &error))?;
    if spent {
        return Err(Problem::SpentTicket);
    }
    refuse_by_length(request.headers(), ticket.max_bytes)?;
    let received = shared
        .blobs
        .receive(request.into_body(), ticket.max_bytes)
        .await
        .map_err(|error| match error {
            ReceiveError::TooLarge => Problem::TooLarge {
                max_bytes: ticket.max_bytes,
            },
            ReceiveError::Incomplete => Problem::Incomplete,
            ReceiveError::Io(error) => internal("a blob cannot be written", &error),
        })?;
    let answer = match ticket.allows {
        TicketUse::PutSource => keep_source(&shared, build, received).await?,
        TicketUse::PutArtifact | TicketUse::GetSource => keep_artifact(&shared, received).await?,
    };
    let id = ticket.id;
    shared
        .on_blobs(move |blobs| blobs.spent().spend(&id, expires_at_s))
        .await?
        .map_err(|error| internal("a spent ticket cannot be written", &error))?;
    Ok(answer)
}

async fn keep_source(
    shared: &Arc<Shared>,
    build: BuildId,
    received: Received,
) -> Result<Response, Problem> {
    let stored = SourceStored {
        digest: received.digest().to_owned(),
        size_bytes: received.size_bytes(),
    };
    let not_kept = |error: std::io::Error| internal("a source cannot be kept", &error);
    let another = shared
        .on_blobs(move |blobs| blobs.keep_source(build, received))
        .await?
        .map_err(not_kept)?;
    let answer = tell_platform(shared, build, &stored).await?;
    if let Some(another) = another
        && answer.status().is_success()
    {
        // What was there never reached the platform.
        shared
            .on_blobs(move |blobs| blobs.replace_source(build, another))
            .await?
            .map_err(not_kept)?;
    }
    Ok(answer)
}

/// Tells the platform that a source is there. Its answer is the uploader's.
async fn tell_platform(
    shared: &Shared,
    build: BuildId,
    stored: &SourceStored,
) -> Result<Response, Problem> {
    const UNREACHABLE: Problem = Problem::Unavailable("the platform does not answer");
    let url = format!("{}/internal/builds/{build}/source", shared.platform_url);
    let answer = shared
        .client
        .post(url)
        .bearer_auth(&shared.system_token)
        .json(stored)
        .send()
        .await
        .map_err(|error| {
            tracing::warn!(error = %error.without_url(), "the platform was not told of a source");
            UNREACHABLE
        })?;
    let status = StatusCode::from_u16(answer.status().as_u16()).map_err(|_| UNREACHABLE)?;
    if status.is_server_error() || status == StatusCode::UNAUTHORIZED {
        tracing::warn!(%status, "the platform did not take a source");
        return Err(UNREACHABLE);
    }
    let mut headers = HeaderMap::new();
    for name in [header::CONTENT_TYPE, header::LOCATION, header::ETAG] {
        if let Some(value) = answer.headers().get(&name) {
            headers.insert(name, value.clone());
        }
    }
    if let Some(value) = answer.headers().get("x-request-id") {
        headers.insert("x-request-id", value.clone());
    }
    let body = answer.bytes().await.map_err(|_| UNREACHABLE)?;
    if body.len() > MAX_ANSWER_BYTES {
        return Err(UNREACHABLE);
    }
    Ok((status, headers, body).into_response())
}

async fn keep_artifact(shared: &Arc<Shared>, received: Received) -> Result<Response, Problem> {
    nokube_faults::crash_point("sidecar.artifact_received");
    let info = shared
        .on_blobs(move |blobs| blobs.keep_artifact(&received))
        .await?
        .map_err(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "an artifact is not taken"
            );
            // A body that is cut off in the middle of an entry is the sender's doing too.
            if error.is_of_the_content() || matches!(error, LayoutError::Read(_)) {
                Problem::BadArtifact(error.to_string())
            } else {
                Problem::Internal
            }
        })?;
    Ok((StatusCode::CREATED, Json(info)).into_response())
}

fn refuse_by_length(headers: &HeaderMap, max_bytes: u64) -> Result<(), Problem> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    if length.is_some_and(|length| length > max_bytes) {
        Err(Problem::TooLarge { max_bytes })
    } else {
        Ok(())
    }
}

fn verify(shared: &Shared, ticket: &str) -> Result<(BlobTicket, u64), Problem> {
    shared
        .ticket_key
        .verify(ticket)
        .map_err(|_| Problem::BadTicket)
}

fn build_of(ticket: &BlobTicket) -> Result<BuildId, Problem> {
    BuildId::parse(&ticket.build_id).map_err(|_| Problem::BadTicket)
}

fn internal(what: &'static str, error: &std::io::Error) -> Problem {
    tracing::error!(%error, what);
    Problem::Internal
}
