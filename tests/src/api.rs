//! A client of the public API, as thin as can be: a test should read like the requests it makes.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::wait::until;

/// Long enough for a build of a Rust application from nothing on two busy cores.
const BUILD_LIMIT: Duration = Duration::from_secs(600);
const DEPLOY_LIMIT: Duration = Duration::from_secs(60);

/// An API client, signed in or not.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// An answer: status, headers and body.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: reqwest::header::HeaderMap,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|_| panic!("{} is not JSON: {}", self.status, self.text))
    }

    /// The JSON body of an answer with this status.
    ///
    /// # Panics
    /// When the status is another one.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        if self.text.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// The problem document (RFC 9457) of a refused request.
    ///
    /// # Panics
    /// When it is not one, or of another status.
    pub fn problem(&self, status: u16) -> Value {
        let problem = self.expect(status);
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{problem}"
        );
        assert_eq!(problem["status"], status);
        for field in ["type", "title", "detail", "instance", "request_id"] {
            assert!(
                problem[field].is_string(),
                "a problem without {field}: {problem}"
            );
        }
        problem
    }
}

impl Api {
    /// A client of the platform at `url`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(120))
            .build()
            .expect("an HTTP client can be made");
        Self {
            http,
            url: url.to_owned(),
            token: None,
        }
    }

    /// Registers `username` and gives a client signed in as it.
    pub async fn register(&self, username: &str, setup_code: Option<&str>) -> Self {
        let mut body =
            json!({ "username": username, "password": format!("correct horse {username}") });
        if let Some(code) = setup_code {
            body["setup_code"] = code.into();
        }
        let answer = self.post("/auth/register", &body).await.expect(201);
        self.with_token(
            answer["access_token"]
                .as_str()
                .expect("registering answers tokens"),
        )
    }

    /// The same client with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The access token, when signed in.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The platform's base address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A request below `/api/v1`, to be completed by the caller.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}/api/v1{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When nothing answers.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        self.try_send(request).await.expect("the platform answers")
    }

    /// Sends a request that may find nobody.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer {
            status,
            headers,
            text: response.text().await?,
        })
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// `POST` with JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Creates a project and gives its id.
    pub async fn create_project(&self, name: &str) -> i64 {
        let project = self
            .post("/projects", &json!({ "name": name }))
            .await
            .expect(201);
        project["id"].as_i64().expect("a project has a number")
    }

    /// Starts a build from a repository and gives its id.
    pub async fn start_build(
        &self,
        project_id: i64,
        service: &str,
        repository_url: &str,
    ) -> String {
        let body = json!({ "project_id": project_id, "service_name": service, "repository_url": repository_url });
        let build = self.post("/builds", &body).await.expect(202);
        assert_eq!(build["status"], "pending");
        build["build_id"]
            .as_str()
            .expect("a build has an id")
            .to_owned()
    }

    /// Waits until a build has ended, however.
    pub async fn wait_for_build(&self, id: &str) -> Value {
        until(&format!("build {id} to end"), BUILD_LIMIT, || async {
            let build = self.get(&format!("/builds/{id}")).await.expect(200);
            matches!(
                build["status"].as_str(),
                Some("success" | "failed" | "cancelled")
            )
            .then_some(build)
        })
        .await
    }

    /// Builds a repository.
    ///
    /// # Panics
    /// With its log when it does not succeed.
    pub async fn build(&self, project_id: i64, service: &str, repository_url: &str) -> Value {
        let id = self.start_build(project_id, service, repository_url).await;
        let build = self.wait_for_build(&id).await;
        if build["status"] != "success" {
            panic!("{build}\n{}", self.build_log(&id).await);
        }
        build
    }

    /// Uploads a source archive, whose build has begun then, and gives the build's id.
    pub async fn upload(&self, project_id: i64, service: &str, archive: Vec<u8>) -> String {
        let path = format!("/builds/upload?project_id={project_id}&service_name={service}");
        let request = self
            .request(Method::POST, &path)
            .header("content-type", "application/gzip");
        let build = self.send(request.body(archive)).await.expect(202);
        build["build_id"]
            .as_str()
            .expect("a build has an id")
            .to_owned()
    }

    /// The whole log of a build as text.
    pub async fn build_log(&self, id: &str) -> String {
        let request = self.request(Method::GET, &format!("/builds/{id}/logs"));
        self.send(request.header("accept", "text/plain")).await.text
    }

    /// Deploys and waits until the revision runs.
    pub async fn deploy(&self, request: &Value) -> Value {
        let accepted = self.post("/deploy", request).await.expect(202);
        let id = accepted["deployment_id"]
            .as_str()
            .expect("a deployment has an id");
        self.wait_until_running(
            id,
            accepted["revision"]
                .as_u64()
                .expect("a deployment has a revision"),
        )
        .await
    }

    /// Waits until a revision of a deployment runs.
    ///
    /// # Panics
    /// When it fails or takes too long.
    pub async fn wait_until_running(&self, id: &str, revision: u64) -> Value {
        until(
            &format!("revision {revision} of {id} to run"),
            DEPLOY_LIMIT,
            || async {
                let deployment = self.get(&format!("/deployments/{id}")).await.expect(200);
                assert_ne!(deployment["status"], "failed", "{deployment}");
                (deployment["status"] == "running" && deployment["revision"] == revision)
                    .then_some(deployment)
            },
        )
        .await
    }

    /// `GET` of a deployed application.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn visit(&self, access_url: &str, path: &str) -> reqwest::Result<Answer> {
        self.visit_with(access_url, path, Method::GET, "").await
    }

    /// A request to a deployed application. `*.localhost` is this machine whatever the resolver says.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn visit_with(
        &self,
        access_url: &str,
        path: &str,
        method: Method,
        body: &str,
    ) -> reqwest::Result<Answer> {
        let request = self.visitor(access_url, path, method);
        self.try_send(request.body(body.to_owned())).await
    }

    /// The same, to be completed by the caller.
    ///
    /// # Panics
    /// When `access_url` is no address.
    pub fn visitor(&self, access_url: &str, path: &str, method: Method) -> reqwest::RequestBuilder {
        let url = reqwest::Url::parse(access_url).expect("an access_url is a URL");
        let host = url.host_str().expect("an access_url has a host").to_owned();
        let port = url.port_or_known_default().expect("http has a port");
        self.http
            .request(
                method,
                format!(
                    "http://127.0.0.1:{port}{}{path}",
                    url.path().trim_end_matches('/')
                ),
            )
            .header("host", format!("{host}:{port}"))
    }
}
