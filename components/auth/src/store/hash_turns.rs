//! Turns at hashing.

use nokube_domain::Timestamp;
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::params;

/// How many have a turn, and how many wait for one; those whose lease is over are dropped.
pub(crate) async fn hash_turns_count(tx: &Tx, now: Timestamp) -> Result<(u64, u64), DbError> {
    tx.execute("DELETE FROM hash_turns WHERE until_ms <= ?1", params![now])
        .await?;
    tx.query_one(
        "SELECT count(*) FILTER (WHERE running = 1), count(*) FILTER (WHERE running = 0) \
         FROM hash_turns",
        &[],
    )
    .await
}

/// Queues, or begins at once.
pub(crate) async fn hash_turn_insert(
    tx: &Tx,
    running: bool,
    until: Timestamp,
) -> Result<i64, DbError> {
    let (id,): (i64,) = tx
        .query_one(
            "INSERT INTO hash_turns (running, until_ms) VALUES (?1, ?2) RETURNING id",
            params![i64::from(running), until],
        )
        .await?;
    Ok(id)
}

/// Whether it is this one's turn: something is free, and nobody waits for longer.
pub(crate) async fn hash_turn_has_come(
    db: &Db,
    id: i64,
    at_once: u64,
    now: Timestamp,
) -> Result<bool, DbError> {
    let (running, before): (u64, u64) = db
        .query_one(
            "SELECT count(*) FILTER (WHERE running = 1), \
             count(*) FILTER (WHERE running = 0 AND id < ?1) \
             FROM hash_turns WHERE until_ms > ?2",
            params![id, now],
        )
        .await?;
    Ok(before == 0 && running < at_once)
}

/// Keeps a place in the queue.
pub(crate) async fn hash_turn_renew(tx: &Tx, id: i64, until: Timestamp) -> Result<(), DbError> {
    tx.execute(
        "UPDATE hash_turns SET until_ms = ?2 WHERE id = ?1",
        params![id, until],
    )
    .await?;
    Ok(())
}

/// Begins a turn.
pub(crate) async fn hash_turn_begin(tx: &Tx, id: i64, until: Timestamp) -> Result<bool, DbError> {
    let begun = tx
        .execute_counted(
            "UPDATE hash_turns SET running = 1, until_ms = ?2 WHERE id = ?1",
            params![id, until],
        )
        .await?;
    Ok(begun == 1)
}

/// Ends a turn, or the wait for one.
pub(crate) async fn hash_turn_end(tx: &Tx, id: i64) -> Result<(), DbError> {
    tx.execute("DELETE FROM hash_turns WHERE id = ?1", params![id])
        .await?;
    Ok(())
}
