//! Routes, against Spin's own router.

use proptest::prelude::*;

use super::*;

fn router(routes: &[&str]) -> Router {
    let routes = routes
        .iter()
        .map(|route| ((*route).to_owned(), Route::parse(route).unwrap()));
    Router::new(routes).0
}

fn found<'r>(router: &'r Router, path: &str) -> Option<&'r str> {
    router.find(path).map(|found| found.component)
}

#[test]
fn the_most_specific_route_answers() {
    let router = router(&["/...", "/a/...", "/a/b", "/a/:x", "/:y/b", "/"]);
    for (path, component) in [
        ("/", "/"),
        ("/z", "/..."),
        ("/a", "/a/..."),
        ("/a/", "/a/..."),
        ("/a/b", "/a/b"),
        ("/a/c", "/a/:x"),
        ("/a/c/d", "/a/..."),
        ("/q/b", "/:y/b"),
    ] {
        assert_eq!(found(&router, path), Some(component), "{path}");
    }
}

#[test]
fn nothing_answers_a_path_without_a_route() {
    let router = router(&["/a", "/b/..."]);
    assert_eq!(found(&router, "/a/b"), None);
    assert_eq!(found(&router, "/"), None);
    assert_eq!(found(&router, "/bb"), None);
}

#[test]
fn the_trailing_part_keeps_its_slashes() {
    let test = router(&["/test/..."]);
    for (path, trailing) in [
        ("/test", ""),
        ("/test/", "/"),
        ("/test/hello", "/hello"),
        ("/test/hello/", "/hello/"),
    ] {
        assert_eq!(test.find(path).unwrap().trailing, trailing, "{path}");
    }
    let all = router(&["/..."]);
    assert_eq!(all.find("/1/2/3").unwrap().trailing, "/1/2/3");
}

#[test]
fn parameters_are_captured_by_name() {
    let router = router(&["/users/:id/posts/:post/...", "/files/:name.:ext"]);
    let found = router.find("/users/7/posts/x/y").unwrap();
    assert_eq!(found.parameters, [("id", "7"), ("post", "x")]);
    assert_eq!(found.trailing, "/y");
    assert_eq!(found.route.prefix(), "/users/:id/posts/:post");
    let found = router.find("/files/a.txt").unwrap();
    assert_eq!(found.parameters, [("name", "a"), ("ext", "txt")]);
}

#[test]
fn private_routes_answer_no_path_and_duplicates_are_told() {
    let routes = [
        ("a".to_owned(), Route::Private),
        ("b".to_owned(), Route::parse("/x").unwrap()),
        ("c".to_owned(), Route::parse("/x").unwrap()),
        ("d".to_owned(), Route::parse("/x/").unwrap()),
    ];
    let (router, duplicates) = Router::new(routes);
    assert_eq!(router.iter().count(), 2);
    assert_eq!(found(&router, "/x"), Some("c"));
    let told: Vec<_> = duplicates.iter().map(|d| d.index).collect();
    assert_eq!(told, [2, 3]);
}

#[test]
fn routes_that_can_not_be_are_refused() {
    for bad in [
        "/a/*/b",
        "/:",
        "/*name",
        "/.../b/*/c",
        "/.well-known/spin/x",
    ] {
        assert!(Route::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(
        Route::from_json(&json!({ "private": true })),
        Ok(Route::Private)
    );
    assert!(Route::from_json(&json!({ "private": false })).is_err());
}

fn route() -> impl Strategy<Value = String> {
    let section = prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("a.b".to_owned()),
        Just(".a".to_owned()),
        Just(":x".to_owned()),
        Just(":x.:y".to_owned()),
        Just(":x.b".to_owned()),
        Just(String::new()),
    ];
    (proptest::collection::vec(section, 0..4), 0..3u8).prop_map(|(sections, end)| {
        let end = ["", "/...", "/"][usize::from(end)];
        format!("/{}{end}", sections.join("/"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn the_same_route_answers_as_in_spin(
        routes in proptest::collection::vec(route(), 1..8),
        paths in proptest::collection::vec("/?[ab./]{0,8}", 1..8),
    ) {
        let mut oracle = routefinder::Router::new();
        let mut seen = std::collections::BTreeSet::new();
        for text in &routes {
            if !seen.insert(text.clone()) {
                continue;
            }
            let Ok(Route::Path(pattern)) = Route::parse(text) else {
                return Err(TestCaseError::fail("a route of the grammar was refused"));
            };
            let spec = match pattern.matched().strip_suffix("/...") {
                Some(prefix) => format!("{prefix}/*"),
                None => pattern.matched().to_owned(),
            };
            oracle.add(spec.as_str(), text.clone()).unwrap();
        }
        let routes: Vec<_> = routes.iter().map(String::as_str).collect();
        let router = router(&routes);
        for path in &paths {
            let wanted = oracle.best_match(path);
            let got = router.find(path);
            prop_assert_eq!(
                got.as_ref().map(|found| found.component),
                wanted.as_ref().map(|found| found.handler().as_str()),
                "{:?} {}", routes, path
            );
            if let (Some(got), Some(wanted)) = (got, wanted) {
                let captures = wanted.captures();
                let wanted: Vec<_> = captures.iter().collect();
                prop_assert_eq!(got.parameters, wanted);
            }
        }
    }
}
