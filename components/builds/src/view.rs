//! Rows as users see them.

use nokube_api::builds::Build;

use crate::store::builds::BuildRow;

/// A build on the wire.
pub(crate) fn build_view(row: BuildRow) -> Build {
    let duration_seconds = match (row.started_at_ms, row.completed_at_ms) {
        (Some(started), Some(completed)) => {
            let millis = completed.millis().saturating_sub(started.millis()).max(0);
            i32::try_from(millis)
                .ok()
                .map(|millis| f64::from(millis) / 1000.0)
        }
        _ => None,
    };
    Build {
        image_full_name: row.image_full_name(),
        build_id: row.id.to_string(),
        project_id: row.project_id.0,
        service_name: row.service_name,
        status: row.status,
        builder: row.builder,
        digest: row.digest,
        commit: row.built_commit.or(row.wanted_commit),
        created_at: row.created_at_ms.to_string(),
        started_at: row.started_at_ms.map(|time| time.to_string()),
        completed_at: row.completed_at_ms.map(|time| time.to_string()),
        duration_seconds,
        error_message: row.error_message,
        created_by: row.created_by_name,
        source: row.source,
        repository_url: row.repository_url,
        branch: row.branch,
        subdirectory: row.subdirectory,
        build_args: serde_json::from_str(&row.build_args).unwrap_or_default(),
        attempts: row.attempts,
        retry_of: row.retry_of,
    }
}
