//! What can go wrong in `projects`, and the one place where it becomes a problem.

use nokube_guest::Problem;
use nokube_guest::db::DbError;

/// An error of this component.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectsError {
    #[error(transparent)]
    Guest(#[from] nokube_guest::Error),
    #[error("the owner has a project with the slug {0}")]
    SlugTaken(String),
    #[error("the caller owns {0} projects, as many as one may")]
    TooMany(u64),
    #[error("the project has {0} members, as many as one may")]
    TooManyMembers(u64),
    #[error("the project would lose the owner whose name it carries")]
    OwnerNeeded,
    #[error("the project's deployments cannot be taken down")]
    DeploymentsRemain(#[source] nokube_guest::Error),
    #[error("the project got a deployment while it was being deleted")]
    DeployedMeanwhile,
}

impl From<DbError> for ProjectsError {
    fn from(error: DbError) -> Self {
        Self::Guest(error.into())
    }
}

impl From<ProjectsError> for Problem {
    fn from(error: ProjectsError) -> Self {
        match error {
            ProjectsError::Guest(error) => error.into(),
            ProjectsError::SlugTaken(slug) => Self::new(409, "slug-taken", "Name already taken")
                .detail(format!(
                    "You have a project that is called {slug} in host names. Choose another name."
                )),
            ProjectsError::TooMany(limit) => {
                Self::new(409, "too-many-projects", "Too many projects").detail(format!(
                    "One account may own {limit} projects on this platform. Delete one first."
                ))
            }
            ProjectsError::TooManyMembers(limit) => {
                Self::new(409, "too-many-members", "Too many members").detail(format!(
                    "One project may have {limit} members on this platform. Remove one first."
                ))
            }
            ProjectsError::OwnerNeeded => {
                Self::new(409, "owner-needed", "The project needs its owner").detail(
                    "The project carries this member's name in its addresses. Another owner has to \
                     take it over first: PATCH /projects/{id} with the own name as owner.",
                )
            }
            ProjectsError::DeploymentsRemain(_) => {
                Self::new(409, "deployments-remain", "Deployments remain")
                    .detail(
                        "The project's deployments cannot be taken down at the moment. Try again, or \
                         delete it with ?force=true: they are then taken down as soon as that is possible.",
                    )
                    .cause(&error)
            }
            ProjectsError::DeployedMeanwhile => {
                Self::new(409, "deployments-remain", "Deployments remain")
                    .detail("Something was deployed to the project meanwhile. Try again.")
            }
        }
    }
}
