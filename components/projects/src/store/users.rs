//! What the platform's database knows of a user.

use nokube_domain::UserId;
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::params;

/// What stands for the name of a user whose account was deleted. No user can have it: it has a space.
const DELETED: &str = "deleted user";

/// How many projects a user owns.
pub(crate) async fn projects_owned_count(db: &Db, user: UserId) -> Result<u64, DbError> {
    let (count,) = db
        .query_one(
            "SELECT count(*) FROM projects WHERE owner_id = ?1",
            params![user],
        )
        .await?;
    Ok(count)
}

/// Ends a user's memberships, deletes the user's events with the private address of their calendar, and takes the
/// name, the address and the particulars out of what it did. That it was done stays, under an id that is never given
/// out again.
pub(crate) async fn user_forget(tx: &Tx, user: UserId) -> Result<(), DbError> {
    tx.execute(
        "DELETE FROM project_members WHERE user_id = ?1",
        params![user],
    )
    .await?;
    tx.execute(
        "DELETE FROM idempotency_keys WHERE user_id = ?1",
        params![user],
    )
    .await?;
    tx.execute("DELETE FROM events WHERE owner_id = ?1", params![user])
        .await?;
    tx.execute(
        "DELETE FROM event_owners WHERE owner_id = ?1",
        params![user],
    )
    .await?;
    tx.execute("DELETE FROM event_feeds WHERE owner_id = ?1", params![user])
        .await?;
    tx.execute(
        "UPDATE audit SET actor_name = ?2, address = NULL, detail = '{}', \
         target = CASE WHEN target LIKE 'member:%' THEN 'member:' || ?2 ELSE target END \
         WHERE actor_id = ?1",
        params![user, DELETED],
    )
    .await?;
    Ok(())
}
