//! Three users and one project: what each role may do, what ends with a membership, and whose name a project carries.

use std::time::{Duration, Instant};

use nokube_tests::api::Api;
use nokube_tests::cli::Cli;
use nokube_tests::platform::Platform;
use nokube_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

/// An event stream ends by itself after 25 seconds.
const BEFORE_ITS_OWN_END: Duration = Duration::from_secs(15);

async fn put(api: &Api, project: i64, name: &str, role: &str) -> nokube_tests::api::Answer {
    let path = format!("/projects/{project}/members/{name}");
    let body = json!({ "role": role });
    api.send(api.request(Method::PUT, &path).json(&body)).await
}

fn simulated(project: i64, branch: &str) -> Value {
    json!({
        "project_id": project, "service_name": "web", "builder": "simulated",
        "repository_url": "https://example.org/shop.git", "branch": branch,
    })
}

#[tokio::test]
async fn members_build_and_deploy_as_their_role_says_until_they_are_removed() {
    let platform = Platform::start();
    let ada = platform
        .api()
        .register("ada", Some(platform.setup_code()))
        .await;
    let bob = platform.api().register("bob", None).await;
    let eve = platform.api().register("eve", None).await;
    let project = ada.create_project("Shop").await;
    let of_project = format!("/projects/{project}");

    // Strangers see nothing; viewers only look.
    bob.get(&of_project).await.problem(404);
    let unknown = put(&ada, project, "nobody", "viewer").await.problem(422);
    assert_eq!(unknown["errors"][0]["pointer"], "/username", "{unknown}");
    put(&ada, project, "bob", "viewer").await.expect(201);
    assert_eq!(bob.get(&of_project).await.expect(200)["role"], "viewer");
    let build = simulated(project, "main");
    bob.post("/builds", &build).await.problem(403);

    // Developers build and deploy, and that is all.
    put(&ada, project, "bob", "developer").await.expect(200);
    let build = bob.post("/builds", &build).await.expect(202);
    assert_eq!(build["created_by"], "bob");
    let build = bob
        .wait_for_build(build["build_id"].as_str().expect("an id"))
        .await;
    assert_eq!(build["status"], "success", "{build}");
    let release =
        json!({ "project_id": project, "service_name": "web", "build_id": build["build_id"] });
    let deployed = bob.deploy(&release).await;
    let (id, url) = (
        deployed["deployment_id"]
            .as_str()
            .expect("an id")
            .to_owned(),
        deployed["access_url"]
            .as_str()
            .expect("an address")
            .to_owned(),
    );
    assert!(url.starts_with("http://web.shop.ada.localhost:"), "{url}");
    put(&bob, project, "eve", "viewer").await.problem(403);
    bob.delete(&of_project).await.problem(403);
    eve.get(&format!("/deployments/{id}")).await.problem(404);

    // A removed member is a stranger at once, with the token it has and in what it follows.
    let hanging = bob
        .post("/builds", &simulated(project, "hang"))
        .await
        .expect(202);
    let hanging = hanging["build_id"].as_str().expect("an id").to_owned();
    let mut followed = Vec::new();
    for path in [
        format!("/builds/{hanging}/logs"),
        format!("/deployments/{id}/logs"),
    ] {
        let request = bob
            .request(Method::GET, &path)
            .header("accept", "text/event-stream");
        let mut stream = request.send().await.expect("the platform answers");
        assert_eq!(stream.status(), 200);
        assert!(stream.chunk().await.expect("it goes on").is_some());
        followed.push(stream);
    }
    let begun = Instant::now();
    assert_eq!(
        ada.delete(&format!("{of_project}/members/bob"))
            .await
            .status,
        204
    );
    for stream in followed {
        stream.text().await.expect("it ends");
    }
    assert!(
        begun.elapsed() < BEFORE_ITS_OWN_END,
        "{:?}",
        begun.elapsed()
    );
    for path in [
        &of_project,
        &format!("/builds/{hanging}"),
        &format!("/deployments/{id}"),
    ] {
        bob.get(path).await.problem(404);
    }
    bob.post("/deploy", &release).await.problem(404);
    bob.post(&format!("/builds/{hanging}/cancel"), &json!({}))
        .await
        .problem(404);
    ada.post(&format!("/builds/{hanging}/cancel"), &json!({}))
        .await
        .expect(202);

    takes_over(&ada, &eve, project, &id, &url).await;

    // Everyone's doing in the project, for its members; one's own, for each.
    let activity = eve
        .get(&format!("{of_project}/activity?limit=100"))
        .await
        .expect(200);
    let told = |who: &str, action: &str| {
        let entries = activity["data"].as_array().expect("entries");
        entries
            .iter()
            .any(|entry| entry["actor"] == who && entry["action"] == action)
    };
    for (who, action) in [
        ("ada", "member.add"),
        ("bob", "deployment.deploy"),
        ("ada", "member.remove"),
        ("eve", "project.take_over"),
        ("ada", "member.leave"),
    ] {
        assert!(told(who, action), "{who} {action}: {activity}");
    }
    let own = bob.get("/audit?action=build.create").await.expect(200);
    assert_eq!(own["data"].as_array().map(Vec::len), Some(2), "{own}");
    by_command(&platform);
}

/// Another owner takes the project over: its addresses change, and its former owner may leave.
async fn takes_over(ada: &Api, eve: &Api, project: i64, id: &str, url: &str) {
    let of_project = format!("/projects/{project}");
    ada.delete(&format!("{of_project}/members/ada"))
        .await
        .problem(409);
    put(ada, project, "eve", "owner").await.expect(201);
    let request = eve.request(Method::PATCH, &of_project);
    let taken = eve.send(request.json(&json!({ "owner": "eve" }))).await;
    assert_eq!(taken.expect(200)["owner"], "eve");
    let moved = until(
        "the deployment to move",
        Duration::from_secs(30),
        || async {
            let deployment = eve.get(&format!("/deployments/{id}")).await.expect(200);
            let moved = deployment["access_url"]
                .as_str()
                .is_some_and(|url| url.contains(".eve."));
            (moved && deployment["status"] == "running").then_some(deployment)
        },
    )
    .await;
    let new_url = moved["access_url"].as_str().expect("an address");
    assert_eq!(new_url, url.replace(".ada.", ".eve."));
    assert_eq!(moved["revision"], 1, "it is the same release");
    let page = eve.visit(new_url, "/").await.expect("it answers");
    assert_eq!(page.status, 200, "{}", page.text);
    let old = eve.visit(url, "/").await.expect("the front answers");
    assert_eq!(old.status, 404, "{}", old.text);
    assert_eq!(
        ada.delete(&format!("{of_project}/members/ada"))
            .await
            .status,
        204
    );
    // An administrator who is no member reads, and does not change.
    assert_eq!(ada.get(&of_project).await.expect(200)["role"], "viewer");
    put(ada, project, "ada", "owner").await.problem(403);
    assert!(
        ada.create_project("Shop").await > project,
        "the slug is free again"
    );
}

/// The same by command, as the project's new owner.
fn by_command(platform: &Platform) {
    let eve = Cli::signed_in(platform, "eve");
    let said = eve.succeeds(&["member", "add", "shop", "bob", "--role", "developer"]);
    assert_eq!(said.trim(), "bob is developer of shop.");
    let members = eve.json(&["member", "list", "shop"]);
    let names: Vec<&Value> = members
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| &row["username"])
        .collect();
    assert_eq!(names, ["bob", "eve"]);
    assert!(
        eve.refused(&["member", "add", "shop", "nobody"])
            .contains("is not the name of an account")
    );

    let bob = Cli::signed_in(platform, "bob");
    assert!(
        bob.refused(&["project", "take-over", "shop"])
            .contains("role")
    );
    bob.succeeds(&["member", "remove", "shop", "bob"]);
    assert!(
        bob.refused(&["activity", "shop"])
            .contains("there is no project shop")
    );
    let own = bob.json(&["activity", "--action", "member.leave"]);
    assert_eq!(own.as_array().map(Vec::len), Some(1), "{own}");

    let newest = eve.json(&["activity", "shop", "-n", "1"]);
    assert_eq!(
        (
            &newest[0]["actor"],
            &newest[0]["action"],
            &newest[0]["target"]
        ),
        (&json!("bob"), &json!("member.leave"), &json!("member:bob"))
    );
    let shown = eve.succeeds(&["activity", "shop", "--number", "100"]);
    assert!(
        shown.starts_with("TIME") && shown.contains("project.create"),
        "{shown}"
    );
}
