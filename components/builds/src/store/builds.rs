//! Rows of builds.

use nokube_domain::build::{BuildStatus, Builder};
use nokube_domain::{BuildId, ProjectId, ServiceName, Timestamp, UserId};
use nokube_guest::db::{Conditions, Db, DbError, Tx};
use nokube_guest::platform::only_visible;
use nokube_guest::{Caller, Paging, params, row};

row! {
    /// A build as it is stored.
    #[derive(Debug, Clone)]
    pub(crate) struct BuildRow {
        pub(crate) id: BuildId,
        pub(crate) project_id: ProjectId,
        pub(crate) service_name: String,
        pub(crate) status: String,
        pub(crate) builder: String,
        pub(crate) source: String,
        pub(crate) source_ready: bool,
        pub(crate) repository_url: Option<String>,
        pub(crate) branch: Option<String>,
        pub(crate) subdirectory: Option<String>,
        pub(crate) wanted_commit: Option<String>,
        pub(crate) built_commit: Option<String>,
        pub(crate) source_build_id: Option<String>,
        pub(crate) source_digest: Option<String>,
        pub(crate) image_repository: String,
        pub(crate) image_tag: String,
        pub(crate) build_args: String,
        pub(crate) digest: Option<String>,
        pub(crate) error_message: Option<String>,
        pub(crate) attempts: u32,
        pub(crate) lease_id: Option<String>,
        pub(crate) log_lines: u64,
        pub(crate) log_bytes: u64,
        pub(crate) log_base: u64,
        pub(crate) log_full: bool,
        pub(crate) retry_of: Option<String>,
        pub(crate) created_by_name: String,
        pub(crate) created_at_ms: Timestamp,
        pub(crate) started_at_ms: Option<Timestamp>,
        pub(crate) completed_at_ms: Option<Timestamp>,
    }
}

impl BuildRow {
    /// How far it is.
    pub(crate) fn status(&self) -> BuildStatus {
        BuildStatus::parse(&self.status).expect("the table's CHECK allows only these")
    }

    /// Its image's name for people.
    pub(crate) fn image_full_name(&self) -> String {
        format!("{}:{}", self.image_repository, self.image_tag)
    }
}

/// A build that is about to be.
pub(crate) struct NewBuild<'a> {
    pub(crate) id: BuildId,
    pub(crate) project_id: ProjectId,
    pub(crate) service_name: ServiceName,
    pub(crate) builder: Builder,
    pub(crate) source: NewSource<'a>,
    pub(crate) subdirectory: Option<&'a str>,
    pub(crate) image_repository: String,
    pub(crate) image_tag: String,
    pub(crate) build_args: String,
    pub(crate) retry_of: Option<BuildId>,
    pub(crate) now: Timestamp,
}

/// Where its source comes from.
pub(crate) enum NewSource<'a> {
    Git {
        url: &'a str,
        branch: Option<&'a str>,
        commit: Option<&'a str>,
    },
    /// An upload that is yet to come.
    Awaited,
    /// What was uploaded for another build.
    Uploaded { build_id: &'a str, digest: &'a str },
}

/// Stores a build that waits.
pub(crate) async fn build_insert(
    tx: &Tx,
    caller: &Caller,
    new: &NewBuild<'_>,
) -> Result<BuildRow, DbError> {
    let own_id = new.id.to_string();
    let (source, ready, url, branch, commit, source_build, digest) = match &new.source {
        NewSource::Git {
            url,
            branch,
            commit,
        } => ("git", true, Some(*url), *branch, *commit, None, None),
        NewSource::Awaited => (
            "upload",
            false,
            None,
            None,
            None,
            Some(own_id.as_str()),
            None,
        ),
        NewSource::Uploaded { build_id, digest } => (
            "upload",
            true,
            None,
            None,
            None,
            Some(*build_id),
            Some(*digest),
        ),
    };
    tx.query_one(
        "INSERT INTO builds (id, project_id, service_name, status, builder, source, source_ready, \
         repository_url, branch, subdirectory, wanted_commit, source_build_id, source_digest, \
         image_repository, image_tag, build_args, attempts, log_lines, log_bytes, log_base, log_full, \
         retry_of, created_by, created_by_name, created_at_ms, queued_at_ms) \
         VALUES (?1, ?2, ?3, 'pending', ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, \
         0, 0, 0, 0, 0, ?16, ?17, ?18, ?19, ?19) RETURNING *",
        params![
            new.id,
            new.project_id,
            new.service_name.as_str(),
            new.builder.as_str(),
            source,
            ready,
            url,
            branch,
            new.subdirectory,
            commit,
            source_build,
            digest,
            new.image_repository.as_str(),
            new.image_tag.as_str(),
            new.build_args.as_str(),
            new.retry_of,
            caller.id,
            caller.username.as_str(),
            new.now,
        ],
    )
    .await
}

/// The build, if the caller may see its project.
pub(crate) async fn build_find(
    db: &Db,
    caller: &Caller,
    id: BuildId,
) -> Result<Option<BuildRow>, DbError> {
    let mut conditions = Conditions::new();
    conditions.and("b.id = ?", params![id]);
    only_visible(&mut conditions, "b.project_id", caller, true);
    let statement = format!("SELECT b.* FROM builds b {}", conditions.text());
    db.query_optional(&statement, conditions.parameters()).await
}

/// The build, for the platform itself.
pub(crate) async fn build_find_for_system(
    db: &Db,
    id: BuildId,
) -> Result<Option<BuildRow>, DbError> {
    db.query_optional("SELECT * FROM builds WHERE id = ?1", params![id])
        .await
}

/// Which builds are asked for.
#[derive(Debug, Default)]
pub(crate) struct BuildFilter {
    pub(crate) project_id: Option<ProjectId>,
    pub(crate) service_name: Option<String>,
    pub(crate) status: Option<BuildStatus>,
    /// Of every project, for administrators who ask for that.
    pub(crate) everywhere: bool,
}

/// What a filter says of builds the caller may see.
fn listed(caller: &Caller, filter: &BuildFilter) -> Conditions {
    let mut conditions = Conditions::new();
    if let Some(project) = filter.project_id {
        conditions.and("b.project_id = ?", params![project]);
    }
    only_visible(&mut conditions, "b.project_id", caller, filter.everywhere);
    if let Some(service) = &filter.service_name {
        conditions.and("b.service_name = ?", params![service]);
    }
    if let Some(status) = filter.status {
        conditions.and("b.status = ?", params![status.as_str()]);
    }
    conditions
}

/// One page of the builds the caller may see, newest first, and how many there are.
pub(crate) async fn build_list(
    db: &Db,
    caller: &Caller,
    filter: &BuildFilter,
    paging: Paging,
) -> Result<(Vec<BuildRow>, u64), DbError> {
    listed(caller, filter)
        .page(
            db,
            "SELECT b.* FROM builds b",
            "SELECT count(*) FROM builds b",
            "b.created_at_ms DESC, b.id DESC",
            paging,
        )
        .await
}

/// What whoever asked for the build may do in its project now; nothing when that is no longer a member.
pub(crate) async fn build_creator_role(db: &Db, id: BuildId) -> Result<Option<String>, DbError> {
    let role: Option<(String,)> = db
        .query_optional(
            "SELECT m.role FROM builds b JOIN project_members m \
             ON m.project_id = b.project_id AND m.user_id = b.created_by WHERE b.id = ?1",
            params![id],
        )
        .await?;
    Ok(role.map(|(role,)| role))
}

/// Builds that wait or run: of the project, and of the user.
pub(crate) async fn build_count_active(
    db: &Db,
    project: ProjectId,
    user: UserId,
) -> Result<(u32, u32), DbError> {
    db.query_one(
        "SELECT (SELECT count(*) FROM builds WHERE project_id = ?1 AND status IN ('pending', 'building')), \
         (SELECT count(*) FROM builds WHERE created_by = ?2 AND status IN ('pending', 'building'))",
        params![project, user],
    )
    .await
}

/// Ends a build that is not finished, on a user's wish. The runner learns of it by 410, since the
/// lease is no longer the build's. Nothing when it was finished already.
pub(crate) async fn build_cancel(
    tx: &Tx,
    id: BuildId,
    project: ProjectId,
    now: Timestamp,
) -> Result<Option<BuildRow>, DbError> {
    tx.query_optional(
        "UPDATE builds SET status = 'cancelled', lease_id = NULL, lease_expires_at_ms = NULL, \
         completed_at_ms = ?3 WHERE id = ?1 AND project_id = ?2 AND status IN ('pending', 'building') \
         RETURNING *",
        params![id, project, now],
    )
    .await
}

/// Records the uploaded source of a build that waits for it. Nothing when it does not.
pub(crate) async fn build_source_arrived(
    tx: &Tx,
    id: BuildId,
    digest: &str,
    now: Timestamp,
) -> Result<Option<BuildRow>, DbError> {
    tx.query_optional(
        "UPDATE builds SET source_ready = 1, source_digest = ?2, queued_at_ms = ?3 \
         WHERE id = ?1 AND status = 'pending' AND source_ready = 0 RETURNING *",
        params![id, digest, now],
    )
    .await
}
