//! A client of the Kubernetes API as thin as can be, so that tests see what is there by other eyes than the sidecar's.

use std::time::Duration;

use reqwest::{Certificate, Method, StatusCode};
use serde_json::{Value, json};

/// A client with one identity.
#[derive(Clone)]
pub struct Kube {
    http: reqwest::Client,
    server: String,
    token: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// The object, or the `Status` that says why not.
    pub body: Value,
}

impl Answer {
    /// The object of a call that went well.
    ///
    /// # Panics
    /// When it did not.
    pub fn expect(self, what: &str) -> Value {
        assert!(
            self.status.is_success(),
            "{what}: {} {}",
            self.status,
            self.body
        );
        self.body
    }
}

impl Kube {
    pub(super) fn new(server: &str, certificate: &str, token: &str) -> Self {
        let root = Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_built_in_root_certs(false)
            .add_root_certificate(root)
            .timeout(Duration::from_secs(60))
            .build()
            .expect("an HTTP client can be made");
        Self {
            http,
            server: server.to_owned(),
            token: token.to_owned(),
        }
    }

    /// One call; nothing when the server cannot be reached.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: String,
    ) -> Option<Answer> {
        let answer = self
            .http
            .request(method, format!("{}{path}", self.server))
            .bearer_auth(&self.token)
            .header("content-type", content_type)
            .body(body)
            .send()
            .await
            .ok()?;
        let status = answer.status();
        let text = answer.text().await.ok()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Some(Answer { status, body })
    }

    async fn answered(&self, method: Method, path: &str, body: &Value) -> Answer {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let content_type = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        self.call(method, path, content_type, body)
            .await
            .unwrap_or_else(|| panic!("the API server does not answer at {path}"))
    }

    /// Reads an object or a list.
    pub async fn get(&self, path: &str) -> Answer {
        self.answered(Method::GET, path, &Value::Null).await
    }

    /// An object, when there is one.
    ///
    /// # Panics
    /// When that cannot be known.
    pub async fn find(&self, path: &str) -> Option<Value> {
        let answer = self.get(path).await;
        if answer.status == StatusCode::NOT_FOUND {
            return None;
        }
        Some(answer.expect(path))
    }

    /// The objects of a list.
    ///
    /// # Panics
    /// When they cannot be listed.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let mut list = self.get(path).await.expect(path);
        match list["items"].take() {
            Value::Array(items) => items,
            // A kind that has never been stored may be listed without `items`.
            _ => Vec::new(),
        }
    }

    /// Makes an object.
    pub async fn create(&self, path: &str, object: &Value) -> Answer {
        self.answered(Method::POST, path, object).await
    }

    /// Makes an object of a YAML document.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn create_yaml(&self, path: &str, document: &str) -> Value {
        self.call(Method::POST, path, "application/yaml", document.to_owned())
            .await
            .expect("the API server answers")
            .expect(path)
    }

    /// Changes an object (RFC 7396).
    pub async fn merge(&self, path: &str, change: &Value) -> Answer {
        self.answered(Method::PATCH, path, change).await
    }

    /// Removes an object, or all of a list.
    pub async fn delete(&self, path: &str) -> Answer {
        self.answered(Method::DELETE, path, &Value::Null).await
    }

    /// Whether this identity may do this, as the API server says of itself.
    ///
    /// # Panics
    /// When it does not say.
    pub async fn may(&self, act: &Act<'_>) -> bool {
        let (resource, subresource) = match act.resource.split_once('/') {
            Some((resource, subresource)) => (resource, subresource),
            None => (act.resource, ""),
        };
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "verb": act.verb, "group": act.group, "resource": resource, "subresource": subresource,
                "namespace": act.namespace.unwrap_or_default(), "name": act.name.unwrap_or_default(),
            } },
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer = self.create(path, &review).await.expect(path);
        answer["status"]["allowed"] == true
    }
}

/// Something that an identity may or may not do.
#[derive(Debug, Clone, Copy)]
pub struct Act<'a> {
    /// The API group; empty for the core.
    pub group: &'a str,
    /// The resource in the plural, with a subresource after a slash.
    pub resource: &'a str,
    /// `get`, `list`, `patch`, …
    pub verb: &'a str,
    /// In this namespace; in all of them when there is none.
    pub namespace: Option<&'a str>,
    /// This object alone.
    pub name: Option<&'a str>,
}
