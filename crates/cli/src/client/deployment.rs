//! `status`, `rollback`, `open`, and waiting for a deployment.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::args::{RollbackArgs, ServiceArgs, StatusArgs};
use super::http::ApiClient;
use super::output::Output;
use super::resolve;

/// How often a deployment is asked how it is.
const POLL: Duration = Duration::from_millis(200);

/// Longer than any probe's delay and threshold multiplied that the platform accepts by default.
const PATIENCE: Duration = Duration::from_secs(300);

/// `status`: everything, or one service in detail.
pub(crate) async fn status(
    client: &mut ApiClient,
    args: &StatusArgs,
    output: Output,
) -> anyhow::Result<()> {
    let found = resolve::deployments(
        client,
        args.service.as_deref(),
        args.project.as_deref(),
        args.environment.as_deref(),
    )
    .await?;
    if let (Some(service), []) = (&args.service, found.as_slice()) {
        bail!("{service} is not deployed here: see `nokube status`");
    }
    if let (Some(_), [one]) = (&args.service, found.as_slice()) {
        let shown = [
            "project_slug",
            "service_name",
            "environment",
            "status",
            "revision",
            "image_name",
            "digest",
            "replicas_ready",
            "replicas_total",
            "access_url",
            "error_message",
            "updated_at",
        ];
        output.result(one, &fields(one, &shown));
        return Ok(());
    }
    let columns = [
        ("PROJECT", "project_slug"),
        ("SERVICE", "service_name"),
        ("ENVIRONMENT", "environment"),
        ("REV", "revision"),
        ("STATUS", "status"),
        ("ADDRESS", "access_url"),
    ];
    output.table(
        &found,
        &columns,
        "Nothing is deployed yet: `nokube deploy .` in a source folder.",
    );
    Ok(())
}

/// `rollback`.
pub(crate) async fn rollback(
    client: &mut ApiClient,
    args: &RollbackArgs,
    output: Output,
) -> anyhow::Result<()> {
    let service = &args.service;
    let present = resolve::deployment(
        client,
        &service.service,
        service.project.as_deref(),
        service.environment.as_deref(),
    )
    .await?;
    let id = present["deployment_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let revision = present["revision"]
        .as_u64()
        .context("the platform's answer has no revision")?;
    let target = match args.to {
        Some(revision) => u64::from(revision),
        None if revision > 1 => revision - 1,
        None => bail!(
            "{} is at its first revision: there is nothing to go back to",
            service.service
        ),
    };
    let accepted = client
        .post(
            &format!("/deployments/{id}/rollback"),
            &json!({ "revision": target }),
        )
        .await?;
    output.progress(&format!(
        "Going back to revision {target}, as revision {} …",
        accepted["revision"]
    ));
    let settled = if args.no_wait {
        accepted
    } else {
        wait_until_settled(client, &id, &accepted["revision"], output).await?
    };
    output.result(
        &settled,
        settled["access_url"].as_str().unwrap_or("Rolled back."),
    );
    Ok(())
}

/// `open`: prints the address and asks the desktop to show it.
pub(crate) async fn open(
    client: &mut ApiClient,
    args: &ServiceArgs,
    output: Output,
) -> anyhow::Result<()> {
    let found = resolve::deployment(
        client,
        &args.service,
        args.project.as_deref(),
        args.environment.as_deref(),
    )
    .await?;
    let address = found["access_url"]
        .as_str()
        .with_context(|| format!("{} has no address: it is not exposed", args.service))?;
    let parsed = reqwest::Url::parse(address)?;
    if !matches!(parsed.scheme(), "http" | "https") {
        bail!("{address} is not a web address");
    }
    output.result(&json!({ "access_url": address }), address);
    if open::that_detached(parsed.as_str()).is_err() {
        output.progress("No browser could be started here: open the address by hand.");
    }
    Ok(())
}

/// Waits until `revision` runs.
///
/// # Errors
/// When it fails, with the platform's reason; or when it takes longer than five minutes.
pub(crate) async fn wait_until_settled(
    client: &mut ApiClient,
    id: &str,
    revision: &Value,
    output: Output,
) -> anyhow::Result<Value> {
    let began = std::time::Instant::now();
    let mut shown = String::new();
    loop {
        let deployment = client.get(&format!("/deployments/{id}")).await?;
        if deployment["revision"] != *revision {
            bail!(
                "revision {revision} was overtaken by revision {}",
                deployment["revision"]
            );
        }
        let status = deployment["status"].as_str().unwrap_or_default();
        if status != shown {
            output.progress(&format!("  {status}"));
            status.clone_into(&mut shown);
        }
        match status {
            "running" | "stopped" => return Ok(deployment),
            "failed" => bail!(
                "revision {revision} failed: {}",
                deployment["error_message"]
                    .as_str()
                    .unwrap_or("see `nokube logs`")
            ),
            _ if began.elapsed() > PATIENCE => {
                bail!(
                    "revision {revision} is still {status} after five minutes: see `nokube status`"
                )
            }
            _ => tokio::time::sleep(POLL).await,
        }
    }
}

/// Some fields of an object, one per line; what it does not have is left out.
pub(crate) fn fields(value: &Value, names: &[&str]) -> String {
    let lines = names.iter().filter_map(|name| match &value[*name] {
        Value::Null => None,
        Value::String(text) => Some(format!("{name:16} {text}")),
        other => Some(format!("{name:16} {other}")),
    });
    lines.collect::<Vec<_>>().join("\n")
}
