//! What a scenario knows: who asks, what was asked last, and what it made.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use cucumber::World;
use nokube_tests::api::{Answer, Api};
use nokube_tests::platform::Platform;
use reqwest::Method;
use serde_json::{Value, json};

static URL: OnceLock<String> = OnceLock::new();
static ADMINISTRATOR: OnceLock<Api> = OnceLock::new();
static USERS: AtomicU32 = AtomicU32::new(1);

/// Tells scenarios which platform they are about, and gives it an administrator.
pub(crate) async fn use_platform(platform: &Platform) {
    URL.get_or_init(|| platform.url().to_owned());
    let code = Some(platform.setup_code());
    let administrator = platform.api().register("administrator", code).await;
    ADMINISTRATOR.get_or_init(|| administrator);
}

/// The platform's administrator.
pub(crate) fn administrator() -> &'static Api {
    ADMINISTRATOR.get().expect("the platform has one")
}

/// A scenario's state.
#[derive(Debug, World)]
#[world(init = Self::new)]
pub(crate) struct PlatformWorld {
    /// Whose token requests carry; none without.
    token: Option<String>,
    pub(crate) email: String,
    pub(crate) refresh_token: String,
    pub(crate) last: Option<Answer>,
    /// The event the scenario is about, as it was when it was made.
    pub(crate) event: Value,
    pub(crate) etag: String,
    /// The token of whoever owns the event, when that is somebody else.
    pub(crate) other_owner: Option<String>,
    pub(crate) made: Vec<Value>,
    pub(crate) wanted_status: String,
    pub(crate) addresses: Vec<String>,
}

impl PlatformWorld {
    fn new() -> Self {
        Self {
            token: None,
            email: String::new(),
            refresh_token: String::new(),
            last: None,
            event: Value::Null,
            etag: String::new(),
            other_owner: None,
            made: Vec::new(),
            wanted_status: String::new(),
            addresses: Vec::new(),
        }
    }

    /// A client with or without the user's token.
    pub(crate) fn api(&self) -> Api {
        let api = Api::new(URL.get().expect("the platform is started first"));
        match &self.token {
            Some(token) => api.with_token(token),
            None => api,
        }
    }

    /// Forgets who is signed in.
    pub(crate) fn sign_out(&mut self) {
        self.token = None;
    }

    /// Registers a user, once in a scenario, and signs in as it.
    pub(crate) async fn sign_in(&mut self) {
        if self.email.is_empty() {
            let answer = self.register().await;
            self.token = text(&answer["access_token"]);
        }
    }

    /// Registers a user without signing in.
    pub(crate) async fn register(&mut self) -> Value {
        let number = USERS.fetch_add(1, Ordering::Relaxed);
        self.email = format!("user{number}@example.com");
        let body = json!({ "email": self.email, "password": PASSWORD });
        let answer = Api::new(self.api().url())
            .post("/auth/register", &body)
            .await
            .expect(201);
        self.refresh_token = text(&answer["refresh_token"]).expect("a refresh token");
        answer
    }

    /// Does something as another, new user.
    pub(crate) async fn as_somebody_else(&mut self) -> Api {
        let mut other = Self::new();
        other.sign_in().await;
        self.other_owner.clone_from(&other.token);
        other.api()
    }

    /// Sends a request and keeps its answer.
    pub(crate) async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) {
        let api = self.api();
        let request = api.request(method, path);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        self.last = Some(api.send(request).await);
    }

    /// The last answer.
    pub(crate) fn answer(&self) -> &Answer {
        self.last.as_ref().expect("something was asked")
    }

    /// The path of the event the scenario is about.
    pub(crate) fn event_path(&self) -> String {
        format!("/events/{}", self.event["id"].as_str().expect("an event"))
    }

    /// Creates an event of the user.
    pub(crate) async fn create(&mut self, body: &Value) {
        self.sign_in().await;
        let answer = self.api().post("/events", body).await;
        self.made.push(answer.expect(201));
    }
}

/// Every user's.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A whole event, as users send it.
pub(crate) fn campaign() -> Value {
    json!({
        "title": "Summer sale", "description": "Everything at half price",
        "start_date": "2097-06-20", "end_date": "2097-07-10", "status": "draft"
    })
}

/// The text of a JSON string.
pub(crate) fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
