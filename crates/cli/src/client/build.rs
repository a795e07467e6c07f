//! `builds`: list, show, cancel, retry.

use serde_json::{Value, json};

use super::args::{BuildCommand, BuildsArgs};
use super::http::ApiClient;
use super::output::Output;
use super::resolve;

/// Runs a builds command.
pub(crate) async fn run(
    client: &mut ApiClient,
    args: BuildsArgs,
    output: Output,
) -> anyhow::Result<()> {
    match args.command {
        None => list(client, &args, output).await,
        Some(BuildCommand::Show { id }) => {
            let build = client.get(&path(&id)).await?;
            output.result(&build, &describe(&build));
            Ok(())
        }
        Some(BuildCommand::Cancel { id }) => {
            let build = client
                .post(&format!("{}/cancel", path(&id)), &json!({}))
                .await?;
            output.result(&build, &format!("Build {id} is cancelled."));
            Ok(())
        }
        Some(BuildCommand::Retry { id }) => {
            let build = client
                .post(&format!("{}/retry", path(&id)), &json!({}))
                .await?;
            let new_id = build["build_id"].as_str().unwrap_or_default().to_owned();
            output.result(
                &build,
                &format!("Build {new_id} started: `nokube logs -f --build {new_id}`."),
            );
            Ok(())
        }
    }
}

async fn list(client: &mut ApiClient, args: &BuildsArgs, output: Output) -> anyhow::Result<()> {
    let mut path = "/builds".to_owned();
    let mut separator = '?';
    if let Some(project) = &args.project {
        let project = resolve::project(client, project).await?;
        path.push_str(&format!("{separator}project_id={}", project["id"]));
        separator = '&';
    }
    if let Some(service) = &args.service {
        path.push_str(&format!(
            "{separator}service_name={}",
            resolve::encoded(service)
        ));
    }
    let rows = client.list(&path).await?;
    let columns = [
        ("BUILD", "build_id"),
        ("SERVICE", "service_name"),
        ("STATUS", "status"),
        ("COMMIT", "commit"),
        ("SECONDS", "duration_seconds"),
        ("CREATED", "created_at"),
    ];
    output.table(
        &rows,
        &columns,
        "No builds yet: `nokube deploy .` in a source folder makes one.",
    );
    Ok(())
}

fn path(id: &str) -> String {
    format!("/builds/{}", resolve::encoded(id))
}

fn describe(build: &Value) -> String {
    let fields = [
        "build_id",
        "service_name",
        "status",
        "builder",
        "image_full_name",
        "digest",
        "commit",
        "created_at",
        "duration_seconds",
        "error_message",
    ];
    super::deployment::fields(build, &fields)
}
