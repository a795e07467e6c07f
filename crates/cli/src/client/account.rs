//! `register`, `login`, `logout`, `whoami`, `passwd`.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::account_args::{InviteArgs, LoginArgs, PasswdArgs, RegisterArgs};
use super::credentials::CredentialsFile;
use super::http::{ApiClient, ApiError};
use super::output::Output;

/// Creates an account and signs in with it.
pub(crate) async fn register(args: &RegisterArgs, output: Output) -> anyhow::Result<()> {
    let mut client = ApiClient::anonymous(&args.url)?;
    let mut body = identity(&args.username);
    body["password"] = password(args.password_stdin, true)?.into();
    if let Some(email) = &args.email {
        body["email"] = email.as_str().into();
    }
    if let Some(code) = &args.setup_code {
        body["setup_code"] = code.as_str().into();
    }
    if let Some(code) = &args.invitation_code {
        body["invitation_code"] = code.as_str().into();
    }
    let answer = client.post("/auth/register", &body).await?;
    client.keep_session(&answer)?;
    signed_in(&client, &answer, output);
    Ok(())
}

/// Signs in.
pub(crate) async fn login(args: &LoginArgs, output: Output) -> anyhow::Result<()> {
    let mut client = ApiClient::anonymous(&args.url)?;
    if args.token {
        let answer = client.keep_token(&api_token()?).await?;
        signed_in(&client, &answer, output);
        return Ok(());
    }
    let username = args.username.as_deref().unwrap_or_default();
    let mut body = identity(username);
    body["password"] = password(args.password_stdin, false)?.into();
    if let Some(code) = &args.code {
        add_code(&mut body, "totp_code", code);
    }
    let answer = match client.post("/auth/login", &body).await {
        Err(error) if args.code.is_none() && needs_second_factor(&error) => {
            let code = second_factor(None)?;
            add_code(&mut body, "totp_code", &code);
            client.post("/auth/login", &body).await?
        }
        other => other?,
    };
    client.keep_session(&answer)?;
    signed_in(&client, &answer, output);
    Ok(())
}

/// Ends the session on the platform and forgets it here, in that order; here also when the platform
/// no longer knows it.
pub(crate) async fn logout(output: Output) -> anyhow::Result<()> {
    let mut client = ApiClient::signed_in()?;
    // An API token has no session: it is forgotten here, and revoked with `token revoke`.
    let ended = if client.has_api_token() {
        Ok(Value::Null)
    } else {
        let body = json!({ "refresh_token": client.refresh_token() });
        client.post("/auth/logout", &body).await
    };
    CredentialsFile::lock()?.remove()?;
    ended.context("the tokens are removed here, but the platform could not be told")?;
    output.result(&json!({ "signed_in": false }), "Signed out.");
    Ok(())
}

/// Shows the account.
pub(crate) async fn whoami(client: &mut ApiClient, output: Output) -> anyhow::Result<()> {
    let user = client.get("/auth/me").await?;
    let role = user["role"].as_str().unwrap_or_default();
    output.result(
        &user,
        &format!("{} ({role}) on {}", client.username(), client.url()),
    );
    Ok(())
}

/// Invites somebody to register.
pub(crate) async fn invite(
    client: &mut ApiClient,
    args: &InviteArgs,
    output: Output,
) -> anyhow::Result<()> {
    let body = json!({ "email": args.email, "expires_in_hours": args.hours });
    let made = client.post("/auth/invitations", &body).await?;
    let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
    output.result(
        &made,
        &format!(
            "Good until {}, shown this once:\n{}\nnokube register --url {} --invitation-code … --username …",
            text("expires_at"),
            text("code"),
            client.url()
        ),
    );
    Ok(())
}

/// Changes the password.
pub(crate) async fn passwd(
    client: &mut ApiClient,
    args: &PasswdArgs,
    output: Output,
) -> anyhow::Result<()> {
    let (current, new) = both_passwords(args.password_stdin)?;
    let body = json!({
        "current_password": current, "new_password": new, "revoke_tokens": args.revoke_tokens,
    });
    client.post("/auth/password", &body).await?;
    output.result(
        &json!({ "changed": true }),
        "The password is changed, and your other sessions have ended.",
    );
    Ok(())
}

fn needs_second_factor(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<ApiError>()
        .and_then(ApiError::problem)
        .is_some_and(|problem| problem["type"] == "/problems/second-factor-required")
}

/// Six digits are a program's code (`name`), everything else is a recovery code.
pub(super) fn add_code(body: &mut Value, name: &str, code: &str) {
    let code = code.trim();
    let is_recovery = code.chars().filter(char::is_ascii_alphanumeric).count() > 6;
    let field = if is_recovery { "recovery_code" } else { name };
    body[field] = code.into();
}

/// A code that was given, or that a person types.
pub(super) fn second_factor(given: Option<&str>) -> anyhow::Result<String> {
    if let Some(code) = given {
        return Ok(code.to_owned());
    }
    if !std::io::stdin().is_terminal() {
        bail!("the account has a second factor: use --code");
    }
    Ok(rpassword::prompt_password("Code (or a recovery code): ")?)
}

fn identity(name: &str) -> Value {
    if name.contains('@') {
        json!({ "email": name })
    } else {
        json!({ "username": name })
    }
}

fn signed_in(client: &ApiClient, answer: &Value, output: Output) {
    // The tokens are in the file; showing them would put them into scroll-back and CI logs.
    output.result(
        &json!({ "url": client.url(), "user": answer["user"] }),
        &format!("Signed in to {} as {}.", client.url(), client.username()),
    );
    // An API token has its own scopes, on purpose.
    if !answer["scope"].is_null() && !client.has_api_token() {
        output.progress(
            "This platform demands a second factor: run `nokube totp enable` before anything else.",
        );
    }
}

/// A token is no argument: those are in the list of processes and in the shell's history.
fn api_token() -> anyhow::Result<String> {
    if let Ok(token) = std::env::var("NOKUBE_TOKEN") {
        return Ok(token);
    }
    if std::io::stdin().is_terminal() {
        return Ok(rpassword::prompt_password("API token: ")?);
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("cannot read the token")?;
    Ok(text.trim().to_owned())
}

fn both_passwords(from_stdin: bool) -> anyhow::Result<(String, String)> {
    if from_stdin {
        let mut lines = std::io::stdin().lock().lines();
        let mut line = || {
            lines
                .next()
                .context("two lines are needed: the present password and the new one")
        };
        return Ok((line()??, line()??));
    }
    let given = |name: &str| std::env::var(name).ok();
    if let Some(both) = given("NOKUBE_PASSWORD").zip(given("NOKUBE_NEW_PASSWORD")) {
        return Ok(both);
    }
    if !std::io::stdin().is_terminal() {
        bail!("no passwords: use --password-stdin, or set NOKUBE_PASSWORD and NOKUBE_NEW_PASSWORD");
    }
    let current = rpassword::prompt_password("Present password: ")?;
    let new = rpassword::prompt_password("New password: ")?;
    if rpassword::prompt_password("Once more: ")? != new {
        bail!("the two passwords differ");
    }
    Ok((current, new))
}

pub(super) fn password(from_stdin: bool, twice: bool) -> anyhow::Result<String> {
    if from_stdin {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the password")?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    if let Ok(password) = std::env::var("NOKUBE_PASSWORD") {
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        bail!("no password: use --password-stdin or set NOKUBE_PASSWORD");
    }
    let password = rpassword::prompt_password("Password: ")?;
    if twice && rpassword::prompt_password("Once more: ")? != password {
        bail!("the two passwords differ");
    }
    Ok(password)
}
