//! Calls to other components and to the sidecar.

use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::address::CLIENT_ADDRESS;
use crate::host::OutboundRequest;
use crate::{Ctx, Error};

/// In one process; a component that takes longer is stuck.
const COMPONENT_TIMEOUT_MS: u64 = 10_000;
/// Answers between parts of the platform are small; logs are the largest.
const MAX_ANSWER_BYTES: usize = 8 << 20;

/// What another service answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Which service.
    pub service: &'static str,
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether it is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON, when the status is 2xx.
    ///
    /// # Errors
    /// [`Error::UnexpectedAnswer`] for every other status and for other bodies.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let unexpected = Error::UnexpectedAnswer {
            service: self.service,
            status: self.status,
        };
        if !self.is_success() {
            return Err(unexpected);
        }
        serde_json::from_slice(&self.body).map_err(|_| unexpected)
    }
}

impl Ctx {
    /// Calls another component of the platform as the platform. Its address is the variable
    /// `<component>_url`; the client's address and the request id go along.
    ///
    /// # Errors
    /// [`Error::Unreachable`]; [`Error::Configuration`] when a variable is missing.
    pub async fn call_component(
        &self,
        service: &'static str,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Answer, Error> {
        let variable = match service {
            "auth" => "auth_url",
            "projects" => "projects_url",
            "builds" => "builds_url",
            "deploy" => "deploy_url",
            "events" => "events_url",
            _ => return Err(Error::Contradiction("an unknown component was called")),
        };
        let base = self.required_variable(variable)?;
        let token = self.required_variable("system_token")?;
        self.call(service, method, &base, path, &token, body).await
    }

    /// Calls a service with a bearer token.
    ///
    /// # Errors
    /// [`Error::Unreachable`].
    pub async fn call(
        &self,
        service: &'static str,
        method: Method,
        base_url: &str,
        path: &str,
        token: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Answer, Error> {
        let mut headers = vec![
            ("authorization".to_owned(), format!("Bearer {token}")),
            ("x-request-id".to_owned(), self.request_id().to_owned()),
        ];
        if let Some(parent) = self.headers().get("traceparent") {
            headers.push(("traceparent".to_owned(), parent.to_owned()));
        }
        if let Some(address) = self.client_address() {
            headers.push((CLIENT_ADDRESS.to_owned(), address.to_string()));
        }
        let body = match body {
            None => Vec::new(),
            Some(value) => {
                headers.push(("content-type".to_owned(), "application/json".to_owned()));
                serde_json::to_vec(value).expect("wire types have string keys only")
            }
        };
        let answer = self
            .host
            .send(OutboundRequest {
                method,
                url: format!("{}{path}", base_url.trim_end_matches('/')),
                headers,
                body,
                timeout_ms: COMPONENT_TIMEOUT_MS,
                max_answer_bytes: MAX_ANSWER_BYTES,
            })
            .await
            .map_err(|source| Error::Unreachable { service, source })?;
        Ok(Answer {
            service,
            status: answer.status,
            body: answer.body,
        })
    }
}
