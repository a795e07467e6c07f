//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a creating POST that is sent twice
//! creates once. The answer is kept for 24 hours, in the transaction that creates.

use nokube_domain::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::db::{Db, DbError, Tx};
use crate::dispatch::canonical;
use crate::platform::require_account;
use crate::response::Body;
use crate::{Caller, Ctx, Error, Response, params, row};

const KEPT_MS: i64 = 24 * 60 * 60 * 1000;
const KEY_CHARS: usize = 255;
/// Of one user. Without it a day of requests is a database full of answers; a program that repeats a request does so soon.
const KEPT_ANSWERS: u32 = 1_000;
/// What a kept answer brings back beside its body.
const KEPT_HEADERS: [&str; 3] = ["content-type", "location", "etag"];

row! {
    struct KeptAnswer {
        fingerprint: Vec<u8>,
        status: u16,
        headers: String,
        body: Vec<u8>,
    }
}

/// Runs `work` in a transaction, once per caller and key: a request with the same key, path and body
/// gets the first one's answer, another request with that key is refused. Without the header it is a
/// plain transaction. Errors are not kept: what failed may be tried again.
///
/// Call it after the body was read, with the platform's database.
///
/// # Errors
/// [`Error::BadIdempotencyKey`], [`Error::IdempotencyKeyReused`], [`Error::Unauthenticated`] to whoever has no account
/// any more, and what `work` returns.
pub async fn once<E: From<Error> + From<DbError>>(
    cx: &Ctx,
    db: &Db,
    caller: &Caller,
    work: impl AsyncFnOnce(&Tx) -> Result<Response, E>,
) -> Result<Response, E> {
    let Some(key) = cx.headers().get("idempotency-key") else {
        return db
            .transaction(async |tx| {
                require_account(tx, caller, cx.now()).await?;
                work(tx).await
            })
            .await;
    };
    if !(1..=KEY_CHARS).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::BadIdempotencyKey.into());
    }
    let fingerprint = fingerprint(cx);
    db.transaction(async |tx| {
        require_account(tx, caller, cx.now()).await?;
        if let Some(kept) = kept_answer(tx, caller, key, cx.now()).await? {
            return if kept.fingerprint == fingerprint {
                Ok(replay(kept))
            } else {
                Err(Error::IdempotencyKeyReused.into())
            };
        }
        let response = work(tx).await?;
        keep_answer(tx, caller, key, &fingerprint, &response, cx.now()).await?;
        Ok(response)
    })
    .await
}

/// Method, path by whichever of its names, query and body: what makes two requests the same.
fn fingerprint(cx: &Ctx) -> Vec<u8> {
    let mut hash = Sha256::new()
        .chain_update(cx.method.as_str())
        .chain_update([0])
        .chain_update(cx.operation)
        .chain_update([0])
        .chain_update(canonical(cx.path()));
    for (name, value) in cx.query_pairs() {
        hash.update([0]);
        hash.update(name);
        hash.update([1]);
        hash.update(value);
    }
    hash.update([0]);
    hash.update(cx.body_hash());
    hash.finalize().to_vec()
}

async fn kept_answer(
    tx: &Tx,
    caller: &Caller,
    key: &str,
    now: Timestamp,
) -> Result<Option<KeptAnswer>, DbError> {
    tx.execute(
        "DELETE FROM idempotency_keys WHERE created_at_ms <= ?1",
        params![now.plus_millis(-KEPT_MS)],
    )
    .await?;
    tx.query_optional(
        "SELECT fingerprint, status, headers, body FROM idempotency_keys \
         WHERE user_id = ?1 AND idempotency_key = ?2",
        params![caller.id, key],
    )
    .await
}

async fn keep_answer(
    tx: &Tx,
    caller: &Caller,
    key: &str,
    fingerprint: &[u8],
    response: &Response,
    now: Timestamp,
) -> Result<(), DbError> {
    let Body::Bytes(body) = &response.body else {
        return Ok(());
    };
    let headers: Vec<(&str, &str)> = KEPT_HEADERS
        .iter()
        .filter_map(|name| response.header_value(name).map(|value| (*name, value)))
        .collect();
    let headers = serde_json::to_string(&headers).expect("pairs of strings");
    tx.execute(
        "INSERT INTO idempotency_keys \
         (user_id, idempotency_key, fingerprint, status, headers, body, created_at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            caller.id,
            key,
            fingerprint,
            response.status,
            headers,
            body.as_slice(),
            now
        ],
    )
    .await?;
    // Later rows have higher numbers. The oldest lose their replay, and nothing else.
    tx.execute(
        "DELETE FROM idempotency_keys WHERE rowid IN (SELECT rowid FROM idempotency_keys \
         WHERE user_id = ?1 ORDER BY rowid DESC LIMIT -1 OFFSET ?2)",
        params![caller.id, KEPT_ANSWERS],
    )
    .await
}

fn replay(kept: KeptAnswer) -> Response {
    let mut response = Response::empty(kept.status).header("idempotency-replayed", "true");
    response.body = Body::Bytes(kept.body);
    let headers: Vec<(String, String)> = serde_json::from_str(&kept.headers).unwrap_or_default();
    for (name, value) in headers {
        response.headers.push((name.into(), value));
    }
    response
}
