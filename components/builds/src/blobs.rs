//! One-time addresses of the sidecar's blob store, and whether it has an artifact.

use nokube_domain::Uuid7;
use nokube_domain::build::{
    BUILD_TIMEOUT_SECONDS, MAX_ARTIFACT_BYTES, MAX_SOURCE_BYTES, SOURCE_TIMEOUT_SECONDS,
    START_GRACE_SECONDS, TIMEOUT_GRACE_SECONDS,
};
use nokube_guest::{Ctx, Error, Method};
use nokube_keys::{BlobTicket, TicketKey, TicketUse};

/// A runner's addresses live as long as its attempt can.
const ATTEMPT_SECONDS: u64 = START_GRACE_SECONDS + BUILD_TIMEOUT_SECONDS + TIMEOUT_GRACE_SECONDS;

/// Where the source archive of `build_id` is to be put.
pub(crate) fn source_upload_url(cx: &Ctx, build_id: &str) -> Result<String, Error> {
    url(
        cx,
        TicketUse::PutSource,
        build_id,
        MAX_SOURCE_BYTES,
        SOURCE_TIMEOUT_SECONDS,
    )
}

/// Where the source archive of `build_id` can be fetched.
pub(crate) fn source_download_url(cx: &Ctx, build_id: &str) -> Result<String, Error> {
    url(
        cx,
        TicketUse::GetSource,
        build_id,
        MAX_SOURCE_BYTES,
        ATTEMPT_SECONDS,
    )
}

/// Where the artifact of `build_id` is to be put.
pub(crate) fn artifact_upload_url(cx: &Ctx, build_id: &str) -> Result<String, Error> {
    url(
        cx,
        TicketUse::PutArtifact,
        build_id,
        MAX_ARTIFACT_BYTES,
        ATTEMPT_SECONDS,
    )
}

/// Whether the sidecar has the artifact with this digest.
pub(crate) async fn artifact_is_stored(cx: &Ctx, digest: &str) -> Result<bool, Error> {
    let base = cx.required_variable("sidecar_url")?;
    let token = cx.required_variable("sidecar_token")?;
    let path = format!("/v1/artifacts/{digest}");
    let answer = cx
        .call("sidecar", Method::GET, &base, &path, &token, None::<&()>)
        .await?;
    match answer.status {
        200 => Ok(true),
        404 => Ok(false),
        status => Err(Error::UnexpectedAnswer {
            service: "sidecar",
            status,
        }),
    }
}

fn url(
    cx: &Ctx,
    allows: TicketUse,
    build_id: &str,
    max_bytes: u64,
    valid_seconds: u64,
) -> Result<String, Error> {
    let base = match cx.variable("blob_url") {
        Some(base) => base,
        None => cx.required_variable("sidecar_url")?,
    };
    let key = TicketKey::from_sidecar_token(&cx.required_variable("sidecar_token")?);
    let ticket = BlobTicket {
        id: Uuid7::new(cx.now(), cx.random()).to_string(),
        allows,
        build_id: build_id.to_owned(),
        max_bytes,
    };
    let ticket = key.sign(ticket, valid_seconds);
    Ok(format!("{}/blobs/{ticket}", base.trim_end_matches('/')))
}
