//! Credentials: Basic, and Bearer tokens as registries give them out
//! (<https://distribution.github.io/distribution/spec/auth/token/>).

use std::fmt;
use std::sync::Mutex;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;

use super::PushError;

/// Who pushes. `Debug` does not show the password.
#[derive(Clone)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password or token.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// What the registry asked for.
enum Granted {
    Nothing,
    Basic,
    Token(String),
}

pub(super) struct Session {
    credentials: Option<Credentials>,
    scope: String,
    granted: Mutex<Granted>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Session {
    pub(super) fn new(credentials: Option<Credentials>, repository: &str) -> Self {
        Self {
            credentials,
            scope: format!("repository:{repository}:pull,push"),
            granted: Mutex::new(Granted::Nothing),
        }
    }

    pub(super) fn authorize(&self, request: RequestBuilder) -> RequestBuilder {
        let granted = self.granted.lock().expect("nothing panics under the lock");
        match (&*granted, &self.credentials) {
            (Granted::Token(token), _) => request.bearer_auth(token),
            (Granted::Basic, Some(who)) => request.basic_auth(&who.username, Some(&who.password)),
            _ => request,
        }
    }

    /// Gets what the registry's challenge asks for.
    pub(super) async fn renew(
        &self,
        client: &Client,
        headers: &HeaderMap,
    ) -> Result<(), PushError> {
        let challenges: Vec<_> = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| Challenge::parse(value.to_str().ok()?))
            .collect();
        let granted = if let Some(bearer) = challenges.iter().find(|c| c.scheme == "bearer") {
            Granted::Token(self.fetch_token(client, bearer).await?)
        } else if self.credentials.is_some() && challenges.iter().any(|c| c.scheme == "basic") {
            Granted::Basic
        } else {
            return Err(PushError::Unauthorized(StatusCode::UNAUTHORIZED));
        };
        *self.granted.lock().expect("nothing panics under the lock") = granted;
        Ok(())
    }

    async fn fetch_token(
        &self,
        client: &Client,
        challenge: &Challenge,
    ) -> Result<String, PushError> {
        let mut url = challenge
            .get("realm")
            .and_then(|realm| Url::parse(realm).ok())
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or(PushError::Answer("a challenge without a realm"))?;
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = challenge.get("service") {
                query.append_pair("service", service);
            }
            query.append_pair("scope", challenge.get("scope").unwrap_or(&self.scope));
        }
        let mut request = client.get(url);
        if let Some(who) = &self.credentials {
            request = request.basic_auth(&who.username, Some(&who.password));
        }
        let answer = request.send().await.map_err(PushError::Http)?;
        if !answer.status().is_success() {
            return Err(super::refused("asking for a token", answer).await);
        }
        let answer: TokenAnswer = answer.json().await.map_err(PushError::Http)?;
        answer
            .token
            .or(answer.access_token)
            .ok_or(PushError::Answer("a token's answer without a token"))
    }
}

/// One `WWW-Authenticate` header: a scheme and its parameters (RFC 9110, 11.6.1).
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, mut rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parameters = Vec::new();
        while let Some((name, after)) = rest.split_once('=') {
            let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
            let value;
            if let Some(quoted) = after.strip_prefix('"') {
                let (inside, after) = quoted.split_once('"')?;
                value = inside;
                rest = after;
            } else {
                let (plain, after) = after.split_once(',').unwrap_or((after, ""));
                value = plain.trim();
                rest = after;
            }
            parameters.push((name, value.to_owned()));
        }
        Some(Self {
            scheme: scheme.to_ascii_lowercase(),
            parameters,
        })
    }

    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.parameters.iter().find(|(known, _)| known == name)?;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_taken_apart() {
        let challenge = Challenge::parse(
            r#"Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:a/b:pull,push""#,
        )
        .unwrap();
        assert_eq!(challenge.scheme, "bearer");
        assert_eq!(challenge.get("realm"), Some("https://ghcr.io/token"));
        assert_eq!(challenge.get("scope"), Some("repository:a/b:pull,push"));
        let challenge = Challenge::parse("Basic realm=Registry").unwrap();
        assert_eq!(challenge.get("realm"), Some("Registry"));
        assert_eq!(Challenge::parse("Negotiate").unwrap().parameters, []);
    }

    #[test]
    fn debug_does_not_show_the_password() {
        let who = Credentials {
            username: "ada".into(),
            password: "hunter2".into(),
        };
        assert!(!format!("{who:?}").contains("hunter2"));
    }
}
