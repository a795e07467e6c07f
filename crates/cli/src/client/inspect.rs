//! `manifests` and `events`: what the target has of a service, and what happened to it there.

use serde_json::Value;

use super::args::ServiceArgs;
use super::http::ApiClient;
use super::output::Output;
use super::resolve;

/// `manifests`.
pub(crate) async fn manifests(
    client: &mut ApiClient,
    args: &ServiceArgs,
    output: Output,
) -> anyhow::Result<()> {
    let shown = of_service(client, args, "manifests").await?;
    output.result(&shown, &yaml(&shown));
    Ok(())
}

/// `events`.
pub(crate) async fn events(
    client: &mut ApiClient,
    args: &ServiceArgs,
    output: Output,
) -> anyhow::Result<()> {
    let shown = of_service(client, args, "events").await?;
    let columns = [
        ("TIME", "time"),
        ("TYPE", "type"),
        ("REASON", "reason"),
        ("OBJECT", "object"),
        ("COUNT", "count"),
        ("MESSAGE", "message"),
    ];
    let rows = shown["events"].as_array().cloned().unwrap_or_default();
    output.table(&rows, &columns, "Nothing has happened to it lately.");
    Ok(())
}

async fn of_service(
    client: &mut ApiClient,
    args: &ServiceArgs,
    what: &str,
) -> anyhow::Result<Value> {
    let found = resolve::deployment(
        client,
        &args.service,
        args.project.as_deref(),
        args.environment.as_deref(),
    )
    .await?;
    let id = found["deployment_id"].as_str().unwrap_or_default();
    client.get(&format!("/deployments/{id}/{what}")).await
}

/// All manifests of an answer as one stream of documents.
pub(crate) fn yaml(answer: &Value) -> String {
    let manifests = answer["manifests"].as_object();
    let documents = manifests.into_iter().flat_map(|map| map.values());
    let documents: Vec<&str> = documents
        .filter_map(Value::as_str)
        .map(str::trim_end)
        .collect();
    documents.join("\n---\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn manifests_are_one_stream_of_documents() {
        let answer = json!({ "manifests": { "A/a": "kind: A\n", "B/b": "kind: B\n" } });
        assert_eq!(yaml(&answer), "kind: A\n---\nkind: B");
        assert_eq!(yaml(&json!({ "manifests": {} })), "");
    }
}
