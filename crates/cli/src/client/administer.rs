//! `user list|set-role|disable|enable` and `audit`.

use anyhow::Context as _;
use serde_json::{Value, json};

use super::account_args::{AuditArgs, UserCommand};
use super::http::ApiClient;
use super::output::Output;
use super::resolve;

/// The most entries that one request gets.
const PAGE: usize = 100;

/// Runs a user command.
pub(crate) async fn run(
    client: &mut ApiClient,
    command: UserCommand,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        UserCommand::List {
            query,
            role,
            disabled,
        } => {
            let disabled = disabled.then(|| "true".to_owned());
            let path = with_query(
                "/auth/users",
                &[("q", query), ("role", role), ("disabled", disabled)],
            );
            let rows = client.list(&path).await?;
            output.table(
                &rows,
                &[
                    ("ID", "id"),
                    ("NAME", "username"),
                    ("E-MAIL", "email"),
                    ("ROLE", "role"),
                    ("DISABLED SINCE", "disabled_at"),
                ],
                "There are no such users.",
            );
        }
        UserCommand::SetRole { user, role } => {
            let text = format!("{user} is {role} from the next token on.");
            change(client, &user, &json!({ "role": role }), &text, output).await?;
        }
        UserCommand::Disable { user } => {
            let text = format!("{user} is signed out and cannot sign in.");
            change(client, &user, &json!({ "disabled": true }), &text, output).await?;
        }
        UserCommand::Enable { user } => {
            let text = format!("{user} can sign in again.");
            change(client, &user, &json!({ "disabled": false }), &text, output).await?;
        }
    }
    Ok(())
}

async fn change(
    client: &mut ApiClient,
    user: &str,
    body: &Value,
    text: &str,
    output: Output,
) -> anyhow::Result<()> {
    let id = user_id(client, user).await?;
    let changed = client.patch(&format!("/auth/users/{id}"), body).await?;
    output.result(&changed, text);
    Ok(())
}

/// The id of the user with this name or number. Names may be digits alone, and come first.
async fn user_id(client: &mut ApiClient, wanted: &str) -> anyhow::Result<i64> {
    let path = with_query("/auth/users", &[("q", Some(wanted.to_owned()))]);
    let found = client.list(&path).await?;
    let named = found.iter().find(|user| user["username"] == wanted);
    named
        .and_then(|user| user["id"].as_i64())
        .or_else(|| wanted.parse().ok())
        .with_context(|| format!("there is no user {wanted}: see `nokube user list`"))
}

/// Shows the newest entries of the audit trail.
pub(crate) async fn audit(
    client: &mut ApiClient,
    args: &AuditArgs,
    output: Output,
) -> anyhow::Result<()> {
    let wanted = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut rows: Vec<Value> = Vec::new();
    let mut cursor = None;
    while rows.len() < wanted {
        let limit = PAGE.min(wanted - rows.len());
        let path = with_query(
            "/auth/audit",
            &[
                ("action", args.action.clone()),
                ("actor", args.actor.clone()),
                ("from", args.since.map(|at| at.to_string())),
                ("to", args.until.map(|at| at.to_string())),
                ("limit", Some(limit.to_string())),
                ("cursor", cursor),
            ],
        );
        let mut page = client.get(&path).await?;
        if let Value::Array(entries) = page["data"].take() {
            rows.extend(entries);
        }
        cursor = page["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    output.table(
        &rows,
        &[
            ("TIME", "time"),
            ("ACTOR", "actor"),
            ("ACTION", "action"),
            ("TARGET", "target"),
            ("ADDRESS", "address"),
        ],
        "There are no such entries.",
    );
    Ok(())
}

fn with_query(path: &str, pairs: &[(&str, Option<String>)]) -> String {
    let given: Vec<String> = pairs
        .iter()
        .filter_map(|(name, value)| {
            let value = value.as_deref()?;
            Some(format!("{name}={}", resolve::encoded(value)))
        })
        .collect();
    if given.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", given.join("&"))
    }
}
