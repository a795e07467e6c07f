//! Logs: of builds and of deployments, once or followed.

use std::time::Duration;

use serde_json::Value;

use super::args::LogsArgs;
use super::http::ApiClient;
use super::output::Output;
use super::resolve;

/// How often a growing log is asked for.
const POLL: Duration = Duration::from_millis(500);

/// `logs`.
pub(crate) async fn logs(
    client: &mut ApiClient,
    args: &LogsArgs,
    output: Output,
) -> anyhow::Result<()> {
    let path = match (&args.build, &args.service) {
        (Some(build), _) => format!("/builds/{}/logs", resolve::encoded(build)),
        (None, service) => {
            let service = service.as_deref().unwrap_or_default();
            let found = resolve::deployment(
                client,
                service,
                args.project.as_deref(),
                args.environment.as_deref(),
            );
            format!(
                "/deployments/{}/logs",
                found.await?["deployment_id"].as_str().unwrap_or_default()
            )
        }
    };
    let mut log = LogCursor::new(path);
    loop {
        let page = log.next(client).await?;
        for line in &page.lines {
            output.log_line(line);
        }
        if page.complete || (!args.follow && page.at_end) {
            return Ok(());
        }
        if page.at_end {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// A place in a log.
pub(crate) struct LogCursor {
    path: String,
    cursor: Option<String>,
}

/// What followed it.
pub(crate) struct LogPage {
    pub(crate) lines: Vec<Value>,
    /// Nothing follows now. A search may have pages without a line before that.
    pub(crate) at_end: bool,
    /// Nothing will ever follow.
    pub(crate) complete: bool,
}

impl LogCursor {
    /// The beginning of the log at `path`.
    pub(crate) fn new(path: String) -> Self {
        Self { path, cursor: None }
    }

    /// What was written since.
    pub(crate) async fn next(&mut self, client: &mut ApiClient) -> anyhow::Result<LogPage> {
        let path = match &self.cursor {
            Some(cursor) => format!("{}?cursor={}", self.path, resolve::encoded(cursor)),
            None => self.path.clone(),
        };
        let mut answer = client.get(&path).await?;
        let before = self.cursor.clone();
        if let Some(cursor) = answer["cursor"].as_str() {
            self.cursor = Some(cursor.to_owned());
        }
        let lines = match answer["lines"].take() {
            Value::Array(lines) => lines,
            _ => Vec::new(),
        };
        Ok(LogPage {
            at_end: lines.is_empty() && self.cursor == before,
            complete: answer["complete"].as_bool().unwrap_or(false),
            lines,
        })
    }
}
