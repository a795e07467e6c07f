//! `register`, `login`, `logout`, `whoami`.

use std::io::{IsTerminal as _, Read as _};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::args::{LoginArgs, RegisterArgs};
use super::credentials::CredentialsFile;
use super::http::ApiClient;
use super::output::Output;

/// Creates an account and signs in with it.
pub(crate) async fn register(args: &RegisterArgs, output: Output) -> anyhow::Result<()> {
    let mut client = ApiClient::anonymous(&args.login.url)?;
    let mut body = identity(&args.login.username);
    body["password"] = password(&args.login, true)?.into();
    if let Some(email) = &args.email {
        body["email"] = email.as_str().into();
    }
    if let Some(code) = &args.setup_code {
        body["setup_code"] = code.as_str().into();
    }
    let answer = client.post("/auth/register", &body).await?;
    client.keep_session(&answer)?;
    signed_in(&client, &answer, output);
    Ok(())
}

/// Signs in.
pub(crate) async fn login(args: &LoginArgs, output: Output) -> anyhow::Result<()> {
    let mut client = ApiClient::anonymous(&args.url)?;
    let mut body = identity(&args.username);
    body["password"] = password(args, false)?.into();
    let answer = client.post("/auth/login", &body).await?;
    client.keep_session(&answer)?;
    signed_in(&client, &answer, output);
    Ok(())
}

/// Ends the session on the platform and forgets it here, in that order; here also when the platform
/// no longer knows it.
pub(crate) async fn logout(output: Output) -> anyhow::Result<()> {
    let mut client = ApiClient::signed_in()?;
    let body = json!({ "refresh_token": client.refresh_token() });
    let ended = client.post("/auth/logout", &body).await;
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
}

fn password(args: &LoginArgs, twice: bool) -> anyhow::Result<String> {
    if args.password_stdin {
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
