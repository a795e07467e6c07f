//! `token create|list|revoke`.

use serde_json::{Value, json};

use super::account_args::TokenCommand;
use super::http::ApiClient;
use super::output::Output;
use super::resolve;

/// Runs a token command.
pub(crate) async fn run(
    client: &mut ApiClient,
    command: TokenCommand,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create {
            name,
            scopes,
            expires,
        } => {
            let mut body = json!({ "name": name, "scopes": scopes });
            if let Some(expires) = expires {
                body["expires_at"] = expires.to_string().into();
            }
            let token = client.post("/auth/tokens", &body).await?;
            output.progress(&format!(
                "This token ends at {}. It is not shown again:",
                token["expires_at"].as_str().unwrap_or_default()
            ));
            output.result(&token, token["token"].as_str().unwrap_or_default());
        }
        TokenCommand::List => {
            let mut rows = client.list("/auth/tokens").await?;
            if !output.is_json() {
                rows.iter_mut().for_each(words_of_scopes);
            }
            output.table(
                &rows,
                &[
                    ("ID", "id"),
                    ("NAME", "name"),
                    ("SCOPES", "scopes"),
                    ("EXPIRES", "expires_at"),
                    ("LAST USED", "last_used_at"),
                ],
                "No API tokens: `nokube token create NAME --scope builds:write`.",
            );
        }
        TokenCommand::Revoke { id } => {
            client
                .delete(&format!("/auth/tokens/{}", resolve::encoded(&id)))
                .await?;
            output.result(&json!({ "revoked": id }), "Token revoked.");
        }
    }
    Ok(())
}

fn words_of_scopes(token: &mut Value) {
    let scopes = token["scopes"].as_array().into_iter().flatten();
    let words: Vec<&str> = scopes.filter_map(Value::as_str).collect();
    token["scopes"] = words.join(" ").into();
}
