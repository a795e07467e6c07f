//! From what a user types to what the API wants: projects and deployments by name.

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::http::ApiClient;

const DEFAULT_ENVIRONMENT: &str = "production";

/// A query value, percent-encoded.
pub(crate) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The project with this slug, name or number.
pub(crate) async fn project(client: &mut ApiClient, wanted: &str) -> anyhow::Result<Value> {
    find_project(client, wanted).await?.with_context(|| {
        format!("there is no project {wanted}: see `nokube project list`, or create it with `nokube project create`")
    })
}

/// The project with this slug, name or number; made when there is none of that name.
pub(crate) async fn project_or_new(
    client: &mut ApiClient,
    wanted: &str,
) -> anyhow::Result<(Value, bool)> {
    match find_project(client, wanted).await? {
        Some(project) => Ok((project, false)),
        None if wanted.parse::<i64>().is_ok() => bail!("there is no project number {wanted}"),
        None => Ok((
            client.post("/projects", &json!({ "name": wanted })).await?,
            true,
        )),
    }
}

async fn find_project(client: &mut ApiClient, wanted: &str) -> anyhow::Result<Option<Value>> {
    let projects = client.list("/projects").await?;
    let matches: Vec<&Value> = projects
        .iter()
        .filter(|project| {
            project["slug"] == wanted
                || project["name"] == wanted
                || project["id"].as_i64().map(|id| id.to_string()).as_deref() == Some(wanted)
        })
        .collect();
    // Shared projects may carry a slug the user has too: the user's own comes first.
    let own = matches
        .iter()
        .find(|project| project["owner"] == client.username());
    Ok(own.or(matches.first()).map(|project| (*project).clone()))
}

/// The deployment of a service, given as `service` or `project/service`.
pub(crate) async fn deployment(
    client: &mut ApiClient,
    service: &str,
    project: Option<&str>,
    environment: Option<&str>,
) -> anyhow::Result<Value> {
    let found = deployments(
        client,
        Some(service),
        project,
        Some(environment.unwrap_or(DEFAULT_ENVIRONMENT)),
    )
    .await?;
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => bail!("{service} is not deployed here: see `nokube status`"),
        _ => bail!("several projects have a service {service}: say which one with --project"),
    }
}

/// The deployments that match; `project_slug` is added to each.
pub(crate) async fn deployments(
    client: &mut ApiClient,
    service: Option<&str>,
    project_wanted: Option<&str>,
    environment: Option<&str>,
) -> anyhow::Result<Vec<Value>> {
    let (in_name, service) = match service.and_then(|text| text.split_once('/')) {
        Some((project, service)) => (Some(project), Some(service)),
        None => (None, service),
    };
    let projects = match project_wanted.or(in_name) {
        Some(wanted) => vec![project(client, wanted).await?],
        None => client.list("/projects").await?,
    };
    let mut found = Vec::new();
    for project in &projects {
        for mut deployment in client
            .list(&format!("/deployments?project_id={}", project["id"]))
            .await?
        {
            if service.is_none_or(|wanted| deployment["service_name"] == wanted)
                && environment.is_none_or(|wanted| deployment["environment"] == wanted)
            {
                deployment["project_slug"] = project["slug"].clone();
                found.push(deployment);
            }
        }
    }
    Ok(found)
}
