//! `event create|list|show|edit|delete|feed`.

use nokube_api::events::{EventChangeRequest, EventRequest};
use serde_json::{Value, json};

use super::event_args::{CreateArgs, EditArgs, EventCommand, FeedArgs, ListArgs};
use super::http::ApiClient;
use super::output::Output;
use super::resolve;

/// Runs an event command.
pub(crate) async fn run(
    client: &mut ApiClient,
    command: EventCommand,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        EventCommand::Create(args) => create(client, args, output).await,
        EventCommand::List(args) => list(client, args, output).await,
        EventCommand::Show { id } => {
            let event = client.get(&path(&id)).await?;
            output.result(&event, &describe(&event));
            Ok(())
        }
        EventCommand::Edit(args) => edit(client, args, output).await,
        EventCommand::Delete { id } => {
            client.delete(&path(&id)).await?;
            output.result(&json!({ "deleted": id }), &format!("Event {id} deleted."));
            Ok(())
        }
        EventCommand::Feed(args) => feed(client, &args, output).await,
    }
}

async fn create(client: &mut ApiClient, args: CreateArgs, output: Output) -> anyhow::Result<()> {
    let request = EventRequest {
        title: args.title,
        description: args.description,
        end_date: args.end.unwrap_or_else(|| args.start.clone()),
        start_date: args.start,
        all_day: None,
        status: args.status.as_str().to_owned(),
    };
    let body = serde_json::to_value(request)?;
    let event = client.post("/events", &body).await?;
    let id = event["id"].as_str().unwrap_or_default().to_owned();
    output.result(&event, &format!("Event {id} created."));
    Ok(())
}

async fn list(client: &mut ApiClient, args: ListArgs, output: Output) -> anyhow::Result<()> {
    let filters = [
        (
            "status",
            args.status.map(|status| status.as_str().to_owned()),
        ),
        ("from", args.from),
        ("to", args.to),
        ("q", args.query),
        ("sort", args.sort),
    ];
    let query: Vec<String> = filters
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", resolve::encoded(&value?))))
        .collect();
    let path = if query.is_empty() {
        "/events".to_owned()
    } else {
        format!("/events?{}", query.join("&"))
    };
    let rows = client.list(&path).await?;
    let columns = [
        ("EVENT", "id"),
        ("START", "start_date"),
        ("END", "end_date"),
        ("STATUS", "status"),
        ("TITLE", "title"),
    ];
    output.table(
        &rows,
        &columns,
        "No such events: `nokube event create TITLE --start DATE` makes one.",
    );
    Ok(())
}

async fn edit(client: &mut ApiClient, args: EditArgs, output: Output) -> anyhow::Result<()> {
    let request = EventChangeRequest {
        title: args.title,
        description: args
            .description
            .map(|text| Some(text).filter(|text| !text.is_empty())),
        start_date: args.start,
        end_date: args.end,
        all_day: None,
        status: args.status.map(|status| status.as_str().to_owned()),
    };
    let body = serde_json::to_value(request)?;
    let event = client.patch(&path(&args.id), &body).await?;
    output.result(&event, &format!("Event {} changed.", args.id));
    Ok(())
}

async fn feed(client: &mut ApiClient, args: &FeedArgs, output: Output) -> anyhow::Result<()> {
    const FEED: &str = "/events/feed";
    if args.revoke {
        client.delete(FEED).await?;
        let text = "The calendar's private address has ended.";
        output.result(&json!({ "revoked": true }), text);
    } else if args.renew {
        let made = client.post(FEED, &json!({})).await?;
        let url = made["url"].as_str().unwrap_or_default().to_owned();
        output.progress("Whoever has this address reads your calendar. It is not shown again:");
        output.result(&made, &url);
    } else {
        let feed = client.get(FEED).await?;
        let read = match feed["last_read_at"].as_str() {
            Some(time) => format!("last read {time}"),
            None => "never read".to_owned(),
        };
        let made = feed["created_at"].as_str().unwrap_or_default();
        let text = format!("Your calendar has a private address, made {made}, {read}.");
        output.result(&feed, &text);
    }
    Ok(())
}

fn path(id: &str) -> String {
    format!("/events/{}", resolve::encoded(id))
}

fn describe(event: &Value) -> String {
    let fields = [
        "id",
        "title",
        "description",
        "start_date",
        "end_date",
        "status",
        "created_at",
        "updated_at",
    ];
    super::deployment::fields(event, &fields)
}
