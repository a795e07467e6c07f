//! What can go wrong with builds, and the problem that each becomes.

use nokube_domain::build::{BUILD_TIMEOUT_SECONDS, BuildStatus};
use nokube_guest::Problem;
use nokube_guest::db::DbError;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildsError {
    /// What any component may meet.
    #[error(transparent)]
    Guest(#[from] nokube_guest::Error),
    /// The image's name belongs to another service.
    #[error("the image name belongs to another service")]
    ImageNameTaken {
        /// The name without its tag.
        repository: String,
    },
    /// Too many builds wait or run.
    #[error("too many builds wait or run")]
    TooManyActive {
        /// Whose: `project` or `account`.
        of: &'static str,
        /// How many are allowed.
        limit: u32,
    },
    /// Only a build that is not finished can be cancelled.
    #[error("the build is finished")]
    AlreadyFinished(BuildStatus),
    /// Only a finished build can be repeated.
    #[error("the build is not finished")]
    NotFinished(BuildStatus),
    /// The source of a repeated build never arrived.
    #[error("the build never had a source")]
    NoSource,
    /// The source of a repeated build was removed since.
    #[error("the build's source is not kept any more")]
    SourceGone,
    /// A runner came with a lease that is not, or no longer, the build's.
    #[error("the lease is lost")]
    LeaseLost,
    /// A runner left lines out.
    #[error("log lines are missing before the first one sent")]
    LogGap {
        /// The line that is wanted next.
        expected: u64,
    },
    /// A runner's body has another form.
    #[error("the runner's body is not as agreed: {0}")]
    BadRunnerBody(String),
    /// A source was announced for a build that waits for none.
    #[error("the build does not wait for a source")]
    NotAwaitingSource,
}

impl From<DbError> for BuildsError {
    fn from(error: DbError) -> Self {
        Self::Guest(error.into())
    }
}

impl From<BuildsError> for Problem {
    fn from(error: BuildsError) -> Self {
        match error {
            BuildsError::Guest(error) => error.into(),
            BuildsError::ImageNameTaken { repository } => Self::new(
                409,
                "image-name-taken",
                "Image name taken",
            )
            .detail(format!(
                "{repository} is the image of another service. Choose another name with image_name."
            )),
            BuildsError::TooManyActive { of, limit } => {
                Self::new(429, "too-many-builds", "Too many builds")
                    .detail(format!(
                        "{limit} builds of this {of} wait or run already. Try again when one has ended, or cancel one."
                    ))
                    // A build takes minutes; asking each minute is soon enough.
                    .header("retry-after", (BUILD_TIMEOUT_SECONDS / 15).to_string())
            }
            BuildsError::AlreadyFinished(status) => {
                Self::new(409, "build-finished", "Build finished")
                    .detail(format!("The build ended already: it is {status}."))
            }
            BuildsError::NotFinished(status) => {
                Self::new(409, "build-not-finished", "Build not finished")
                    .detail(format!("The build is still {status}; cancel it first."))
            }
            BuildsError::NoSource => Self::new(409, "no-source", "No source")
                .detail("Its source was never uploaded. Upload it again as a new build."),
            BuildsError::SourceGone => Self::new(409, "source-gone", "Source gone").detail(
                "Its uploaded source is not kept any more. Upload it again as a new build.",
            ),
            BuildsError::LeaseLost => Self::new(410, "lease-lost", "Lease lost")
                .detail("The build was cancelled or given to someone else. Stop."),
            BuildsError::LogGap { expected } => Self::new(409, "log-gap", "Log lines missing")
                .detail(format!("Line {expected} is wanted next.")),
            BuildsError::BadRunnerBody(detail) => {
                Self::new(422, "invalid-request", "Request not valid").detail(detail)
            }
            BuildsError::NotAwaitingSource => {
                Self::new(409, "no-source-awaited", "No source awaited")
                    .detail("The build has its source already, or ended without it.")
            }
        }
    }
}
