//! `activity`: what was done in a project, or by oneself.

use serde_json::Value;

use super::args::ActivityArgs;
use super::http::ApiClient;
use super::output::Output;
use super::resolve;

/// The most entries of one answer.
const PAGE: usize = 100;

/// Shows the newest entries, newest first.
pub(crate) async fn run(
    client: &mut ApiClient,
    args: &ActivityArgs,
    output: Output,
) -> anyhow::Result<()> {
    let list = match &args.project {
        Some(wanted) => {
            let project = resolve::project(client, wanted).await?;
            format!("/projects/{}/activity", project["id"])
        }
        None => "/audit".to_owned(),
    };
    let mut filter = String::new();
    if let Some(action) = &args.action {
        filter.push_str(&format!("&action={}", resolve::encoded(action)));
    }
    if let Some(since) = &args.since {
        filter.push_str(&format!("&from={}", resolve::encoded(&since.to_string())));
    }
    let wanted = usize::try_from(args.number).unwrap_or(usize::MAX);
    let mut rows: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    while rows.len() < wanted {
        let limit = (wanted - rows.len()).min(PAGE);
        let mut page = client
            .get(&format!("{list}?limit={limit}{filter}{cursor}"))
            .await?;
        if let Value::Array(more) = page["data"].take() {
            rows.extend(more);
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", resolve::encoded(next)),
            None => break,
        }
    }
    let columns = [
        ("TIME", "time"),
        ("WHO", "actor"),
        ("ACTION", "action"),
        ("TARGET", "target"),
        ("DETAIL", "detail"),
    ];
    output.table(&rows, &columns, "Nothing was done yet.");
    Ok(())
}
