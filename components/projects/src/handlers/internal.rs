//! What other parts of the platform may ask.

use nokube_api::auth::UserForgotten;
use nokube_api::events::EventFeed;
use nokube_api::export::{ExportedActivity, ExportedEvent, Membership, OwnerData};
use nokube_domain::event::Period;
use nokube_domain::{EventId, UserId};
use nokube_guest::db::Db;
use nokube_guest::{Audit, Ctx, Response, platform};
use serde_json::json;

use super::audit::{entries, entry_shown};
use crate::error::ProjectsError;
use crate::store::audit::{AuditFilter, AuditRow};
use crate::store::users::{
    EventRow, events_of_user, feed_of_user, memberships_of_user, projects_owned_count, user_forget,
};

/// 200 × at most 2,200 characters are less than 3 MB of JSON; a caller within the platform reads 8.
const EVENTS_AT_ONCE: usize = 200;
/// 5,000 × about 400 bytes.
const ENTRIES_AT_ONCE: u64 = 5_000;
/// 5,000 × about 150 bytes, and more projects than anyone works on.
const MOST_MEMBERSHIPS: u64 = 5_000;

/// `GET /internal/owners/{id}?after=`: what [`forget_user`] would take away, for the user's own export.
pub(crate) async fn get_user_data(cx: Ctx) -> Result<Response, ProjectsError> {
    let id = cx.parameter("id", "user", UserId::parse)?;
    let after = cx.query_as("after", EventId::parse)?;
    let db = platform::open(&cx).await?;
    let mut data = match after {
        None => all_but_events(&db, id).await?,
        Some(_) => OwnerData::default(),
    };
    // One more than is shown tells whether there is more.
    let mut events = events_of_user(&db, id, after, EVENTS_AT_ONCE + 1).await?;
    let has_more = events.len() > EVENTS_AT_ONCE;
    events.truncate(EVENTS_AT_ONCE);
    let last = events.last().filter(|_| has_more);
    data.next = last.map(|event| event.id.to_string());
    data.events = events.into_iter().map(event_exported).collect();
    Ok(Response::ok(&data))
}

async fn all_but_events(db: &Db, id: UserId) -> Result<OwnerData, ProjectsError> {
    let memberships = memberships_of_user(db, id, MOST_MEMBERSHIPS).await?;
    let feed = feed_of_user(db, id).await?;
    let own = AuditFilter {
        actor: Some(id),
        ..AuditFilter::default()
    };
    let (activity, activity_cursor) = entries(db, &own, None, ENTRIES_AT_ONCE).await?;
    Ok(OwnerData {
        memberships: memberships
            .into_iter()
            .map(|row| Membership {
                project_id: row.project_id.0,
                project: row.project_name,
                role: row.role,
                added_at: row.added_at_ms.to_string(),
            })
            .collect(),
        calendar_feed: feed.map(|row| EventFeed {
            created_at: row.created_at_ms.to_string(),
            last_read_at: row.last_read_at_ms.map(|at| at.to_string()),
        }),
        activity: activity.into_iter().map(activity_exported).collect(),
        activity_cursor,
        ..OwnerData::default()
    })
}

fn activity_exported(mut row: AuditRow) -> ExportedActivity {
    let address = row.address.take();
    ExportedActivity {
        entry: entry_shown(row),
        address,
    }
}

fn event_exported(row: EventRow) -> ExportedEvent {
    let period = Period::from_parts(row.is_whole_days, row.start_ms, row.end_ms);
    ExportedEvent {
        id: row.id.to_string(),
        title: row.title,
        description: row.description,
        start_date: period.start().to_string(),
        end_date: period.end().to_string(),
        all_day: period.is_whole_days(),
        status: row.status,
        created_at: row.created_at_ms.to_string(),
        updated_at: row.updated_at_ms.to_string(),
    }
}

/// `DELETE /internal/owners/{id}`: forgets a user whose account is about to be deleted. While it owns
/// projects nothing is done, and how many they are is the answer.
pub(crate) async fn forget_user(cx: Ctx) -> Result<Response, ProjectsError> {
    let id = cx.parameter("id", "user", UserId::parse)?;
    let db = platform::open(&cx).await?;
    let owned_projects = db
        .transaction(async |tx| {
            let owned = projects_owned_count(tx, id).await?;
            if owned == 0 {
                user_forget(tx, id, cx.now()).await?;
                let audit = Audit {
                    action: "user.forget",
                    target: format!("user:{id}"),
                    project_id: None,
                    detail: json!({}),
                    actor: None,
                };
                audit.write(&cx, tx).await?;
            }
            Ok::<_, ProjectsError>(owned)
        })
        .await?;
    Ok(Response::ok(&UserForgotten { owned_projects }))
}
