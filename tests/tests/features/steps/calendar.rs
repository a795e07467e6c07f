//! The private address, and what a calendar program reads there.

use cucumber::{then, when};
use icalendar::{Calendar, Component as _};
use nokube_tests::api::{Answer, Api};
use reqwest::Method;

use crate::world::{PlatformWorld, text};

#[when("I ask for a private address of my calendar")]
#[when("I ask for another private address of my calendar")]
async fn ask_for_address(world: &mut PlatformWorld) {
    world.ask(Method::POST, "/events/feed", None).await;
    if world.answer().status == 201 {
        let made = world.answer().json();
        world.addresses.extend(text(&made["url"]));
    }
}

#[when("I ask whether my calendar has a private address")]
async fn ask_for_feed(world: &mut PlatformWorld) {
    world.ask(Method::GET, "/events/feed", None).await;
    let etag = world.answer().headers.get("etag");
    let etag = etag.and_then(|etag| etag.to_str().ok().map(str::to_owned));
    world.etag = etag.unwrap_or_default();
}

#[when("I end the private address")]
async fn end_address(world: &mut PlatformWorld) {
    world.ask(Method::DELETE, "/events/feed", None).await;
}

#[when("I end the private address as I saw it")]
async fn end_address_as_seen(world: &mut PlatformWorld) {
    let api = world.api();
    let request = api.request(Method::DELETE, "/events/feed");
    world.last = Some(api.send(request.header("if-match", &world.etag)).await);
}

#[when("a calendar program reads at an address that never was")]
async fn read_nothing(world: &mut PlatformWorld) {
    let path = "/events/calendar.ics?token=none";
    world.ask(Method::GET, path, None).await;
}

/// What a program that was given nothing but an address gets.
async fn read(world: &PlatformWorld, address: &str) -> Answer {
    let stranger = Api::new(world.api().url());
    let base = format!("{}/api/v1", stranger.url());
    let path = address
        .strip_prefix(&base)
        .expect("an address of this platform");
    stranger.get(path).await
}

#[then(expr = "a calendar program reads the events {string} there")]
async fn calendar_has(world: &mut PlatformWorld, expected: String) {
    let address = world.addresses.last().expect("an address").clone();
    let answer = read(world, &address).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        answer.headers["content-type"],
        "text/calendar; charset=utf-8"
    );
    let calendar: Calendar = answer.text.parse().expect("a calendar");
    let titles: Vec<&str> = calendar
        .events()
        .filter_map(|event| event.get_summary())
        .collect();
    assert_eq!(titles.join(", "), expected);
}

#[then("I see that the address was read")]
async fn was_read(world: &mut PlatformWorld) {
    let feed = world.api().get("/events/feed").await.expect(200);
    assert!(feed["last_read_at"].is_string());
}

#[then("nothing is at the address")]
#[then("nothing is at the first address")]
async fn nothing_there(world: &mut PlatformWorld) {
    let address = world.addresses.first().expect("an address").clone();
    read(world, &address).await.problem(404);
}
