//! The platform's API as a client: signed requests, refresh, problems as errors.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::credentials::{self, Credentials, CredentialsFile};

/// Refresh this long before the access token ends, so that a slow request does not outlive it.
const REFRESH_MARGIN_SECONDS: i64 = 30;

/// A refused request, with what the platform said about it.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    problem: Option<Value>,
}

impl ApiError {
    /// The problem document (RFC 9457), when the answer was one.
    pub(crate) fn problem(&self) -> Option<&Value> {
        self.problem.as_ref()
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(problem) = &self.problem else {
            return write!(out, "the platform answered {}", self.status);
        };
        let text = |field: &str| problem[field].as_str().unwrap_or_default();
        write!(
            out,
            "{}",
            if text("detail").is_empty() {
                text("title")
            } else {
                text("detail")
            }
        )?;
        for fault in problem["errors"].as_array().into_iter().flatten() {
            let detail = fault["detail"].as_str().unwrap_or_default();
            write!(
                out,
                "\n  {}: {detail}",
                fault["pointer"].as_str().unwrap_or_default()
            )?;
        }
        if self.status.is_server_error() {
            write!(out, "\n  request id: {}", text("request_id"))?;
        }
        if self.status == StatusCode::UNAUTHORIZED {
            write!(out, "\n  sign in again with `nokube login`")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}

/// A client of one platform, signed in or not.
pub(crate) struct ApiClient {
    http: reqwest::Client,
    url: String,
    credentials: Option<Credentials>,
}

impl ApiClient {
    /// A client for the platform at `url`, not signed in.
    pub(crate) fn anonymous(url: &str) -> anyhow::Result<Self> {
        let parsed =
            reqwest::Url::parse(url).with_context(|| format!("{url} is not an address"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            bail!("{url} is not an http:// or https:// address");
        }
        let http = reqwest::Client::builder()
            // A redirect that carries a source archive goes elsewhere without our token: followed by hand.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("nokube/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            credentials: None,
        })
    }

    /// A client with the kept session.
    pub(crate) fn signed_in() -> anyhow::Result<Self> {
        let credentials = credentials::current()?;
        let mut client = Self::anonymous(&credentials.url)?;
        client.credentials = Some(credentials);
        Ok(client)
    }

    /// Base address of the platform.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Who is signed in.
    pub(crate) fn username(&self) -> &str {
        self.credentials
            .as_ref()
            .map_or("", |credentials| &credentials.username)
    }

    /// `GET path` (below `/api/v1`).
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None).await
    }

    /// `POST path` with a JSON body.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// `PUT path` with a JSON body.
    pub(crate) async fn put(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// `PATCH path` with a JSON body.
    pub(crate) async fn patch(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// `DELETE path`.
    pub(crate) async fn delete(&mut self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::DELETE, path, None).await
    }

    /// `DELETE path` with a JSON body.
    pub(crate) async fn delete_with(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::DELETE, path, Some(body)).await
    }

    /// Every page of a list.
    pub(crate) async fn list(&mut self, path: &str) -> anyhow::Result<Vec<Value>> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut rows = Vec::new();
        for page in 1.. {
            let mut answer = self
                .get(&format!("{path}{separator}page={page}&limit=100"))
                .await?;
            if let Value::Array(more) = answer["data"].take() {
                rows.extend(more);
            }
            if answer["pagination"]["pages"].as_u64().unwrap_or(0) <= page {
                break;
            }
        }
        Ok(rows)
    }

    /// Sends a source archive: asks the API, which names the address that takes it.
    pub(crate) async fn upload(&mut self, path: &str, archive: &[u8]) -> anyhow::Result<Value> {
        let token = self.token().await?;
        let asked = self
            .http
            .post(self.address(path))
            .header(header::CONTENT_TYPE, "application/gzip")
            .bearer_auth(token)
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        if asked.status() != StatusCode::TEMPORARY_REDIRECT {
            return read(asked).await;
        }
        let location = asked
            .headers()
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok())
            .context("the platform did not say where the source goes")?;
        let target = reqwest::Url::parse(&self.address(path))?.join(location)?;
        let answer = self
            .http
            .post(target)
            .header(header::CONTENT_TYPE, "application/gzip")
            .body(archive.to_vec())
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        read(answer).await
    }

    /// Signs in with what `register` or `login` answered, and keeps it.
    pub(crate) fn keep_session(&mut self, answer: &Value) -> anyhow::Result<()> {
        let credentials = session(&self.url, answer, None)?;
        CredentialsFile::lock()?.write(&credentials)?;
        self.credentials = Some(credentials);
        Ok(())
    }

    /// Signs in with an API token, and keeps it.
    pub(crate) async fn keep_token(&mut self, token: &str) -> anyhow::Result<Value> {
        let answer = self.exchange(token).await?;
        let credentials = session(&self.url, &answer, Some(token))?;
        CredentialsFile::lock()?.write(&credentials)?;
        self.credentials = Some(credentials);
        Ok(answer)
    }

    /// Whether the kept sign-in is an API token.
    pub(crate) fn has_api_token(&self) -> bool {
        self.credentials
            .as_ref()
            .is_some_and(|credentials| credentials.api_token.is_some())
    }

    /// Has the next request ask for a new access token: the account may do more by now than the present one says.
    pub(crate) fn drop_access_token(&mut self) -> anyhow::Result<()> {
        let Some(present) = &mut self.credentials else {
            return Ok(());
        };
        let file = CredentialsFile::lock()?;
        if let Some(mut kept) = file.read()?
            && kept.url == present.url
            && kept.username == present.username
        {
            kept.expires_at = 0;
            file.write(&kept)?;
            *present = kept;
        }
        Ok(())
    }

    async fn exchange(&self, token: &str) -> anyhow::Result<Value> {
        let answer = self
            .http
            .post(self.address("/auth/token"))
            .json(&json!({ "grant_type": "api_token", "token": token }))
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        read(answer).await
    }

    /// The refresh token of the kept session.
    pub(crate) fn refresh_token(&self) -> Option<&str> {
        self.credentials
            .as_ref()
            .map(|credentials| credentials.refresh_token.as_str())
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self.http.request(method, self.address(path));
        if self.credentials.is_some() {
            request = request.bearer_auth(self.token().await?);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        read(
            request
                .send()
                .await
                .map_err(|error| self.unreachable(error))?,
        )
        .await
    }

    fn address(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.url)
    }

    fn unreachable(&self, error: reqwest::Error) -> anyhow::Error {
        let url = &self.url;
        if error.is_connect() {
            anyhow::anyhow!("nothing answers at {url}: is the platform running (`nokube up`)?")
        } else {
            anyhow::Error::new(error).context(format!("the request to {url} failed"))
        }
    }

    /// A valid access token; refreshes under the lock when the present one is about to end.
    async fn token(&mut self) -> anyhow::Result<String> {
        let present = self.credentials.clone().context("you are not signed in")?;
        if !is_stale(&present) {
            return Ok(present.access_token);
        }
        let file = CredentialsFile::lock()?;
        // Another command may have refreshed while this one waited for the lock.
        if let Some(kept) = file.read()?
            && kept.url == present.url
            && kept.username == present.username
            && !is_stale(&kept)
        {
            self.credentials = Some(kept.clone());
            return Ok(kept.access_token);
        }
        let newest = file
            .read()?
            .filter(|kept| kept.url == present.url)
            .unwrap_or(present);
        if let Some(token) = &newest.api_token {
            let answer = self.exchange(token).await?;
            let renewed = session(&self.url, &answer, Some(token))?;
            file.write(&renewed)?;
            self.credentials = Some(renewed.clone());
            return Ok(renewed.access_token);
        }
        let answer = self
            .http
            .post(self.address("/auth/refresh"))
            .json(&json!({ "refresh_token": newest.refresh_token }))
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        let mut answer = read(answer)
            .await
            .context("your session could not be renewed: run `nokube login`")?;
        if answer["user"].is_null() {
            answer["user"] = json!({ "username": newest.username });
        }
        let renewed = session(&self.url, &answer, None)?;
        file.write(&renewed)?;
        self.credentials = Some(renewed.clone());
        Ok(renewed.access_token)
    }
}

async fn read(response: Response) -> anyhow::Result<Value> {
    let status = response.status();
    let bytes = response
        .bytes()
        .await
        .context("the platform's answer broke off")?;
    let value = serde_json::from_slice::<Value>(&bytes).ok();
    if status.is_success() {
        return Ok(value.unwrap_or(Value::Null));
    }
    Err(ApiError {
        status,
        problem: value.filter(|value| value["status"].is_number()),
    }
    .into())
}

fn session(url: &str, answer: &Value, api_token: Option<&str>) -> anyhow::Result<Credentials> {
    let text = |value: &Value, what: &str| {
        value
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("the platform's answer has no {what}"))
    };
    Ok(Credentials {
        url: url.to_owned(),
        username: text(&answer["user"]["username"], "username")?,
        access_token: text(&answer["access_token"], "access_token")?,
        refresh_token: match api_token {
            Some(_) => String::new(),
            None => text(&answer["refresh_token"], "refresh_token")?,
        },
        api_token: api_token.map(str::to_owned),
        expires_at: now() + answer["expires_in"].as_i64().unwrap_or(0),
    })
}

fn is_stale(credentials: &Credentials) -> bool {
    now() + REFRESH_MARGIN_SECONDS >= credentials.expires_at
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().cast_signed())
}
