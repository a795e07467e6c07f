//! New accounts.

use nokube_api::auth::SignedIn;
use nokube_domain::{Email, UserRole, Username};
use nokube_guest::db::{Db, DbError, Tx};
use nokube_guest::{Audit, Caller, Ctx, Error, Fields, Response};
use serde_json::json;

use super::sessions::begin_session;
use super::user_shown;
use crate::admission::Admission;
use crate::error::AuthError;
use crate::limits::{self, Limit};
use crate::password::Password;
use crate::store::registrations::{registration_claim, registration_release};
use crate::store::setup::setup_finish;
use crate::store::users::{NewUser, UserRow, email_is_taken, user_insert, username_is_taken};
use crate::{hashing, store, tokens};

/// Names made from addresses get a number while they are taken; a hundred of the same is enough.
const NAME_ATTEMPTS: u32 = 100;
const NAMED: &str = "must not be the name or the address";

struct Registration {
    username: Option<Username>,
    email: Option<Email>,
    password: Password,
    setup_code: Option<String>,
    invitation_code: Option<String>,
}

/// `POST /auth/register`.
pub(crate) async fn register_user(mut cx: Ctx) -> Result<Response, AuthError> {
    let mut request = parse(cx.fields().await?)?;
    let db = store::open(&cx).await?;
    let standings = limits::take(&cx, &db, &[&Limit::register_from_address(&cx)?]).await?;
    let admission = Admission::of(
        &cx,
        &db,
        request.setup_code.as_deref(),
        request.invitation_code.as_deref(),
        request.email.as_ref(),
    )
    .await?;
    request.email = request.email.or_else(|| admission.email());
    let claims = claim(&cx, &db, &request).await?;
    let made = make_account(&cx, &db, &request, &admission, &claims).await;
    if made.is_err() {
        // What is not given back ends by itself: the first error is the one to tell.
        let _ = release(&db, &claims).await;
    }
    let (user, session_id, refresh) = made?;
    let tokens = tokens::issue(&cx, &db, &user, &session_id, refresh).await?;
    let user = user_shown(user);
    let answer = Response::json(201, &SignedIn { user, tokens }).location("/api/v1/auth/me");
    Ok(standings
        .iter()
        .fold(answer, |answer, standing| standing.on_response(answer)))
}

fn parse(mut fields: Fields) -> Result<Registration, AuthError> {
    let nothing_given = !fields.has("username") && !fields.has("email");
    let username = fields.optional_text("username", Username::parse);
    let email = fields.optional_text("email", Email::parse);
    let password = fields.text("password", Password::parse_new);
    let setup_code = fields.optional("setup_code", Ok::<String, String>);
    let invitation_code = fields.optional("invitation_code", Ok::<String, String>);
    if nothing_given {
        fields.fault("username", "is required, or an email");
    }
    if let Some(password) = &password {
        let made = email.as_ref().map(|email| Username::from_email(email, 0));
        let name = username.as_ref().or(made.as_ref());
        let name = name.map_or("", Username::as_str);
        if password.is_name_of_its_user(name, email.as_ref().map(Email::as_str)) {
            fields.fault("password", NAMED);
        }
    }
    let registration = fields.finish(|| {
        Some(Registration {
            username,
            email,
            password: password?,
            setup_code,
            invitation_code,
        })
    })?;
    if registration.username.is_none() && registration.email.is_none() {
        let reason = nokube_domain::Invalid::new("is required, or an email");
        return Err(Error::invalid("/username", &reason).into());
    }
    Ok(registration)
}

/// Claims the name and the address, so that of many who want the same one hashes and all others learn
/// at once that it is taken.
async fn claim(cx: &Ctx, db: &Db, request: &Registration) -> Result<Vec<String>, AuthError> {
    let username = request.username.as_ref();
    let email = request.email.as_ref();
    let claims: Vec<(&'static str, String)> = [
        username.map(|name| ("username", format!("username:{}", name.as_str()))),
        email.map(|email| ("email", format!("email:{}", email.as_str()))),
    ]
    .into_iter()
    .flatten()
    .collect();
    db.transaction(async |tx| {
        if let Some(name) = username
            && username_is_taken(tx, name).await?
        {
            return Err(AuthError::Taken("username"));
        }
        if let Some(email) = email
            && email_is_taken(tx, email).await?
        {
            return Err(AuthError::Taken("email"));
        }
        for (what, claim) in &claims {
            if !registration_claim(tx, claim, cx.clock()).await? {
                return Err(AuthError::Taken(what));
            }
        }
        Ok(())
    })
    .await?;
    Ok(claims.into_iter().map(|(_, claim)| claim).collect())
}

async fn release(db: &Db, claims: &[String]) -> Result<(), AuthError> {
    db.transaction(async |tx| {
        for claim in claims {
            registration_release(tx, claim).await?;
        }
        Ok(())
    })
    .await
}

/// Hashes the password, then makes the account and its first session.
async fn make_account(
    cx: &Ctx,
    db: &Db,
    request: &Registration,
    admission: &Admission,
    claims: &[String],
) -> Result<(UserRow, String, tokens::RefreshToken), AuthError> {
    // Slow on purpose, and outside the transaction: nobody else waits for it.
    let password_hash = hashing::hash(cx, db, &request.password).await?;
    let refresh = tokens::RefreshToken::generate(cx);
    let (user, session_id) = db
        .transaction(async |tx| {
            let user = insert_user(cx, tx, request, admission.role, &password_hash).await?;
            admission.spend(cx, tx, user.id).await?;
            for claim in claims {
                registration_release(tx, claim).await?;
            }
            let session_id = begin_session(cx, tx, user.id, &refresh).await?;
            Ok::<_, AuthError>((user, session_id))
        })
        .await?;
    Ok((user, session_id, refresh))
}

async fn insert_user(
    cx: &Ctx,
    tx: &Tx,
    request: &Registration,
    role: UserRole,
    password_hash: &str,
) -> Result<UserRow, AuthError> {
    let username = match (&request.username, &request.email) {
        (Some(username), _) => username.clone(),
        (None, Some(email)) => free_username(tx, email).await?,
        (None, None) => return Err(Error::Contradiction("neither name nor address").into()),
    };
    // The invitation's address, or a number in a name that was made, is not known before.
    let address = request.email.as_ref().map(Email::as_str);
    if request
        .password
        .is_name_of_its_user(username.as_str(), address)
    {
        let reason = nokube_domain::Invalid::new(NAMED);
        return Err(Error::invalid("/password", &reason).into());
    }
    let new = NewUser {
        username: &username,
        email: request.email.as_ref(),
        password_hash,
        role,
    };
    let user = user_insert(tx, &new, cx.now()).await.map_err(taken)?;
    if role == UserRole::Admin {
        match setup_finish(tx, user.id, cx.now()).await {
            Err(DbError::NotUnique(_)) => return Err(AuthError::SetupCodeRefused),
            other => other?,
        }
    }
    let actor = acting(&user, role);
    let audit = Audit {
        action: "user.register",
        target: format!("user:{}", user.id),
        project_id: None,
        detail: json!({ "username": user.username, "role": user.role }),
        actor: Some(&actor),
    };
    audit.write(cx, tx).await?;
    Ok(user)
}

async fn free_username(tx: &Tx, email: &Email) -> Result<Username, AuthError> {
    for attempt in 0..NAME_ATTEMPTS {
        let name = Username::from_email(email, attempt);
        if !username_is_taken(tx, &name).await? {
            return Ok(name);
        }
    }
    Err(AuthError::Taken("username"))
}

fn taken(error: DbError) -> AuthError {
    match error {
        DbError::NotUnique(columns) if columns.contains("users.username") => {
            AuthError::Taken("username")
        }
        DbError::NotUnique(columns) if columns.contains("users.email") => AuthError::Taken("email"),
        other => other.into(),
    }
}

/// Who acts, for the audit trail, before there is a token.
pub(crate) fn acting(user: &UserRow, role: UserRole) -> Caller {
    Caller {
        id: user.id,
        username: user.username.clone(),
        role,
        session_id: String::new(),
        scopes: None,
        expires_at_seconds: 0,
    }
}
