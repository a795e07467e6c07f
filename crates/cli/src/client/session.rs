//! `session list|end`.

use serde_json::{Value, json};

use super::account_args::SessionCommand;
use super::http::ApiClient;
use super::output::Output;
use super::resolve;

/// Runs a session command.
pub(crate) async fn run(
    client: &mut ApiClient,
    command: SessionCommand,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        SessionCommand::List => {
            let mut rows = client.list("/auth/sessions").await?;
            if !output.is_json() {
                rows.iter_mut().for_each(mark);
            }
            output.table(
                &rows,
                &[
                    ("ID", "id"),
                    ("THIS", "current"),
                    ("ADDRESS", "address"),
                    ("PROGRAM", "user_agent"),
                    ("LAST USED", "last_used_at"),
                ],
                "No sessions: you are signed in with an API token.",
            );
        }
        SessionCommand::End { id } => {
            client
                .delete(&format!("/auth/sessions/{}", resolve::encoded(&id)))
                .await?;
            output.result(&json!({ "ended": id }), "Session ended.");
        }
    }
    Ok(())
}

fn mark(session: &mut Value) {
    session["current"] = match session["current"] {
        Value::Bool(true) => "*".into(),
        _ => "".into(),
    };
}
