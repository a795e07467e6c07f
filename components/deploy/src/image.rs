//! What a request wants to run: the artifact of a build, or, where the platform allows that, a container image of any
//! registry.

use nokube_api::sidecar::ArtifactKind;
use nokube_domain::build::ImageReference;
use nokube_domain::{BuildId, ContainerImage};
use nokube_guest::db::Db;
use nokube_guest::{Caller, Ctx, Error, FieldFault};

use crate::error::DeployError;
use crate::settings::container_images;
use crate::store::images::{
    ImageRow, image_find_by_build, image_find_by_name, image_name_is_claimed,
};

/// The image of a request: a build, a name, or both when they agree.
pub(crate) struct Named {
    pub(crate) build: Option<BuildId>,
    pub(crate) image: Option<ImageReference>,
}

/// What a revision runs.
pub(crate) struct Artifact {
    pub(crate) kind: ArtifactKind,
    pub(crate) build_id: Option<String>,
    pub(crate) image_name: String,
    /// Nothing for a container image that is known by its tag alone.
    pub(crate) digest: Option<String>,
}

const NOT_A_BUILD: &str = "is not the image of a build that you may see";
const ELSEWHERE: &str =
    "images from elsewhere need a Kubernetes target, which this platform does not have";

impl Named {
    /// What is meant, when it can be run. A build that the caller may not see does not exist.
    pub(crate) async fn resolve(
        &self,
        cx: &Ctx,
        db: &Db,
        caller: &Caller,
        faults: &mut Vec<FieldFault>,
    ) -> Result<Option<Image>, DeployError> {
        if let Some(build) = self.build {
            let found = image_find_by_build(db, caller, build).await?;
            let agrees =
                |row: &ImageRow| self.image.as_ref().is_none_or(|image| row.is_called(image));
            return match found {
                None if faults.is_empty() => Err(Error::NotFound("build").into()),
                Some(row) if !agrees(&row) => {
                    faults.push(fault(
                        "/build_id",
                        "is not the build whose image image_name names; send one of the two",
                    ));
                    faults.push(fault(
                        "/image_name",
                        "is not the image of the build in build_id; send one of the two",
                    ));
                    Ok(None)
                }
                found => Ok(found.map(Image::Build)),
            };
        }
        let Some(image) = &self.image else {
            return Ok(None);
        };
        if let Some(build) = image_find_by_name(db, caller, image).await? {
            return Ok(Some(Image::Build(build)));
        }
        match container(cx, db, image).await? {
            Ok(container) => Ok(Some(Image::Container(container))),
            Err(detail) => {
                faults.push(fault("/image_name", &detail));
                Ok(None)
            }
        }
    }
}

/// The container image of that name, or why there is none for this caller.
async fn container(
    cx: &Ctx,
    db: &Db,
    image: &ImageReference,
) -> Result<Result<ContainerImage, String>, DeployError> {
    if !container_images(cx)? {
        return Ok(Err(format!("{NOT_A_BUILD}; {ELSEWHERE}")));
    }
    let container = match ContainerImage::from_reference(image) {
        Ok(container) => container,
        Err(fault) => return Ok(Err(fault.to_string())),
    };
    // What the platform's builds make is reached as a build alone: the cluster may pull all of it, a user may not.
    let registry = cx.variable("registry");
    let is_ours = registry.is_some_and(|registry| container.is_below(&registry))
        || image_name_is_claimed(db, &image.repository).await?
        || image_name_is_claimed(db, container.repository()).await?;
    if is_ours {
        return Ok(Err(NOT_A_BUILD.to_owned()));
    }
    Ok(Ok(container))
}

/// An image that a request names.
pub(crate) enum Image {
    /// Made by a build that the caller may see.
    Build(ImageRow),
    /// Of any registry.
    Container(ContainerImage),
}

impl Image {
    /// What a revision of it runs. A build must have succeeded.
    pub(crate) fn deployable(self) -> Result<Artifact, DeployError> {
        match self {
            Self::Build(row) => match (&row.digest, row.status.as_str()) {
                (Some(digest), "success") => Ok(Artifact {
                    kind: ArtifactKind::Spin,
                    build_id: Some(row.id.to_string()),
                    image_name: row.full_name(),
                    digest: Some(digest.clone()),
                }),
                (_, status) => Err(DeployError::BuildNotSuccessful {
                    status: status.to_owned(),
                }),
            },
            Self::Container(image) => Ok(Artifact {
                kind: ArtifactKind::Container,
                build_id: None,
                image_name: image.full_name(),
                digest: image.digest().map(str::to_owned),
            }),
        }
    }
}

fn fault(pointer: &str, detail: &str) -> FieldFault {
    FieldFault {
        pointer: pointer.to_owned(),
        detail: detail.to_owned(),
        r#in: None,
    }
}
