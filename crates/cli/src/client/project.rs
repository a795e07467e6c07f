//! `project create|list|take-over|delete`.

use std::io::{IsTerminal as _, Write as _};

use anyhow::bail;
use serde_json::json;

use super::args::ProjectCommand;
use super::http::ApiClient;
use super::output::Output;
use super::resolve;

/// Runs a project command.
pub(crate) async fn run(
    client: &mut ApiClient,
    command: ProjectCommand,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        ProjectCommand::Create {
            name,
            description,
            repository,
            branch,
        } => {
            let mut body = json!({ "name": name });
            let optional = [
                ("description", description),
                ("repository_url", repository),
                ("branch", branch),
            ];
            for (field, value) in optional {
                if let Some(value) = value {
                    body[field] = value.into();
                }
            }
            let project = client.post("/projects", &body).await?;
            let text = format!(
                "Project {} created.",
                project["slug"].as_str().unwrap_or_default()
            );
            output.result(&project, &text);
        }
        ProjectCommand::List { query } => {
            let path = match query {
                Some(query) => format!("/projects?q={}", resolve::encoded(&query)),
                None => "/projects".to_owned(),
            };
            let rows = client.list(&path).await?;
            output.table(
                &rows,
                &[("ID", "id"), ("SLUG", "slug"), ("NAME", "name"), ("OWNER", "owner"), ("ROLE", "role")],
                "No projects yet: `nokube project create NAME`, or `nokube deploy .` in a source folder.",
            );
        }
        ProjectCommand::TakeOver { project } => {
            let project = resolve::project(client, &project).await?;
            let body = json!({ "owner": client.username() });
            let project = client
                .patch(&format!("/projects/{}", project["id"]), &body)
                .await?;
            let text = format!(
                "Project {} is yours; what it deployed moves to its new addresses.",
                project["slug"].as_str().unwrap_or_default()
            );
            output.result(&project, &text);
        }
        ProjectCommand::Delete { project, yes } => {
            let project = resolve::project(client, &project).await?;
            let slug = project["slug"].as_str().unwrap_or_default().to_owned();
            if !yes {
                confirm(&slug, "takes down all it deployed")?;
            }
            client
                .delete(&format!("/projects/{}", project["id"]))
                .await?;
            output.result(
                &json!({ "deleted": slug }),
                &format!("Project {slug} deleted."),
            );
        }
    }
    Ok(())
}

/// Has a person type the name of what is about to be deleted, and what comes of that.
pub(super) fn confirm(name: &str, consequence: &str) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("deleting {name} {consequence}: say --yes to do it without being asked");
    }
    eprint!("Deleting {name} {consequence}. Type the name to go on: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() != name {
        bail!("nothing was deleted");
    }
    Ok(())
}
