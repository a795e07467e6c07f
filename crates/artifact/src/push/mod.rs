//! An artifact goes to a registry (OCI distribution specification 1.1).
//!
//! Blobs that the registry has are not sent again; the others go in one piece each, streamed from the
//! layout. The manifest goes last, so a push that breaks off leaves nothing half visible.

mod auth;
mod reference;

use futures::TryStreamExt as _;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use tokio_util::io::ReaderStream;

use crate::Digest;
use crate::layout::{Layout, LayoutError};
use crate::oci::{Descriptor, MANIFEST_TYPE, MAX_JSON_BYTES};

pub use auth::Credentials;
pub use reference::{Reference, ReferenceError};

use auth::Session;

/// The start of a registry's answer that goes into an error.
const MAX_EXPLANATION_CHARS: usize = 300;

/// How to push.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Who pushes; nobody when missing.
    pub credentials: Option<Credentials>,
    /// Speak HTTP without TLS: for registries on this machine.
    pub plain_http: bool,
}

/// Why a push failed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The artifact can't be read.
    #[error("the artifact can't be read")]
    Layout(#[source] LayoutError),
    /// A blob's file can't be read.
    #[error("the blob {digest} can't be read")]
    Blob {
        /// The blob.
        digest: Digest,
        /// Why.
        source: std::io::Error,
    },
    /// The registry can't be reached.
    #[error("the registry can't be reached")]
    Http(#[source] reqwest::Error),
    /// Wrong or missing credentials.
    #[error("the registry refused the credentials ({0})")]
    Unauthorized(StatusCode),
    /// Another answer than the specification gives.
    #[error("the registry answered {status} when {action}: {explanation}")]
    Refused {
        /// What was asked of it.
        action: &'static str,
        /// Its answer.
        status: StatusCode,
        /// The beginning of what it said.
        explanation: String,
    },
    /// An answer that makes no sense.
    #[error("the registry's answer is not valid: {0}")]
    Answer(&'static str),
    /// It stored something else.
    #[error("the registry stored {found}, not {expected}")]
    Mismatch {
        /// What was sent.
        expected: Digest,
        /// What it says it has.
        found: String,
    },
}

impl PushError {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

/// Pushes an artifact of a layout to `to`; gives its digest, which is the one it has here.
///
/// # Errors
/// [`PushError`].
pub async fn push(
    layout: &Layout,
    digest: &Digest,
    to: &Reference,
    options: &PushOptions,
) -> Result<Digest, PushError> {
    let (manifest, bytes) = read_manifest(layout, digest).await?;
    let pusher = Pusher::new(to, options)?;
    for blob in manifest {
        if !pusher.has(&blob.digest).await? {
            pusher.send(layout, &blob).await?;
        }
    }
    pusher.send_manifest(digest, bytes).await?;
    Ok(*digest)
}

async fn read_manifest(
    layout: &Layout,
    digest: &Digest,
) -> Result<(Vec<Descriptor>, Vec<u8>), PushError> {
    let (layout, digest) = (layout.clone(), *digest);
    let read = move || {
        let bytes = layout.read_blob(&digest, MAX_JSON_BYTES)?;
        let mut blobs: Vec<_> = layout.manifest(&digest)?.blobs().cloned().collect();
        blobs.sort_by_key(|blob| blob.digest);
        blobs.dedup_by_key(|blob| blob.digest);
        Ok((blobs, bytes))
    };
    tokio::task::spawn_blocking(read)
        .await
        .expect("reading a manifest does not panic")
        .map_err(PushError::Layout)
}

struct Pusher<'a> {
    client: Client,
    session: Session,
    base: Url,
    to: &'a Reference,
}

impl<'a> Pusher<'a> {
    fn new(to: &'a Reference, options: &PushOptions) -> Result<Self, PushError> {
        // A redirect would carry a blob, or the credentials, somewhere else.
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .user_agent(concat!("nokube/", env!("CARGO_PKG_VERSION")));
        if options.plain_http {
            // Such a registry is on this machine or beside it: a proxy could not reach it.
            client = client.no_proxy();
        }
        let client = client.build().map_err(PushError::Http)?;
        let scheme = if options.plain_http { "http" } else { "https" };
        let base = format!("{scheme}://{}/v2/{}/", to.registry(), to.repository());
        let base = Url::parse(&base).map_err(|_| PushError::Answer("the address"))?;
        Ok(Self {
            client,
            session: Session::new(options.credentials.clone(), to.repository()),
            base,
            to,
        })
    }

    fn url(&self, path: &str) -> Url {
        self.base
            .join(path)
            .expect("digests, tags and fixed words make paths")
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let at_home = url.origin() == self.base.origin();
        let request = self.client.request(method, url);
        // An upload may be sent elsewhere; the credentials are not.
        if at_home {
            self.session.authorize(request)
        } else {
            request
        }
    }

    /// Sends a request without a body; once more after the registry asked for credentials.
    async fn ask(&self, method: Method, path: &str) -> Result<Response, PushError> {
        let send = || async {
            let mut request = self.request(method.clone(), self.url(path));
            if method == Method::POST {
                request = request.header(CONTENT_LENGTH, 0);
            }
            request.send().await.map_err(PushError::Http)
        };
        let answer = send().await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.session.renew(&self.client, answer.headers()).await?;
        send().await
    }

    async fn has(&self, digest: &Digest) -> Result<bool, PushError> {
        let answer = self.ask(Method::HEAD, &format!("blobs/{digest}")).await?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            // A redirect to where the blob is: it is there.
            status if status.is_redirection() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(refused("looking for a blob", answer).await),
        }
    }

    async fn send(&self, layout: &Layout, blob: &Descriptor) -> Result<(), PushError> {
        let answer = self.ask(Method::POST, "blobs/uploads/").await?;
        if answer.status() != StatusCode::ACCEPTED {
            return Err(refused("beginning an upload", answer).await);
        }
        let mut place = answer
            .headers()
            .get(LOCATION)
            .and_then(|place| place.to_str().ok())
            .and_then(|place| self.base.join(place).ok())
            .ok_or(PushError::Answer("an upload without a place"))?;
        place
            .query_pairs_mut()
            .append_pair("digest", &blob.digest.to_string());
        let digest = blob.digest;
        let unreadable = move |source| PushError::Blob { digest, source };
        let file = tokio::fs::File::open(layout.blob_path(&digest))
            .await
            .map_err(unreadable)?;
        let stream = ReaderStream::with_capacity(file, 64 * 1024).into_stream();
        let answer = self
            .request(Method::PUT, place)
            .header(CONTENT_LENGTH, blob.size)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(Body::wrap_stream(stream))
            .send()
            .await
            .map_err(PushError::Http)?;
        if answer.status() == StatusCode::CREATED {
            Ok(())
        } else {
            Err(refused("storing a blob", answer).await)
        }
    }

    async fn send_manifest(&self, digest: &Digest, bytes: Vec<u8>) -> Result<(), PushError> {
        let url = self.url(&format!("manifests/{}", self.to.tag()));
        let answer = self
            .request(Method::PUT, url)
            .header(CONTENT_TYPE, MANIFEST_TYPE)
            .body(bytes)
            .send()
            .await
            .map_err(PushError::Http)?;
        if answer.status() != StatusCode::CREATED {
            return Err(refused("storing the manifest", answer).await);
        }
        let found = answer
            .headers()
            .get("docker-content-digest")
            .map(HeaderValue::as_bytes);
        match found {
            Some(found) if found != digest.to_string().as_bytes() => Err(PushError::Mismatch {
                expected: *digest,
                found: String::from_utf8_lossy(found).into_owned(),
            }),
            _ => Ok(()),
        }
    }
}

async fn refused(action: &'static str, answer: Response) -> PushError {
    let status = answer.status();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return PushError::Unauthorized(status);
    }
    let text = answer.text().await.unwrap_or_default();
    PushError::Refused {
        action,
        status,
        explanation: text.trim().chars().take(MAX_EXPLANATION_CHARS).collect(),
    }
}
