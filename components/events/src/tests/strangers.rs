//! Other people's events look like none, on every route that takes an id, to administrators as well.

use super::{alice, app, created, sale};
use crate::COMPONENT;
use nokube_guest::{Access, Method};

#[test]
fn every_route_of_a_foreign_event_is_404() {
    let app = app();
    let path = created(&app, &sale());
    for stranger in [app.token(2, "bob", "user"), app.token(9, "root", "admin")] {
        for route in COMPONENT
            .routes
            .iter()
            .filter(|route| route.path.contains(':'))
        {
            match route.operation_id() {
                "get_event" | "replace_event" | "update_event" | "delete_event" => {}
                other => panic!("{other} has no case: say how it names what is owned"),
            }
            let request = app.request(route.method.clone(), &path).bearer(&stranger);
            let answer = request.json(&sale()).send();
            assert_eq!(answer.status, 404, "{}", route.operation);
        }
        for query in ["", "?q=soldes", "?status=draft", "?from=2027-01-01"] {
            let list = app.get(&format!("/api/v1/events{query}")).bearer(&stranger);
            assert_eq!(list.send().expect(200)["pagination"]["total"], 0);
        }
    }
    let kept = app.get(&path).bearer(&alice(&app)).send().expect(200);
    assert_eq!(kept["title"], "Soldes d'été");
}

#[test]
fn a_feed_is_its_owners() {
    let app = app();
    created(&app, &sale());
    let bob = app.token(2, "bob", "user");
    let made = app
        .post("/api/v1/events/feed")
        .bearer(&bob)
        .send()
        .expect(201);
    let url = made["url"].as_str().unwrap();
    let path = url.strip_prefix("https://nokube.example").unwrap();
    let answer = app.get(path).send();
    assert!(!String::from_utf8_lossy(&answer.body).contains("VEVENT"));
    let alices = app.get("/api/v1/events/feed").bearer(&alice(&app)).send();
    assert_eq!(alices.status, 404);
    let ended = app
        .delete("/api/v1/events/feed")
        .bearer(&alice(&app))
        .send();
    assert_eq!(ended.status, 404);
    assert_eq!(app.get(path).send().status, 200);
}

#[test]
fn nothing_but_health_and_private_addresses_is_public() {
    let app = app();
    for route in COMPONENT.routes {
        let path = route.path.replace(":id", "1");
        let answer = app.request(route.method.clone(), &path).send();
        let expected = match (route.access, route.operation_id()) {
            (Access::Public, "get_calendar") => 404,
            (Access::Public, _) => 200,
            _ => 401,
        };
        assert_eq!(answer.status, expected, "{}", route.operation);
    }
}

#[test]
fn an_id_that_can_not_be_one_is_404() {
    let app = app();
    let path = created(&app, &sale());
    let upper = path.to_uppercase();
    let id = upper.rsplit('/').next().unwrap();
    for id in [
        "0",
        "x",
        "calendar",
        id,
        "6fa459ea-ee8a-4ca4-894e-db77e160355e",
    ] {
        let path = format!("/api/v1/events/{id}");
        let answer = app.request(Method::GET, &path).bearer(&alice(&app)).send();
        assert_eq!(answer.status, 404, "{id}");
    }
}

#[test]
fn scoped_tokens_reach_only_what_they_are_for() {
    assert!(nokube_guest::testing::check_scopes(&COMPONENT, "events") > 0);
}
