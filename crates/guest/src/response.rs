//! Answers.

use std::borrow::Cow;

use serde::Serialize;

use crate::host::LocalFuture;

/// An answer under construction.
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// Its body.
    pub body: Body,
}

/// The body of an answer.
pub enum Body {
    /// Known in full, sent with its length.
    Bytes(Vec<u8>),
    /// Made piece by piece.
    Stream(Box<dyn BodyStream>),
}

/// A body that is made piece by piece, such as an event stream. In WASI 0.2 the instance serves
/// nothing else meanwhile, so a stream ends by itself after about 25 s and clients come back.
pub trait BodyStream {
    /// The next piece; nothing at the end.
    fn next(&mut self) -> LocalFuture<'_, Option<Vec<u8>>>;
}

impl Response {
    /// An answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Bytes(Vec::new()),
        }
    }

    /// 204.
    #[must_use]
    pub fn no_content() -> Self {
        Self::empty(204)
    }

    /// A value as JSON.
    #[must_use]
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(value).expect("wire types have string keys only");
        Self::bytes(status, "application/json", bytes)
    }

    /// A value as JSON with 200.
    #[must_use]
    pub fn ok(value: &impl Serialize) -> Self {
        Self::json(200, value)
    }

    /// Text.
    #[must_use]
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::bytes(
            status,
            "text/plain; charset=utf-8",
            text.into().into_bytes(),
        )
    }

    /// Bytes of some type.
    #[must_use]
    pub fn bytes(status: u16, content_type: &'static str, bytes: Vec<u8>) -> Self {
        let mut response = Self::empty(status).header("content-type", content_type);
        response.body = Body::Bytes(bytes);
        response
    }

    /// A body that is made piece by piece.
    #[must_use]
    pub fn stream(content_type: &'static str, stream: impl BodyStream + 'static) -> Self {
        let mut response = Self::empty(200).header("content-type", content_type);
        response.body = Body::Stream(Box::new(stream));
        response
    }

    /// Adds a header; the name in lower case.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((Cow::Borrowed(name), value.into()));
        self
    }

    /// Adds `Location`.
    #[must_use]
    pub fn location(self, path: impl Into<String>) -> Self {
        self.header("location", path)
    }

    /// Whether a header is there.
    #[must_use]
    pub fn has_header(&self, name: &str) -> bool {
        self.header_value(name).is_some()
    }

    /// The first value of a header.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The bytes of a body that is known in full.
    #[must_use]
    pub fn body_bytes(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Bytes(bytes) => Some(bytes),
            Body::Stream(_) => None,
        }
    }
}
