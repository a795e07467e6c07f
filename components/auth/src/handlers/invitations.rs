//! Invitations: what an administrator hands to somebody who shall register.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nokube_api::auth::{Invitation, NewInvitation};
use nokube_domain::{Email, Timestamp, Uuid7};
use nokube_guest::db::{Db, Tx};
use nokube_guest::{Audit, Caller, Ctx, Error, Fields, Response};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::live::require_admin;
use crate::error::AuthError;
use crate::store;
use crate::store::invitations::{self as rows, InvitationRow};

/// 160 bits: nobody guesses it, so a plain hash is enough at rest.
const CODE_BYTES: usize = 20;
/// Lets scanners for leaked secrets know what they found.
const CODE_PREFIX: &str = "nki_";
const HOUR_MS: i64 = 60 * 60 * 1_000;
/// A week.
const DEFAULT_HOURS: u32 = 7 * 24;
/// 30 days.
const MAX_HOURS: u32 = 30 * 24;
/// Open at a time: the list is for people.
const MAX_OPEN: u64 = 1_000;

/// Who may use it, and until when.
pub(crate) struct InvitationRequest {
    email: Option<Email>,
    hours: u32,
}

/// `POST /auth/invitations`. The only answer that has the code.
pub(crate) async fn create_invitation(mut cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let request = parse_invitation(cx.fields().await?)?;
    let db = store::open(&cx).await?;
    require_admin(&db, &caller).await?;
    let made = invitation_insert_for(&cx, &db, Some(&caller), &request).await?;
    let location = format!("/api/v1/auth/invitations/{}", made.invitation.id);
    Ok(Response::json(201, &made).location(location))
}

/// Makes one.
pub(crate) async fn invitation_insert_for(
    cx: &Ctx,
    db: &Db,
    caller: Option<&Caller>,
    request: &InvitationRequest,
) -> Result<NewInvitation, AuthError> {
    let random = URL_SAFE_NO_PAD.encode(cx.random::<CODE_BYTES>());
    let code = format!("{CODE_PREFIX}{random}");
    let row = db
        .transaction(async |tx| {
            if rows::invitations_open_count(tx, cx.now()).await? >= MAX_OPEN {
                return Err(AuthError::TooManyInvitations(MAX_OPEN));
            }
            let new = rows::NewInvitation {
                id: Uuid7::new(cx.now(), cx.random()),
                code_hash: &hash_code(&code),
                email: request.email.as_ref().map(Email::as_str),
                created_by: caller.map(|caller| caller.id),
                expires_at: cx.now().plus_millis(i64::from(request.hours) * HOUR_MS),
            };
            let row = rows::invitation_insert(tx, &new, cx.now()).await?;
            write_audit(cx, tx, caller, "invitation.create", &row.id).await?;
            Ok(row)
        })
        .await?;
    let invitation = shown(row, cx.now());
    Ok(NewInvitation { invitation, code })
}

pub(crate) fn parse_invitation(mut fields: Fields) -> Result<InvitationRequest, Error> {
    let email = fields.optional_text("email", Email::parse);
    let hours = fields.optional("expires_in_hours", |hours: u32| {
        if (1..=MAX_HOURS).contains(&hours) {
            Ok(hours)
        } else {
            Err("must be from 1 to 720")
        }
    });
    fields.finish(|| {
        Some(InvitationRequest {
            email,
            hours: hours.unwrap_or(DEFAULT_HOURS),
        })
    })
}

/// `GET /auth/invitations`: the newest first.
pub(crate) async fn list_invitations(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let paging = cx.paging()?;
    let db = store::open(&cx).await?;
    require_admin(&db, &caller).await?;
    let total = rows::invitations_count(&db).await?;
    let page = rows::invitations_page(&db, paging).await?;
    let data = page.into_iter().map(|row| shown(row, cx.now())).collect();
    Ok(paging.answer(&cx, data, total))
}

/// `GET /auth/invitations/{id}`.
pub(crate) async fn get_invitation(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let id = cx.parameter("id", "invitation", Uuid7::parse)?;
    let db = store::open(&cx).await?;
    require_admin(&db, &caller).await?;
    let row = rows::invitation_by_id(&db, &id.to_string()).await?;
    let row = row.ok_or(Error::NotFound("invitation"))?;
    Ok(cx.resource(200, &shown(row, cx.now())))
}

/// `DELETE /auth/invitations/{id}`: it can no longer be used. An account made with it stays.
pub(crate) async fn delete_invitation(cx: Ctx, caller: Caller) -> Result<Response, AuthError> {
    let id = cx.parameter("id", "invitation", Uuid7::parse)?.to_string();
    let db = store::open(&cx).await?;
    require_admin(&db, &caller).await?;
    db.transaction(async |tx| {
        let row = rows::invitation_by_id(tx, &id).await?;
        let row = row.ok_or(Error::NotFound("invitation"))?;
        cx.check_if_match(&shown(row, cx.now()))?;
        rows::invitation_delete(tx, &id).await?;
        write_audit(&cx, tx, Some(&caller), "invitation.delete", &id).await
    })
    .await?;
    Ok(Response::no_content())
}

/// What is kept of a code.
pub(crate) fn hash_code(code: &str) -> [u8; 32] {
    Sha256::digest(code.trim()).into()
}

async fn write_audit(
    cx: &Ctx,
    tx: &Tx,
    caller: Option<&Caller>,
    action: &'static str,
    id: &str,
) -> Result<(), AuthError> {
    let audit = Audit {
        action,
        target: format!("invitation:{id}"),
        project_id: None,
        detail: json!({}),
        actor: caller,
    };
    Ok(audit.write(cx, tx).await?)
}

fn shown(row: InvitationRow, now: Timestamp) -> Invitation {
    let status = if row.used_at_ms.is_some() {
        "used"
    } else if row.expires_at_ms <= now {
        "expired"
    } else {
        "open"
    };
    Invitation {
        id: row.id,
        email: row.email,
        status: status.to_owned(),
        created_by: row.created_by,
        created_at: row.created_at_ms.to_string(),
        expires_at: row.expires_at_ms.to_string(),
        used_by: row.used_by,
        used_at: (row.used_at_ms).map(|at| Timestamp::from_millis(at).to_string()),
    }
}
