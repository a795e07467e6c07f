//! `member list|add|remove`.

use nokube_api::projects::PutMemberRequest;
use serde_json::json;

use super::args::MemberCommand;
use super::http::ApiClient;
use super::output::Output;
use super::resolve;

/// Runs a member command.
pub(crate) async fn run(
    client: &mut ApiClient,
    command: MemberCommand,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        MemberCommand::List { project } => {
            let project = resolve::project(client, &project).await?;
            let rows = client
                .list(&format!("/projects/{}/members", project["id"]))
                .await?;
            let columns = [
                ("USERNAME", "username"),
                ("ROLE", "role"),
                ("SINCE", "added_at"),
            ];
            output.table(&rows, &columns, "");
        }
        MemberCommand::Add {
            project,
            username,
            role,
        } => {
            let project = resolve::project(client, &project).await?;
            let path = path(&project, &username);
            let body = json!(PutMemberRequest { role });
            let member = client.put(&path, &body).await?;
            let text = format!(
                "{username} is {} of {}.",
                member["role"].as_str().unwrap_or_default(),
                project["slug"].as_str().unwrap_or_default(),
            );
            output.result(&member, &text);
        }
        MemberCommand::Remove { project, username } => {
            let project = resolve::project(client, &project).await?;
            client.delete(&path(&project, &username)).await?;
            let slug = project["slug"].as_str().unwrap_or_default();
            output.result(
                &json!({ "removed": username }),
                &format!("{username} is no member of {slug} any more."),
            );
        }
    }
    Ok(())
}

fn path(project: &serde_json::Value, username: &str) -> String {
    format!(
        "/projects/{}/members/{}",
        project["id"],
        resolve::encoded(username)
    )
}
