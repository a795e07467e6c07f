//! Logs: of builds and of deployments, once or followed.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nokube_domain::Timestamp;
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
    let mut log = LogCursor::with(path, beginning(args));
    let mut components = Components::default();
    loop {
        let page = log.next(client).await?;
        components.note(&page.lines);
        for line in &page.lines {
            output.log_line(line, components.label(line));
        }
        if page.complete || (!args.follow && page.at_end) {
            return Ok(());
        }
        if page.at_end {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The query that says where in a log to begin.
fn beginning(args: &LogsArgs) -> Vec<(&'static str, String)> {
    let since = args.since.map(|since| ("since", since.to_string()));
    let tail = args.tail.map(|tail| ("tail", tail.to_string()));
    since.into_iter().chain(tail).collect()
}

/// A time as `--since` takes it.
///
/// # Errors
/// With what it may be.
pub(crate) fn since(text: &str) -> Result<Timestamp, String> {
    since_from(text, now())
}

/// A time as `--expires` takes it.
///
/// # Errors
/// With what it may be.
pub(crate) fn until(text: &str) -> Result<Timestamp, String> {
    match duration_ms(text) {
        Some(ahead_ms) => Ok(now().plus_millis(ahead_ms)),
        None => Timestamp::parse(text)
            .map_err(|fault| format!("{fault}, or in how long, such as 12h or 30d")),
    }
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now_ms)
}

fn since_from(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    match duration_ms(text) {
        Some(ago_ms) => Ok(now.plus_millis(-ago_ms)),
        None => Timestamp::parse(text)
            .map_err(|fault| format!("{fault}, or how long ago, such as 30s, 10m, 2h or 1d")),
    }
}

/// `30s`, `10m`, `2h` or `1d` in milliseconds.
fn duration_ms(text: &str) -> Option<i64> {
    let (at, unit) = text.char_indices().next_back()?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    // Digits alone: no sign.
    let number: u32 = text[..at].parse().ok().filter(|_| !text.starts_with('+'))?;
    Some(i64::from(number) * unit_ms)
}

/// The components that a log has lines of. Which one a line is of is worth telling when there are several.
#[derive(Default)]
struct Components(BTreeSet<String>);

impl Components {
    fn note(&mut self, lines: &[Value]) {
        let named = lines.iter().filter_map(|line| line["component"].as_str());
        self.0.extend(named.map(str::to_owned));
    }

    fn label<'a>(&self, line: &'a Value) -> Option<&'a str> {
        line["component"].as_str().filter(|_| self.0.len() > 1)
    }
}

/// A place in a log.
pub(crate) struct LogCursor {
    path: String,
    query: Vec<(&'static str, String)>,
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
        Self::with(path, Vec::new())
    }

    /// Where `query` begins in the log at `path`.
    fn with(path: String, query: Vec<(&'static str, String)>) -> Self {
        Self {
            path,
            query,
            cursor: None,
        }
    }

    /// What was written since.
    pub(crate) async fn next(&mut self, client: &mut ApiClient) -> anyhow::Result<LogPage> {
        let cursor = self.cursor.as_deref().map(|cursor| ("cursor", cursor));
        let query = self.query.iter().map(|(name, value)| (*name, &**value));
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(query.chain(cursor))
            .finish();
        let path = format!("{}?{query}", self.path);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        for (text, ago_ms) in [
            ("30s", 30_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(
                since_from(text, now),
                Ok(now.plus_millis(-ago_ms)),
                "{text}"
            );
        }
        let time = since_from("2027-01-15T09:00:00+01:00", now);
        assert_eq!(
            time.map(|time| time.to_string()).as_deref(),
            Ok("2027-01-15T08:00:00.000Z")
        );
        for bad in ["", "m", "-5m", "+5m", "5", "5w", "1.5h", "5µ", "yesterday"] {
            assert!(
                since_from(bad, now).is_err_and(|fault| fault.contains("10m")),
                "{bad}"
            );
        }
    }

    #[test]
    fn components_are_named_once_there_are_several() {
        let lines = ["front", "front", "back"].map(|name| json!({ "component": name }));
        let mut components = Components::default();
        components.note(&lines[..2]);
        assert_eq!(components.label(&lines[0]), None);
        components.note(&lines[2..]);
        assert_eq!(components.label(&lines[0]), Some("front"));
        assert_eq!(components.label(&json!({ "text": "built" })), None);
    }
}
