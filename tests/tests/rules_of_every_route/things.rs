//! People and things on the platform: ada owns projects, one with a build and a deployment, bob may look at them, dan may
//! build and deploy there, eve is a stranger. Others are there to lose something.

use nokube_tests::api::Api;
use reqwest::Method;
use serde_json::{Value, json};

use crate::totp;

/// What fixtures name.
#[derive(Default)]
pub(crate) struct Things {
    pub(crate) ada: String,
    pub(crate) bob: String,
    pub(crate) dan: String,
    pub(crate) eve: String,
    pub(crate) admin: String,
    /// Leaves its session.
    pub(crate) leaver: String,
    /// Changes its password.
    pub(crate) changer: String,
    /// Deletes its account.
    pub(crate) goner: String,
    /// Has begun to set a second factor up, with this secret.
    pub(crate) beginner: String,
    pub(crate) totp_secret: String,
    /// Has begun to, and does not know the secret.
    pub(crate) guesser: String,
    /// Has a second factor, and this code left.
    pub(crate) guarded: String,
    pub(crate) recovery_code: String,
    /// Guest's, who is a member of the project and loses this, and the account.
    pub(crate) guest_id: i64,
    pub(crate) bob_id: i64,
    pub(crate) refresh_token: String,
    pub(crate) session: String,
    pub(crate) spare_session: String,
    pub(crate) api_token: String,
    pub(crate) api_token_value: String,
    pub(crate) spare_api_token: String,
    pub(crate) invitation: String,
    pub(crate) spare_invitation: String,
    pub(crate) repository_url: String,
    pub(crate) project: i64,
    pub(crate) spare_project: i64,
    pub(crate) build: String,
    pub(crate) waiting_build: String,
    /// Where the source of that build is sent.
    pub(crate) upload_path: String,
    pub(crate) deployment: String,
    pub(crate) event: String,
    pub(crate) spare_event: String,
    /// What makes the address of ada's calendar private.
    pub(crate) calendar_token: String,
}

impl Things {
    /// Makes all of it.
    pub(crate) async fn make(anyone: &Api, setup_code: &str, repository_url: &str) -> Self {
        let mut things = Self {
            repository_url: repository_url.to_owned(),
            ..Self::default()
        };
        let admin = anyone.register("root1", Some(setup_code)).await;
        let ada = anyone.register("ada", None).await;
        let bob = anyone.register("bob", None).await;
        things.admin = token(&admin);
        things.ada = token(&ada);
        things.bob = token(&bob);
        things.bob_id = number(&bob.get("/auth/me").await.expect(200)["id"]);
        things.dan = token(&anyone.register("dan", None).await);
        things.eve = token(&anyone.register("eve", None).await);
        things.make_accounts(anyone).await;
        things.make_credentials(anyone, &ada).await;
        for kept in [&mut things.invitation, &mut things.spare_invitation] {
            let made = admin.post("/auth/invitations", &json!({})).await;
            *kept = text(&made.expect(201)["id"]);
        }
        things.make_project(&ada).await;
        things.make_events(&ada).await;
        things
    }

    async fn make_accounts(&mut self, anyone: &Api) {
        self.leaver = token(&anyone.register("leaver", None).await);
        self.changer = token(&anyone.register("changer", None).await);
        self.goner = token(&anyone.register("goner", None).await);
        let guest = anyone.register("guest1", None).await;
        self.guest_id = number(&guest.get("/auth/me").await.expect(200)["id"]);
        let password = "correct horse stayer";
        let stayer = json!({ "username": "stayer", "password": password });
        let stayer = anyone.post("/auth/register", &stayer).await.expect(201);
        self.refresh_token = text(&stayer["refresh_token"]);
        let beginner = anyone.register("beginner", None).await;
        self.totp_secret = begun(&beginner, "beginner").await;
        self.beginner = token(&beginner);
        let guesser = anyone.register("guesser", None).await;
        begun(&guesser, "guesser").await;
        self.guesser = token(&guesser);
        let guarded = anyone.register("guarded", None).await;
        let code = totp::code_now(&begun(&guarded, "guarded").await);
        let confirmed = guarded
            .post("/auth/totp/confirm", &json!({ "code": code }))
            .await
            .expect(200);
        self.recovery_code = text(&confirmed["recovery_codes"][0]);
        self.guarded = token(&guarded);
    }

    /// Sessions and API tokens of ada's.
    async fn make_credentials(&mut self, anyone: &Api, ada: &Api) {
        let current = ada.get("/auth/sessions").await.expect(200);
        self.session = text(&current["data"][0]["id"]);
        let body = json!({ "username": "ada", "password": "correct horse ada" });
        let second = anyone.post("/auth/login", &body).await.expect(200);
        let second = anyone.with_token(&text(&second["access_token"]));
        let sessions = second.get("/auth/sessions").await.expect(200);
        let mut sessions = sessions["data"].as_array().into_iter().flatten();
        let spare = sessions.find(|session| session["current"] == true);
        self.spare_session = text(&spare.expect("a session knows itself")["id"]);
        let body = json!({ "name": "ci", "scopes": ["read"] });
        let made = ada.post("/auth/tokens", &body).await.expect(201);
        self.api_token = text(&made["id"]);
        self.api_token_value = text(&made["token"]);
        let made = ada.post("/auth/tokens", &body).await.expect(201);
        self.spare_api_token = text(&made["id"]);
    }

    async fn make_project(&mut self, ada: &Api) {
        self.project = ada.create_project("shop").await;
        self.spare_project = ada.create_project("spare").await;
        for (project, name, role) in [
            (self.project, "bob", "viewer"),
            (self.spare_project, "bob", "viewer"),
            (self.project, "dan", "developer"),
            (self.spare_project, "dan", "developer"),
            (self.project, "guest1", "viewer"),
        ] {
            let path = format!("/projects/{project}/members/{name}");
            let request = ada.request(Method::PUT, &path);
            let added = ada.send(request.json(&json!({ "role": role }))).await;
            added.expect(201);
        }
        let build = ada.build(self.project, "web", &self.repository_url).await;
        self.build = text(&build["build_id"]);
        let release = json!({
            "project_id": self.project, "service_name": "web", "build_id": self.build,
        });
        self.deployment = text(&ada.deploy(&release).await["deployment_id"]);
        (self.waiting_build, self.upload_path) = waiting_build(ada, self.project).await;
    }

    async fn make_events(&mut self, ada: &Api) {
        for kept in [&mut self.event, &mut self.spare_event] {
            let made = ada.post("/events", &event("Launch")).await.expect(201);
            *kept = text(&made["id"]);
        }
        let request = ada.request(Method::POST, "/events/feed");
        let feed = ada.send(request).await.expect(201);
        let url = text(&feed["url"]);
        let (_, private) = url.split_once("token=").expect("an address has a token");
        private.clone_into(&mut self.calendar_token);
    }
}

/// An event that is taken.
pub(crate) fn event(title: &str) -> Value {
    json!({
        "title": title, "status": "published",
        "start_date": "2030-05-01T10:00:00Z", "end_date": "2030-05-01T11:00:00Z",
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> i64 {
    value.as_i64().expect("a user has a number")
}

fn token(api: &Api) -> String {
    api.token().unwrap_or_default().to_owned()
}

/// The secret of a second factor that was begun.
async fn begun(api: &Api, username: &str) -> String {
    let body = json!({ "password": format!("correct horse {username}") });
    text(&api.post("/auth/totp", &body).await.expect(201)["secret"])
}

/// A build that waits for its source, and the path that takes it.
async fn waiting_build(ada: &Api, project: i64) -> (String, String) {
    let path = format!("/builds/upload?project_id={project}&service_name=waiting");
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("an HTTP client can be made");
    let answer = client
        .post(format!("{}/api/v1{path}", ada.url()))
        .bearer_auth(ada.token().unwrap_or_default())
        .send()
        .await
        .expect("the platform answers");
    let address = answer.headers()["location"].to_str().expect("an address");
    let at = address.find("/blobs/").expect("the address of a blob");
    let path = address[at..].to_owned();
    let build: Value = answer.json().await.expect("a build");
    (text(&build["build_id"]), path)
}
