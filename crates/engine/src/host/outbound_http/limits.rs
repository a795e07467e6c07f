//! How much an outgoing request may cost.

use std::time::Duration;

/// The bounds of a component's outgoing requests. A guest can ask for shorter times, not for longer.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Resolving the name, connecting, and agreeing on TLS.
    pub connect_timeout: Duration,
    /// From the request's start to the response's head.
    pub first_byte_timeout: Duration,
    /// Between two pieces of the response's body.
    pub between_bytes_timeout: Duration,
    /// How long a connection is kept for the next request.
    pub idle_timeout: Duration,
    /// The largest body of a request.
    pub max_request_body_bytes: u64,
    /// The largest body of a response.
    pub max_response_body_bytes: u64,
    /// Requests of one instance at a time; others wait.
    pub max_requests_per_instance: usize,
    /// Requests of all instances of the component to other machines at a time; others wait.
    pub max_connections: usize,
}

impl Limits {
    /// For the platform's own components.
    #[must_use]
    pub fn platform() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(30),
            between_bytes_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            max_request_body_bytes: 64 * 1024 * 1024,
            max_response_body_bytes: 64 * 1024 * 1024,
            max_requests_per_instance: 64,
            max_connections: 512,
        }
    }

    /// For tenants' applications.
    #[must_use]
    pub fn tenant() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(30),
            between_bytes_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(15),
            max_request_body_bytes: 16 * 1024 * 1024,
            max_response_body_bytes: 32 * 1024 * 1024,
            max_requests_per_instance: 16,
            max_connections: 64,
        }
    }
}
