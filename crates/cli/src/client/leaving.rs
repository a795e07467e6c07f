//! `account export` and `account delete`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use super::account::password;
use super::account_args::AccountCommand;
use super::credentials::CredentialsFile;
use super::http::ApiClient;
use super::output::Output;
use super::project::confirm;

/// Runs one of its commands.
pub(crate) async fn run(
    client: &mut ApiClient,
    command: &AccountCommand,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        AccountCommand::Export { file } => export(client, file.as_deref(), output).await,
        AccountCommand::Delete {
            password_stdin,
            yes,
        } => delete(client, *password_stdin, *yes, output).await,
    }
}

async fn export(client: &mut ApiClient, file: Option<&Path>, output: Output) -> anyhow::Result<()> {
    let export = client.get("/auth/me/export").await?;
    let text = serde_json::to_string_pretty(&export)?;
    if export["events_complete"] == false {
        output.progress("Not all events are in it: `nokube event list` has every one.");
    }
    match file {
        None => output.result(&export, &text),
        Some(file) => {
            write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
            let shown = file.display().to_string();
            output.result(
                &json!({ "file": shown }),
                &format!("What is kept about you is in {shown}."),
            );
        }
    }
    Ok(())
}

/// Nobody else reads it, and nothing is overwritten.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")
}

/// The session ends with the account, so that it is forgotten here as well.
async fn delete(
    client: &mut ApiClient,
    password_stdin: bool,
    yes: bool,
    output: Output,
) -> anyhow::Result<()> {
    let username = client.username().to_owned();
    if !yes {
        confirm(&username, "cannot be undone")?;
    }
    let body = json!({ "current_password": password(password_stdin, false)? });
    client.delete_with("/auth/me", &body).await?;
    CredentialsFile::lock()?.remove()?;
    output.result(
        &json!({ "deleted": username }),
        &format!("The account {username} is deleted."),
    );
    Ok(())
}
