//! Events through the `nokube` command. What the API does with them is specified in `tests/features`.

use nokube_tests::cli::Cli;
use nokube_tests::platform::Platform;

#[tokio::test]
async fn events_are_planned_and_shared_by_command() {
    let platform = Platform::start();
    let api = platform
        .api()
        .register("ada", Some(platform.setup_code()))
        .await;
    let cli = Cli::signed_in(&platform, "ada");

    let sale = cli.json(&["event", "create", "Soldes", "--start", "2097-06-20"]);
    assert_eq!(
        (sale["end_date"].as_str(), sale["status"].as_str()),
        (Some("2097-06-20"), Some("draft"))
    );
    let id = sale["id"].as_str().expect("an id");
    let call = [
        "event",
        "create",
        "Call",
        "--start",
        "2097-06-21T09:00:00+02:00",
        "--status",
        "published",
    ];
    cli.succeeds(&call);

    let changed = cli.json(&[
        "event",
        "edit",
        id,
        "--end",
        "2097-07-01",
        "--description",
        "x",
    ]);
    assert_eq!(changed["end_date"], "2097-07-01");
    let unset = cli.json(&["event", "edit", id, "--description", ""]);
    assert!(unset["description"].is_null());
    assert!(cli.succeeds(&["event", "show", id]).contains("Soldes"));
    let refused = cli.refused(&["event", "edit", id, "--end", "2020-01-01"]);
    assert!(refused.contains("/end_date"), "{refused}");

    let list = cli.json(&["event", "list", "--query", "sol", "--sort", "-start_date"]);
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    let list = cli.json(&[
        "event",
        "list",
        "--from",
        "2097-06-21",
        "--status",
        "published",
    ]);
    assert_eq!(list[0]["title"], "Call");

    assert!(cli.refused(&["event", "feed"]).contains("private address"));
    let feed = cli.json(&["event", "feed", "--renew"]);
    let url = feed["url"].as_str().expect("an address");
    let path = url.split_once("/api/v1").expect("one of the API's").1;
    let calendar = platform.api().get(path).await;
    assert!(
        calendar.text.contains("SUMMARY:Call\r\n"),
        "{}",
        calendar.text
    );
    assert!(cli.succeeds(&["event", "feed"]).contains("last read"));
    cli.succeeds(&["event", "feed", "--revoke"]);
    assert_eq!(platform.api().get(path).await.status, 404);

    cli.succeeds(&["event", "delete", id]);
    api.get(&format!("/events/{id}")).await.problem(404);
}
