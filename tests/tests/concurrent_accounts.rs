//! Many at once: names are taken once, refresh tokens are used once, and passwords are hashed in turn.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use nokube_tests::api::{Answer, Api};
use nokube_tests::platform::Platform;
use serde_json::{Value, json};

/// How many answers have each status.
fn statuses(answers: &[Answer]) -> BTreeMap<u16, usize> {
    let mut counted = BTreeMap::new();
    for answer in answers {
        *counted.entry(answer.status.as_u16()).or_default() += 1;
    }
    counted
}

#[tokio::test]
async fn of_a_hundred_who_want_a_name_one_gets_it() {
    let platform = Platform::start();
    let api = platform.api();
    let body = json!({ "username": "alice", "password": "correct horse battery" });
    let answers = join_all((0..100).map(|_| api.post("/auth/register", &body))).await;
    assert_eq!(statuses(&answers), BTreeMap::from([(201, 1), (409, 99)]));
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.problem(409)["type"], "/problems/taken");
    }
    // The one who has it has a session that works.
    let winner = answers.iter().find(|answer| answer.status == 201);
    let token = winner.expect("one").json()["access_token"].clone();
    let me = api.with_token(token.as_str().expect("a token"));
    assert_eq!(me.get("/auth/me").await.expect(200)["username"], "alice");
}

#[tokio::test]
async fn of_a_hundred_who_want_an_address_one_gets_it() {
    let platform = Platform::start();
    let api = platform.api();
    let bodies = (0..100).map(|n| {
        // Half of them have a name of their own; the others' would be made from the address.
        let username = (n % 2 == 0).then(|| format!("alice{n}"));
        json!({
            "username": username, "email": "alice@example.com", "password": "correct horse battery",
        })
    });
    let bodies: Vec<Value> = bodies.collect();
    let answers = join_all(bodies.iter().map(|body| api.post("/auth/register", body))).await;
    assert_eq!(statuses(&answers), BTreeMap::from([(201, 1), (409, 99)]));
}

#[tokio::test]
async fn of_many_whose_names_are_made_alike_each_gets_another() {
    let platform = Platform::start();
    let api = platform.api();
    let bodies = (0..40).map(|n| {
        let email = format!("alice@{n}.example.com");
        json!({ "email": email, "password": "correct horse battery" })
    });
    let bodies: Vec<Value> = bodies.collect();
    let answers = join_all(bodies.iter().map(|body| api.post("/auth/register", body))).await;
    let made: Vec<Value> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .map(Answer::json)
        .collect();
    let names: BTreeSet<&str> = made
        .iter()
        .filter_map(|answer| answer["user"]["username"].as_str())
        .collect();
    assert_eq!(names.len(), made.len(), "{names:?}");
    assert!(names.len() >= 16, "the queue is served: {names:?}");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.problem(429)["type"], "/problems/too-many-sign-ins");
    }
}

#[tokio::test]
async fn of_two_who_refresh_at_once_one_wins_and_the_family_ends() {
    let platform = Platform::start();
    let api = platform.api();
    for round in 0..10 {
        let body =
            json!({ "username": format!("user{round}"), "password": "correct horse battery" });
        let tokens = api.post("/auth/register", &body).await.expect(201);
        let refresh = |tokens: &Value| {
            let (api, token) = (api.clone(), tokens["refresh_token"].clone());
            async move {
                api.post("/auth/refresh", &json!({ "refresh_token": token }))
                    .await
            }
        };
        let (first, second) = tokio::join!(refresh(&tokens), refresh(&tokens));
        let (won, lost) = match first.status.as_u16() {
            200 => (first, second),
            _ => (second, first),
        };
        assert_eq!(lost.problem(401)["type"], "/problems/refresh-refused");
        // A token used twice was stolen: what the winner got ends with its family.
        let won = won.expect(200);
        assert_eq!(refresh(&won).await.status, 401);
        let me = api.with_token(won["access_token"].as_str().expect("a token"));
        assert_eq!(me.get("/auth/me").await.status, 401);
    }
}

#[tokio::test]
async fn a_crowd_that_signs_in_is_served_in_turn_or_told_when_to_come_back() {
    // All are one account's: what would be too many guesses is not what is tried here.
    let platform = Platform::start_with(&["--variable", "login_limit_per_account=1000"]);
    let api = platform.api();
    api.register("alice", None).await;
    let login = |api: Api| async move {
        let body = json!({ "username": "alice", "password": "correct horse alice" });
        api.post("/auth/login", &body).await
    };
    let (answers, health) = tokio::join!(
        join_all((0..60).map(|_| login(api.clone()))),
        join_all((0..20).map(|_| api.get("/auth/health"))),
    );
    assert_eq!(statuses(&health), BTreeMap::from([(200, 20)]));
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert!(
        served >= 16,
        "the queue is served: {:?}",
        statuses(&answers)
    );
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        let problem = answer.problem(429);
        assert_eq!(
            problem["type"], "/problems/too-many-sign-ins",
            "{:?}",
            answer.headers
        );
        assert_eq!(answer.headers["retry-after"], "2");
    }
    // Nobody was counted as having guessed.
    assert_eq!(login(api.clone()).await.status, 200);
}

#[tokio::test]
async fn of_thirty_who_guess_at_once_ten_are_looked_at() {
    // They hash at the same time, so that none of them is over before another is counted.
    let platform = Platform::start_with(&["--variable", "hashes_at_once=30"]);
    let api = platform.api();
    api.register("alice", None).await;
    let body = json!({ "username": "alice", "password": "not the password" });
    let answers = join_all((0..30).map(|_| api.post("/auth/login", &body))).await;
    assert_eq!(statuses(&answers), BTreeMap::from([(401, 10), (429, 20)]));
    for answer in &answers {
        let kind = match answer.status.as_u16() {
            401 => "/problems/wrong-credentials",
            _ => "/problems/too-many-attempts",
        };
        assert_eq!(answer.json()["type"], kind);
        assert!(answer.headers.contains_key("ratelimit"));
    }
}
