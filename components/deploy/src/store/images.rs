//! Builds as deployments see them: read only.

use nokube_domain::build::{ImageReference, ImageVersion};
use nokube_domain::{BuildId, ProjectId};
use nokube_guest::db::{Conditions, Db, DbError};
use nokube_guest::platform::only_visible;
use nokube_guest::{Caller, params, row};

row! {
    /// A build that a request names.
    #[derive(Debug, Clone)]
    pub(crate) struct ImageRow {
        pub(crate) id: BuildId,
        pub(crate) project_id: ProjectId,
        pub(crate) status: String,
        pub(crate) image_repository: String,
        pub(crate) image_tag: String,
        pub(crate) digest: Option<String>,
    }
}

impl ImageRow {
    /// The image's name for people.
    pub(crate) fn full_name(&self) -> String {
        format!("{}:{}", self.image_repository, self.image_tag)
    }

    /// Whether `image` can mean this build. A name without a version leaves the choice to whoever names the build.
    pub(crate) fn is_called(&self, image: &ImageReference) -> bool {
        let is_this = match &image.version {
            ImageVersion::Latest => true,
            ImageVersion::Tag(tag) => *tag == self.image_tag,
            ImageVersion::Digest(digest) => self.digest.as_ref() == Some(digest),
        };
        is_this && image.repository == self.image_repository
    }
}

const ROWS: &str =
    "SELECT b.id, b.project_id, b.status, b.image_repository, b.image_tag, b.digest FROM builds b";

/// Builds the caller may see.
fn visible(caller: &Caller) -> Conditions {
    let mut conditions = Conditions::new();
    only_visible(&mut conditions, "b.project_id", caller, true);
    conditions
}

/// The build of that id, if the caller may see it.
pub(crate) async fn image_find_by_build(
    db: &Db,
    caller: &Caller,
    build: BuildId,
) -> Result<Option<ImageRow>, DbError> {
    let mut conditions = visible(caller);
    conditions.and("b.id = ?", params![build]);
    let statement = format!("{ROWS} {}", conditions.text());
    db.query_optional(&statement, conditions.parameters()).await
}

/// The build that a name means, if the caller may see it: the newest successful one of that exact
/// name, else the newest of that name at all.
pub(crate) async fn image_find_by_name(
    db: &Db,
    caller: &Caller,
    image: &ImageReference,
) -> Result<Option<ImageRow>, DbError> {
    let mut conditions = visible(caller);
    conditions.and("b.image_repository = ?", params![image.repository.as_str()]);
    match &image.version {
        ImageVersion::Latest => {}
        ImageVersion::Tag(tag) => conditions.and("b.image_tag = ?", params![tag.as_str()]),
        ImageVersion::Digest(digest) => conditions.and("b.digest = ?", params![digest.as_str()]),
    }
    let statement = format!(
        "{ROWS} {} ORDER BY CASE b.status WHEN 'success' THEN 0 ELSE 1 END, b.completed_at_ms DESC, \
         b.created_at_ms DESC, b.id DESC LIMIT 1",
        conditions.text()
    );
    db.query_optional(&statement, conditions.parameters()).await
}

/// Whether a repository's name is that of some project's builds.
pub(crate) async fn image_name_is_claimed(db: &Db, repository: &str) -> Result<bool, DbError> {
    let found: Option<(i64,)> = db
        .query_optional(
            "SELECT 1 FROM image_names WHERE repository = ?1",
            params![repository],
        )
        .await?;
    Ok(found.is_some())
}
