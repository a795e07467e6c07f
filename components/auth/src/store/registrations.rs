//! Names and addresses in the course of registration.

use nokube_domain::Timestamp;
use nokube_guest::db::{DbError, Tx};
use nokube_guest::params;

/// As long as a registration may take: three seconds for a turn, a hash, and as much to spare.
const CLAIM_MS: i64 = 8_000;

/// Claims a name or an address; false while another registration has it.
pub(crate) async fn registration_claim(
    tx: &Tx,
    claim: &str,
    now: Timestamp,
) -> Result<bool, DbError> {
    tx.execute(
        "DELETE FROM registrations WHERE until_ms <= ?1",
        params![now],
    )
    .await?;
    let claimed = tx
        .execute_counted(
            "INSERT INTO registrations (claim, until_ms) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![claim, now.plus_millis(CLAIM_MS)],
        )
        .await?;
    Ok(claimed == 1)
}

/// Gives a claim back.
pub(crate) async fn registration_release(tx: &Tx, claim: &str) -> Result<(), DbError> {
    tx.execute("DELETE FROM registrations WHERE claim = ?1", params![claim])
        .await?;
    Ok(())
}
