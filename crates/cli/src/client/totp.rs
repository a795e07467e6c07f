//! `totp enable` and `totp disable`: the second factor of the account.

use serde_json::json;

use super::account::{add_code, password, second_factor};
use super::account_args::TotpCommand;
use super::http::ApiClient;
use super::output::Output;

/// Runs one of its commands.
pub(crate) async fn run(
    client: &mut ApiClient,
    command: &TotpCommand,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        TotpCommand::Enable {
            code,
            password_stdin,
        } => enable(client, code.as_deref(), *password_stdin, output).await,
        TotpCommand::Disable {
            code,
            password_stdin,
        } => disable(client, code.as_deref(), *password_stdin, output).await,
    }
}

/// The secret is shown, a code of it asked for, and only then it counts. With `code` the program has the
/// secret already.
async fn enable(
    client: &mut ApiClient,
    code: Option<&str>,
    password_stdin: bool,
    output: Output,
) -> anyhow::Result<()> {
    let code = match code {
        Some(code) => code.to_owned(),
        None => {
            let body = json!({ "password": password(password_stdin, false)? });
            let begun = client.post("/auth/totp", &body).await?;
            let text = |name: &str| begun[name].as_str().unwrap_or_default().to_owned();
            if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
                output.progress(&format!(
                    "Add this to an authenticator program:\n  {}\n  secret: {}",
                    text("uri"),
                    text("secret")
                ));
                second_factor(None)?
            } else {
                // A program goes on with `--code`.
                let words = format!(
                    "{}\nRun `nokube totp enable --code <code>` to go on.",
                    text("uri")
                );
                output.result(&begun, &words);
                return Ok(());
            }
        }
    };
    let confirmed = client
        .post("/auth/totp/confirm", &json!({ "code": code.trim() }))
        .await?;
    // Where everybody needs one, the present token was good for setting it up and no more.
    client.drop_access_token()?;
    let codes: Vec<&str> = (confirmed["recovery_codes"].as_array().into_iter().flatten())
        .filter_map(serde_json::Value::as_str)
        .collect();
    output.result(
        &confirmed,
        &format!(
            "The second factor is on. Each of these signs in once without the device; keep them elsewhere:\n{}",
            codes.join("\n")
        ),
    );
    Ok(())
}

async fn disable(
    client: &mut ApiClient,
    code: Option<&str>,
    password_stdin: bool,
    output: Output,
) -> anyhow::Result<()> {
    let mut body = json!({ "password": password(password_stdin, false)? });
    add_code(&mut body, "code", &second_factor(code)?);
    client.delete_with("/auth/totp", &body).await?;
    output.result(
        &json!({ "enabled": false }),
        "The second factor is taken away.",
    );
    Ok(())
}
