//! `deploy`: source → build → deployment → address, in one command.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::args::DeployArgs;
use super::follow::LogCursor;
use super::http::ApiClient;
use super::output::Output;
use super::{archive, deployment, inspect, resolve};

/// How often a build is asked how it is.
const POLL: Duration = Duration::from_millis(300);

/// Runs it.
pub(crate) async fn run(
    client: &mut ApiClient,
    args: &DeployArgs,
    output: Output,
) -> anyhow::Result<()> {
    let configuration = configuration(args)?;
    if args.preview && args.build.is_none() && args.image.is_none() {
        bail!("a preview is of something that was built: name it with --build or --image");
    }
    let image = match (&args.build, &args.image) {
        (Some(id), _) => {
            let build = client
                .get(&format!("/builds/{}", resolve::encoded(id)))
                .await?;
            json!({ "project_id": build["project_id"], "service_name": build["service_name"], "build_id": id })
        }
        (None, Some(image)) => {
            let project = args
                .project
                .as_deref()
                .context("say the project of this image with --project")?;
            let service = args
                .service
                .as_deref()
                .context("say the service of this image with --service")?;
            let project = resolve::project(client, project).await?;
            json!({ "project_id": project["id"], "service_name": service, "image_name": image })
        }
        (None, None) => match build(client, args, output).await? {
            Some(image) => image,
            None => return Ok(()),
        },
    };
    let mut body = image;
    for (field, value) in configuration {
        body[field] = value;
    }
    if args.preview {
        let shown = client.post("/deploy/preview", &body).await?;
        output.result(&shown, &inspect::yaml(&shown));
        return Ok(());
    }
    let accepted = client.post("/deploy", &body).await?;
    for warning in accepted["warnings"].as_array().into_iter().flatten() {
        output.progress(&format!(
            "warning: {}",
            warning.as_str().unwrap_or_default()
        ));
    }
    let id = accepted["deployment_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    output.progress(&format!("Deploying revision {} …", accepted["revision"]));
    let deployed = if args.no_wait {
        accepted
    } else {
        deployment::wait_until_settled(client, &id, &accepted["revision"], output).await?
    };
    output.result(
        &deployed,
        deployed["access_url"]
            .as_str()
            .unwrap_or("Deployed; not exposed."),
    );
    Ok(())
}

/// Builds what the arguments name and says which image to deploy; nothing when it does not wait.
async fn build(
    client: &mut ApiClient,
    args: &DeployArgs,
    output: Output,
) -> anyhow::Result<Option<Value>> {
    let folder_name = archive::folder_name(&args.path);
    let repository_name = args.git.as_deref().and_then(repository_name);
    let project_name = args
        .project
        .clone()
        .or_else(|| repository_name.clone().or(folder_name))
        .context("no project name can be made from the source: say one with --project")?;
    let service = match (&args.service, &args.git) {
        (Some(service), _) => service.clone(),
        (None, Some(_)) => repository_name.context("say the service's name with --service")?,
        (None, None) => {
            archive::service_name(&args.path).context("say the service's name with --service")?
        }
    };
    let packed = if args.git.is_none() {
        output.progress(&format!("Packing {} …", args.path.display()));
        Some(archive::pack(&args.path)?)
    } else {
        None
    };
    let (project, created) = resolve::project_or_new(client, &project_name).await?;
    if created {
        output.progress(&format!(
            "Project {} created.",
            project["slug"].as_str().unwrap_or_default()
        ));
    }
    let build = match packed {
        Some(packed) => {
            let mut path = format!(
                "/builds/upload?project_id={}&service_name={}",
                project["id"],
                resolve::encoded(&service)
            );
            if let Some(subdirectory) = &args.subdirectory {
                path.push_str(&format!("&subdirectory={}", resolve::encoded(subdirectory)));
            }
            client.upload(&path, &packed).await?
        }
        None => {
            let mut body = json!({ "project_id": project["id"], "service_name": service });
            let optional = [
                ("repository_url", &args.git),
                ("branch", &args.branch),
                ("commit", &args.commit),
                ("subdirectory", &args.subdirectory),
            ];
            for (field, value) in optional {
                if let Some(value) = value {
                    body[field] = value.as_str().into();
                }
            }
            client.post("/builds", &body).await?
        }
    };
    let id = build["build_id"].as_str().unwrap_or_default().to_owned();
    output.progress(&format!("Build {id} of {service} …"));
    if args.no_wait {
        output.result(
            &build,
            &format!("Build {id} is accepted; deploy it with `nokube deploy --build {id}`."),
        );
        return Ok(None);
    }
    wait_for_build(client, &id, output).await?;
    Ok(Some(
        json!({ "project_id": project["id"], "service_name": service, "build_id": id }),
    ))
}

async fn wait_for_build(client: &mut ApiClient, id: &str, output: Output) -> anyhow::Result<()> {
    let mut log = LogCursor::new(format!("/builds/{id}/logs"));
    loop {
        let page = log.next(client).await?;
        for line in &page.lines {
            output.progress(&format!("  {}", line["text"].as_str().unwrap_or_default()));
        }
        if page.complete && page.lines.is_empty() {
            break;
        }
        if page.lines.is_empty() {
            tokio::time::sleep(POLL).await;
        }
    }
    let build = client.get(&format!("/builds/{id}")).await?;
    match build["status"].as_str() {
        Some("success") => {
            output.progress(&format!("Built in {} s.", build["duration_seconds"]));
            Ok(())
        }
        status => bail!(
            "build {id} ended as {}: {}",
            status.unwrap_or("unknown"),
            build["error_message"].as_str().unwrap_or("see its log")
        ),
    }
}

/// The fields of the deploy request that do not name the image. Fails before anything is built.
fn configuration(args: &DeployArgs) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let mut fields = Vec::new();
    if let Some(environment) = &args.environment {
        fields.push(("environment", environment.as_str().into()));
    }
    if !args.env_vars.is_empty() {
        let mut env_vars = json!({});
        for pair in &args.env_vars {
            let (name, value) = pair
                .split_once('=')
                .with_context(|| format!("--env {pair}: write it as NAME=VALUE"))?;
            env_vars[name] = value.into();
        }
        fields.push(("env_vars", env_vars));
    }
    if !args.secrets.is_empty() {
        let mut secrets = json!({});
        for secret in &args.secrets {
            let (name, value) = match secret.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => (
                    secret.as_str(),
                    std::env::var(secret).with_context(|| {
                        format!("--secret {secret}: your environment has no such variable")
                    })?,
                ),
            };
            secrets[name] = value.into();
        }
        fields.push(("secrets", secrets));
    }
    Ok(fields)
}

/// `shop` of `https://host/team/shop.git`.
fn repository_name(url: &str) -> Option<String> {
    let last = url.trim_end_matches('/').rsplit('/').next()?;
    let name = last.strip_suffix(".git").unwrap_or(last).to_lowercase();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_after_its_address() {
        assert_eq!(
            repository_name("https://h/team/Shop.git").as_deref(),
            Some("shop")
        );
        assert_eq!(
            repository_name("https://h/team/shop/").as_deref(),
            Some("shop")
        );
    }
}
