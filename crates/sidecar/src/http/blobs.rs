//! `/blobs/{ticket}`: the ticket is the credential, and never goes into a log.
//!
//! Before anything of an upload is stored the disk must have room for it, and for a source the
//! platform must still want it: the one that it knows is never replaced by another. A ticket that
//! stores is spent once what it brought is named and, for a source, the platform has answered: an
//! upload that broke off or met a restart can be sent again with the same ticket.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nokube_api::sidecar::{SourceAwaited, SourceStored};
use nokube_artifact::layout::LayoutError;
use nokube_domain::BuildId;
use nokube_keys::{BlobTicket, TicketUse};
use tokio_util::io::ReaderStream;

use super::origin;
use super::problem::Problem;
use crate::blobs::{ReceiveError, Received};
use crate::server::Shared;
use crate::space::is_of_the_disk;

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
        Err(error) => return Err(Problem::of_files("a source cannot be opened", &error)),
    };
    let size_bytes = file
        .metadata()
        .await
        .map_err(|error| Problem::of_files("a source cannot be read", &error))?
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
        .map_err(|error| Problem::of_files("spent tickets cannot be read", &error))?;
    if spent {
        return Err(Problem::SpentTicket);
    }
    let length = length_of(request.headers()).unwrap_or(0);
    if length > ticket.max_bytes {
        return Err(Problem::TooLarge {
            max_bytes: ticket.max_bytes,
        });
    }
    // An artifact's archive is copied to its blobs before it goes.
    let wanted = match ticket.allows {
        TicketUse::PutArtifact => length.saturating_mul(2),
        TicketUse::PutSource | TicketUse::GetSource => length,
    };
    let has_room = shared
        .on_blobs(move |blobs| blobs.has_room(wanted))
        .await?
        .map_err(|error| Problem::of_files("the disk cannot be looked at", &error))?;
    if !has_room {
        tracing::warn!(length, "an upload was refused: the disk is nearly full");
        return Err(Problem::StorageFull);
    }
    let awaited = match ticket.allows {
        TicketUse::PutSource => match ask_platform(&shared, build).await? {
            Ok(awaited) => Some(awaited),
            Err(refusal) => return Ok(refusal),
        },
        TicketUse::PutArtifact | TicketUse::GetSource => None,
    };
    let received = shared
        .blobs
        .receive(request.into_body(), ticket.max_bytes)
        .await
        .map_err(|error| match error {
            ReceiveError::TooLarge => Problem::TooLarge {
                max_bytes: ticket.max_bytes,
            },
            ReceiveError::Incomplete => Problem::Incomplete,
            ReceiveError::NoRoom => Problem::StorageFull,
            ReceiveError::Io(error) => Problem::of_files("a blob cannot be written", &error),
        })?;
    let answer = match awaited {
        Some(awaited) => keep_source(&shared, build, &awaited, received).await?,
        None => keep_artifact(&shared, received).await?,
    };
    let id = ticket.id;
    shared
        .on_blobs(move |blobs| blobs.spent().spend(&id, expires_at_s))
        .await?
        .map_err(|error| Problem::of_files("a spent ticket cannot be written", &error))?;
    Ok(answer)
}

async fn keep_source(
    shared: &Arc<Shared>,
    build: BuildId,
    awaited: &SourceAwaited,
    received: Received,
) -> Result<Response, Problem> {
    if awaited
        .digest
        .as_deref()
        .is_some_and(|known| known != received.digest())
    {
        // Over the one that the platform knows, it would make its build fail.
        return Err(Problem::Conflict(
            "the build has another source already".to_owned(),
        ));
    }
    let stored = SourceStored {
        digest: received.digest().to_owned(),
        size_bytes: received.size_bytes(),
    };
    shared
        .on_blobs(move |blobs| blobs.keep_source(build, received))
        .await?
        .map_err(|error| Problem::of_files("a source cannot be kept", &error))?;
    tell_platform(shared, build, &stored).await
}

const UNREACHABLE: Problem = Problem::Unavailable("the platform does not answer");

/// Asks the platform whether a source is of use, before any of it is stored. Its refusal is the
/// uploader's answer.
async fn ask_platform(
    shared: &Shared,
    build: BuildId,
) -> Result<Result<SourceAwaited, Response>, Problem> {
    let url = format!("{}/internal/builds/{build}/source", shared.platform_url);
    let request = shared.client.get(url).bearer_auth(&shared.system_token);
    let answer = platform_answer(request).await?;
    if !answer.status().is_success() {
        return Ok(Err(answer));
    }
    let body = axum::body::to_bytes(answer.into_body(), MAX_ANSWER_BYTES)
        .await
        .map_err(|_| UNREACHABLE)?;
    serde_json::from_slice(&body)
        .map(Ok)
        .map_err(|_| UNREACHABLE)
}

/// Tells the platform that a source is there. Its answer is the uploader's.
async fn tell_platform(
    shared: &Shared,
    build: BuildId,
    stored: &SourceStored,
) -> Result<Response, Problem> {
    let url = format!("{}/internal/builds/{build}/source", shared.platform_url);
    let request = shared.client.post(url).bearer_auth(&shared.system_token);
    platform_answer(request.json(stored)).await
}

/// The platform's answer about a source, as far as it is for the uploader.
async fn platform_answer(request: reqwest::RequestBuilder) -> Result<Response, Problem> {
    let answer = origin::pass_on(request).send().await.map_err(|error| {
        tracing::warn!(error = %error.without_url(), "the platform was not asked about a source");
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
            if error.io_error().is_some_and(is_of_the_disk) {
                return Problem::StorageFull;
            }
            // A body that is cut off in the middle of an entry is the sender's doing too.
            if error.is_of_the_content() || matches!(error, LayoutError::Read(_)) {
                Problem::BadArtifact(error.to_string())
            } else {
                Problem::Internal
            }
        })?;
    Ok((StatusCode::CREATED, Json(info)).into_response())
}

fn length_of(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
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
