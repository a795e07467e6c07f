//! Lists of events.

use cucumber::{given, then, when};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{PlatformWorld, campaign};

const MANY: usize = 7;
const LIMIT: usize = 3;

#[given("there are existing events I previously created")]
#[given("there are multiple events")]
async fn many(world: &mut PlatformWorld) {
    for number in 1..=MANY {
        let mut body = campaign();
        body["title"] = format!("Campaign {number}").into();
        world.create(&body).await;
    }
}

#[given("there are events with different statuses")]
async fn of_every_status(world: &mut PlatformWorld) {
    for (title, start, end, status) in [
        ("Summer sale", "2097-06-20", "2097-07-10", "draft"),
        (
            "Open day",
            "2097-08-31T09:00:00Z",
            "2097-08-31T17:00:00Z",
            "published",
        ),
        ("Old sale", "2098-01-01", "2098-01-02", "archived"),
    ] {
        let body =
            json!({ "title": title, "start_date": start, "end_date": end, "status": status });
        world.create(&body).await;
    }
}

#[when("I send a request to retrieve the list of events")]
async fn list(world: &mut PlatformWorld) {
    world.ask(Method::GET, "/events", None).await;
}

#[when(expr = "I send a request to retrieve the list of events with {string}")]
async fn list_with(world: &mut PlatformWorld, query: String) {
    world
        .ask(Method::GET, &format!("/events?{query}"), None)
        .await;
}

#[when(expr = "I send a request to retrieve only events with the status {string}")]
async fn list_of_status(world: &mut PlatformWorld, status: String) {
    world
        .ask(Method::GET, &format!("/events?status={status}"), None)
        .await;
    world.wanted_status = status;
}

#[when("I send a request to retrieve a specific page with a defined limit of events")]
async fn list_page(world: &mut PlatformWorld) {
    world
        .ask(Method::GET, &format!("/events?page=2&limit={LIMIT}"), None)
        .await;
}

fn data(world: &PlatformWorld) -> Vec<Value> {
    let list = world.answer().expect(200);
    list["data"].as_array().expect("a list").clone()
}

fn titles(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["title"].as_str())
        .collect()
}

#[then("I receive the list of events I created")]
async fn all_of_mine(world: &mut PlatformWorld) {
    let (mut data, mut made) = (data(world), world.made.clone());
    let by_id = |event: &Value| event["id"].to_string();
    data.sort_by_key(by_id);
    made.sort_by_key(by_id);
    assert_eq!(data, made);
}

#[then(expr = "I receive {int} event(s)")]
async fn so_many(world: &mut PlatformWorld, count: usize) {
    assert_eq!(data(world).len(), count);
}

#[then(expr = "I have {int} event(s)")]
async fn have_so_many(world: &mut PlatformWorld, count: u64) {
    let list = world.api().get("/events").await.expect(200);
    assert_eq!(list["pagination"]["total"], count);
}

/// In this order, separated by commas.
#[then(expr = "I receive the events {string}")]
async fn these(world: &mut PlatformWorld, expected: String) {
    assert_eq!(titles(&data(world)).join(", "), expected);
}

#[then("I receive only the events with that status")]
async fn of_that_status(world: &mut PlatformWorld) {
    let data = data(world);
    assert_eq!(data.len(), 1, "there is one of each");
    assert_eq!(data[0]["status"], world.wanted_status);
}

#[then("I receive only the requested number of events")]
async fn a_page(world: &mut PlatformWorld) {
    let data = data(world);
    assert_eq!(titles(&data).len(), LIMIT);
    let all = world.api().get("/events").await.expect(200);
    assert_eq!(
        all["data"][LIMIT], data[0],
        "the second page goes on where the first ends"
    );
}

#[then("I receive pagination metadata")]
async fn metadata(world: &mut PlatformWorld) {
    let list = world.answer().json();
    assert_eq!(
        list["pagination"],
        json!({ "page": 2, "limit": LIMIT, "total": MANY, "pages": MANY.div_ceil(LIMIT) })
    );
    let links = world.answer().headers["link"].to_str().expect("ASCII");
    for relation in ["first", "prev", "next", "last"] {
        assert!(links.contains(&format!("rel=\"{relation}\"")), "{links}");
    }
}
