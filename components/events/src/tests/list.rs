//! Lists: filters, search, order, pages.

use serde_json::{Value, json};

use super::{alice, app, created, sale_with};
use nokube_guest::testing::TestApp;

/// In the order they were made.
fn three(app: &TestApp) {
    for (title, description, start, end, status) in [
        ("Été", "plage", "2027-07-01", "2027-07-31", "published"),
        (
            "Autumn",
            "Leaves & tea",
            "2027-09-01T09:00:00Z",
            "2027-09-01T10:00:00Z",
            "draft",
        ),
        ("zima 100%", "snow", "2027-12-01", "2027-12-01", "archived"),
    ] {
        created(
            app,
            &json!({
                "title": title, "description": description, "start_date": start, "end_date": end,
                "status": status
            }),
        );
        app.advance_ms(1);
    }
}

fn titles(app: &TestApp, query: &str) -> Vec<String> {
    let path = format!("/api/v1/events{query}");
    let list = app.get(&path).bearer(&alice(app)).send().expect(200);
    let data = list["data"].as_array().unwrap();
    assert_eq!(list["pagination"]["total"], data.len(), "{query}");
    let title = |event: &Value| event["title"].as_str().unwrap().to_owned();
    data.iter().map(title).collect()
}

#[test]
fn a_list_is_ordered_by_its_beginning_and_paged() {
    let app = app();
    three(&app);
    assert_eq!(titles(&app, ""), ["Été", "Autumn", "zima 100%"]);
    let page = app
        .get("/api/v1/events?page=2&limit=2&status=")
        .bearer(&alice(&app))
        .send();
    let body = page.expect(200);
    assert_eq!(
        body["pagination"],
        json!({ "page": 2, "limit": 2, "total": 3, "pages": 2 })
    );
    assert_eq!(body["data"][0]["title"], "zima 100%");
    assert!(page.headers.get("link").unwrap().contains("rel=\"prev\""));
}

#[test]
fn a_list_is_filtered_by_status() {
    let app = app();
    three(&app);
    assert_eq!(titles(&app, "?status=published"), ["Été"]);
    assert_eq!(titles(&app, "?status=archived"), ["zima 100%"]);
    assert_eq!(titles(&app, "?status=draft&q=tea"), ["Autumn"]);
}

#[test]
fn a_range_of_dates_finds_what_goes_on_in_it() {
    let app = app();
    three(&app);
    // Begun before, over after.
    assert_eq!(titles(&app, "?from=2027-07-10&to=2027-07-11"), ["Été"]);
    // The last day belongs to it, the next does not.
    assert_eq!(titles(&app, "?from=2027-07-31&to=2027-08-31"), ["Été"]);
    assert!(titles(&app, "?from=2027-08-01&to=2027-08-31").is_empty());
    // A day as the end is looked at to its end; a time is not.
    assert_eq!(
        titles(&app, "?from=2027-12-01&to=2027-12-01"),
        ["zima 100%"]
    );
    assert_eq!(titles(&app, "?to=2027-09-01"), ["Été", "Autumn"]);
    assert_eq!(titles(&app, "?to=2027-09-01T09:00:00Z"), ["Été"]);
    assert_eq!(titles(&app, "?from=2027-09-01T10:00:00Z"), ["zima 100%"]);
    assert_eq!(
        titles(&app, "?from=2027-09-01T11:59:59%2B02:00"),
        ["Autumn", "zima 100%"]
    );
}

#[test]
fn a_search_finds_beginnings_of_words_in_title_and_description() {
    let app = app();
    three(&app);
    assert_eq!(titles(&app, "?q=ETE"), ["Été"]);
    assert_eq!(titles(&app, "?q=aut+LEAV"), ["Autumn"]);
    assert_eq!(titles(&app, "?q=100%25"), ["zima 100%"]);
    assert!(titles(&app, "?q=aut+snow").is_empty());
    assert!(titles(&app, "?q=utumn").is_empty());
    assert!(titles(&app, "?q=%25").is_empty());
    assert!(titles(&app, "?q=%27%20OR%201=1").is_empty());
}

#[test]
fn a_search_follows_a_change() {
    let app = app();
    let path = created(&app, &sale_with(&json!({ "title": "Before" })));
    let change = json!({ "title": "After" });
    let _ = app
        .patch(&path)
        .bearer(&alice(&app))
        .json(&change)
        .send()
        .expect(200);
    assert!(titles(&app, "?q=before").is_empty());
    assert_eq!(titles(&app, "?q=after"), ["After"]);
}

#[test]
fn a_list_is_sorted_both_ways_by_every_key() {
    let app = app();
    three(&app);
    for (key, first, last) in [
        ("start_date", "Été", "zima 100%"),
        ("end_date", "Été", "zima 100%"),
        ("title", "Autumn", "zima 100%"),
        ("status", "zima 100%", "Été"),
        ("created_at", "Été", "zima 100%"),
        ("updated_at", "Été", "zima 100%"),
    ] {
        let up = titles(&app, &format!("?sort={key}"));
        assert_eq!((up[0].as_str(), up[2].as_str()), (first, last), "{key}");
        let mut down = titles(&app, &format!("?sort=-{key}"));
        down.reverse();
        assert_eq!(up, down, "{key}");
    }
}

#[test]
fn every_fault_of_a_query_is_told_at_once() {
    let app = app();
    let path = "/api/v1/events?status=gone&from=x&to=2027-02-30&sort=owner&q=a+b+c+d+e+f+g+h+i&page=0&limit=101";
    assert_eq!(
        app.get(path).bearer(&alice(&app)).send().faults(),
        ["/status", "/from", "/to", "/q", "/sort", "/page", "/limit"]
    );
}
