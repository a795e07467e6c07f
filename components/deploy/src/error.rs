//! What can go wrong with deployments, and the problem that each becomes.

use nokube_guest::db::DbError;
use nokube_guest::{Error, Problem};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeployError {
    /// What any component may meet.
    #[error(transparent)]
    Guest(#[from] Error),
    /// The build to deploy has no artifact.
    #[error("the build is {status}")]
    BuildNotSuccessful {
        /// How far it is.
        status: String,
    },
    /// The deployment is on its way out.
    #[error("the deployment is being deleted")]
    BeingDeleted,
    /// The project has as many as it may.
    #[error("the project has {0} deployments, as many as it may")]
    TooMany(u64),
    /// Another deployment answers on that host name.
    #[error("the host name is taken")]
    HostTaken {
        /// Its first label.
        label: String,
    },
    /// Another deployment has that custom domain.
    #[error("the custom domain is taken")]
    DomainTaken,
    /// Only what runs can be restarted.
    #[error("the deployment is stopped")]
    Stopped,
    /// The number of copies is the target's to decide.
    #[error("the deployment scales by load")]
    ScalesByLoad,
    /// The target has not confirmed that everything is gone.
    #[error("deployments remain")]
    DeploymentsRemain(usize),
    /// Something else changed the deployment between reading and writing it.
    #[error("the deployment was changed meanwhile")]
    ChangedMeanwhile,
}

impl From<DbError> for DeployError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::NotUnique(columns) if columns.contains("custom_domain") => Self::DomainTaken,
            other => Self::Guest(other.into()),
        }
    }
}

impl From<DeployError> for Problem {
    fn from(error: DeployError) -> Self {
        match error {
            DeployError::Guest(error) => error.into(),
            DeployError::BuildNotSuccessful { status } => {
                Self::new(409, "build-not-successful", "Build not successful").detail(format!(
                    "The build is {status}; only a successful build can be deployed."
                ))
            }
            DeployError::BeingDeleted => Self::new(409, "being-deleted", "Being deleted")
                .detail("The deployment is being deleted. Deploy again once it is gone.")
                .header("retry-after", "2"),
            DeployError::TooMany(limit) => {
                Self::new(409, "too-many-deployments", "Too many deployments").detail(format!(
                    "A project may have {limit} deployments on this platform. Delete one, or use another project."
                ))
            }
            DeployError::HostTaken { label } => {
                Self::new(409, "host-taken", "Host name taken").detail(format!(
                    "Another service or environment of this project answers as {label}. Choose another name."
                ))
            }
            DeployError::DomainTaken => Self::new(409, "domain-taken", "Domain taken")
                .detail("Another deployment has this custom_domain."),
            DeployError::Stopped => Self::new(409, "deployment-stopped", "Deployment stopped")
                .detail("The deployment is stopped; start it instead."),
            DeployError::ScalesByLoad => Self::new(409, "scales-by-load", "Scales by load").detail(
                "enable_autoscaling is on: change min_replicas and max_replicas, or turn it off.",
            ),
            DeployError::DeploymentsRemain(number) => {
                Self::new(409, "deployments-remain", "Deployments remain").detail(format!(
                    "{number} deployments are still being taken down. Try again shortly."
                ))
            }
            DeployError::ChangedMeanwhile => {
                Self::new(409, "changed-meanwhile", "Changed meanwhile")
                    .detail("The deployment was changed at the same time. Try again.")
            }
        }
    }
}
