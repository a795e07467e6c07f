//! The life of a build: its states, the rules of its lease, and the names of what it makes.
//!
//! Called by `components/builds`. Time comes in as an argument; nothing here reads a clock or a row.
//!
//! ```text
//! pending ──start──▶ building ──result──▶ success | failed
//!    ▲  │                │ lease lost, attempts left
//!    │  └─cancel─▶ cancelled ◀─cancel─┤
//!    └────────────────────────────────┘
//! ```

use std::fmt;

use crate::{Digest, Invalid};

/// A lease that was acknowledged ends after this long without a heartbeat. Runners send one every
/// third of it, so two may be lost. Short, since a build waits for it after a crash.
pub const LEASE_SECONDS: u64 = 20;

/// A lease that was handed out but never acknowledged ends after this long, and costs no attempt.
pub const START_GRACE_SECONDS: u64 = 10;

/// How often a build is started before the platform gives up on it.
pub const MAX_ATTEMPTS: u32 = 3;

/// A whole attempt may take this long.
pub const BUILD_TIMEOUT_SECONDS: u64 = 15 * 60;

/// What a runner gets on top of [`BUILD_TIMEOUT_SECONDS`] to report that it ran out of time.
pub const TIMEOUT_GRACE_SECONDS: u64 = 60;

/// An announced upload must have arrived by then.
pub const SOURCE_TIMEOUT_SECONDS: u64 = 15 * 60;

/// A build that no runner took by then is given up, so that every build ends.
pub const PENDING_TIMEOUT_SECONDS: u64 = 6 * 60 * 60;

/// Builds of one project that may wait or run at once.
pub const MAX_ACTIVE_PER_PROJECT: u32 = 10;

/// Builds started by one user that may wait or run at once.
pub const MAX_ACTIVE_PER_USER: u32 = 20;

/// Lines kept of one build's log.
pub const MAX_LOG_LINES: u64 = 50_000;

/// Bytes of text kept of one build's log.
pub const MAX_LOG_BYTES: u64 = 10 << 20;

/// Bytes of one log line; what is longer is cut.
pub const MAX_LINE_BYTES: usize = 16 << 10;

/// Bytes of an uploaded source archive.
pub const MAX_SOURCE_BYTES: u64 = 256 << 20;

/// Bytes of an artifact (an OCI image layout as a tar archive).
pub const MAX_ARTIFACT_BYTES: u64 = 512 << 20;

/// Linux' PATH_MAX is 4096; what comes before it on the runner needs some of it.
const MAX_SUBDIRECTORY_BYTES: usize = 1024;

/// How far a build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildStatus {
    /// Waits for its source or for a runner.
    Pending,
    /// A runner has acknowledged it.
    Building,
    /// Its artifact is stored.
    Success,
    /// It ended without an artifact.
    Failed,
    /// A user ended it.
    Cancelled,
}

impl BuildStatus {
    /// Every status, in the order of a build's life.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Building,
        Self::Success,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Its name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Building => "building",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Nothing follows.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Success | Self::Failed | Self::Cancelled)
    }

    /// Whether a build may go from here to `next`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => matches!(next, Self::Building | Self::Failed | Self::Cancelled),
            // Back to pending: the lease was lost and an attempt is left.
            Self::Building => !matches!(next, Self::Building),
            Self::Success | Self::Failed | Self::Cancelled => false,
        }
    }
}

impl fmt::Display for BuildStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Builder {
    /// A runner process: clone, detect, build, pack.
    #[default]
    Runner,
    /// A runner that only plays every status and log, the same each time.
    Simulated,
}

/// Why a builder's name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuilderFault {
    /// A builder of the contract that this platform does not offer.
    #[error("is not available on this platform; use `runner`")]
    NotAvailable,
    /// Not a builder.
    #[error("must be `runner` or `simulated`")]
    Unknown,
}

impl Builder {
    /// Its name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Runner => "runner",
            Self::Simulated => "simulated",
        }
    }

    /// The builder of that name.
    ///
    /// # Errors
    /// [`BuilderFault`] for any other name.
    pub fn parse(text: &str) -> Result<Self, BuilderFault> {
        match text {
            "runner" => Ok(Self::Runner),
            "simulated" => Ok(Self::Simulated),
            "github-actions" | "kubernetes" => Err(BuilderFault::NotAvailable),
            _ => Err(BuilderFault::Unknown),
        }
    }
}

/// What becomes of a build whose attempt ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterLoss {
    /// It waits for a runner again.
    Requeue,
    /// It is given up.
    Fail,
}

/// What becomes of a build that was started `attempts` times when its attempt is lost (the runner
/// vanished, or reported a fault of the platform that may pass).
#[must_use]
pub const fn after_loss(attempts: u32) -> AfterLoss {
    if attempts < MAX_ATTEMPTS {
        AfterLoss::Requeue
    } else {
        AfterLoss::Fail
    }
}

/// The tag of a build that was given none: the random end of its id, so that every build has a name
/// of its own and deploying by that name means that build.
///
/// The front of a `UUIDv7` is a time: builds within the same minute would share it.
#[must_use]
pub fn default_tag(build_id: &str) -> String {
    let hex: String = build_id.chars().filter(char::is_ascii_hexdigit).collect();
    hex[hex.len().saturating_sub(12)..].to_ascii_lowercase()
}

/// `<registry>/<owner>-<project>-<service>`: the repository part of an image's name for people.
///
/// `api` of project `a-b` and `b-api` of project `a` would share it: whoever stores names claims
/// each for one service.
#[must_use]
pub fn image_repository(registry: &str, owner: &str, project: &str, service: &str) -> String {
    format!(
        "{}/{owner}-{project}-{service}",
        registry.trim_end_matches('/')
    )
}

/// `<registry>/<owner>-<image name>`: the repository part when the user chose the rest of the name.
#[must_use]
pub fn chosen_image_repository(registry: &str, owner: &str, image_name: &str) -> String {
    format!("{}/{owner}-{image_name}", registry.trim_end_matches('/'))
}

/// Why an image's name or tag was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageFault {
    /// See the OCI distribution specification, "Pulling manifests".
    #[error(
        "must be 1 to 128 letters, digits, dots, dashes or underscores and not start with a dot or dash"
    )]
    Tag,
    /// One path component of the same specification.
    #[error(
        "must be 1 to 63 lower-case letters and digits, with single dots, underscores or dashes between them; the registry and the owner are put before it"
    )]
    Name,
    /// Neither `repository`, `repository:tag` nor `repository@sha256:…`.
    #[error("must look like `registry/name:tag` or `registry/name@sha256:…`")]
    Reference,
}

/// Checks a tag (OCI distribution specification 1.1: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`).
///
/// # Errors
/// [`ImageFault::Tag`].
pub fn check_image_tag(tag: &str) -> Result<(), ImageFault> {
    let bytes = tag.as_bytes();
    let good = (1..=128).contains(&bytes.len())
        && !matches!(bytes[0], b'.' | b'-')
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if good { Ok(()) } else { Err(ImageFault::Tag) }
}

/// Checks a name that a user chose for an image: one path component.
///
/// # Errors
/// [`ImageFault::Name`].
pub fn check_image_name(name: &str) -> Result<(), ImageFault> {
    let bytes = name.as_bytes();
    let separator = |b: u8| matches!(b, b'.' | b'_' | b'-');
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = (1..=63).contains(&bytes.len())
        && plain(bytes[0])
        && plain(bytes[bytes.len() - 1])
        && bytes.iter().all(|&b| plain(b) || separator(b))
        && !bytes
            .windows(2)
            .any(|pair| separator(pair[0]) && separator(pair[1]));
    if good { Ok(()) } else { Err(ImageFault::Name) }
}

/// An image as a deploy request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// Everything before the tag or digest.
    pub repository: String,
    /// What of it is meant.
    pub version: ImageVersion,
}

/// Which image of a repository is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageVersion {
    /// The newest: no tag, or `latest`.
    Latest,
    /// That tag.
    Tag(String),
    /// Exactly that: `sha256:<64 hex>`.
    Digest(String),
}

impl ImageReference {
    /// Reads `repository`, `repository:tag`, `repository@sha256:…` or `repository:tag@sha256:…`
    /// (where the digest decides, as everywhere).
    ///
    /// # Errors
    /// [`ImageFault::Reference`] or [`ImageFault::Tag`].
    pub fn parse(text: &str) -> Result<Self, ImageFault> {
        if text.is_empty() || text.len() > 512 || text.contains(|c: char| !c.is_ascii_graphic()) {
            return Err(ImageFault::Reference);
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        // A colon before the last slash belongs to the registry's port.
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (name, None),
        };
        if repository.is_empty() {
            return Err(ImageFault::Reference);
        }
        if let Some(tag) = tag {
            check_image_tag(tag)?;
        }
        let version = match (digest, tag) {
            (Some(digest), _) if Digest::parse(digest).is_ok() => {
                ImageVersion::Digest(digest.to_owned())
            }
            (Some(_), _) => return Err(ImageFault::Reference),
            (None, None | Some("latest")) => ImageVersion::Latest,
            (None, Some(tag)) => ImageVersion::Tag(tag.to_owned()),
        };
        Ok(Self {
            repository: repository.to_owned(),
            version,
        })
    }
}

/// Reads a folder of the source: relative, inside it, `None` for the source itself (`.`).
///
/// # Errors
/// Absolute paths, `..`, Git's own folder, and characters that no repository path needs.
pub fn parse_subdirectory(text: &str) -> Result<Option<String>, Invalid> {
    const REFUSED: Invalid = Invalid::new(
        "must be a folder inside the source, such as apps/api, without .. and not starting with /",
    );
    if matches!(text, "." | "./") {
        return Ok(None);
    }
    let text = text.strip_prefix("./").unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    let bad_part =
        |part: &str| matches!(part, "" | "." | "..") || part.eq_ignore_ascii_case(".git");
    if text.len() > MAX_SUBDIRECTORY_BYTES
        || text.chars().any(|c| c.is_control() || c == '\\')
        || text.split('/').any(bad_part)
    {
        return Err(REFUSED);
    }
    Ok(Some(text.to_owned()))
}

/// Cuts a log line to [`MAX_LINE_BYTES`] at a character's border and drops what would break a line
/// out of its place: line ends and NUL.
#[must_use]
pub fn clean_log_text(text: &str) -> String {
    let mut end = text.len().min(MAX_LINE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].replace(['\n', '\r', '\0'], " ")
}

#[cfg(test)]
mod tests;
