//! How much is left of what somebody may do in a fixed window, and the headers that say so; what is counted and where is
//! the components' own.

use nokube_domain::Timestamp;

use crate::{Ctx, Problem, Response};

/// 15 minutes.
pub const WINDOW_MS: i64 = 15 * 60 * 1_000;

/// How much is left of a limit.
#[derive(Debug, Clone)]
pub struct Standing {
    name: &'static str,
    quota: u64,
    /// What may still be done.
    pub left: u64,
    /// Seconds until more is left.
    pub reset_seconds: u64,
}

impl Standing {
    /// What is left of `quota`, until more is.
    #[must_use]
    pub fn new(
        name: &'static str,
        quota: u64,
        left: u64,
        now: Timestamp,
        until: Timestamp,
    ) -> Self {
        let reset_ms = until.millis().saturating_sub(now.millis()).max(0);
        Self {
            name,
            quota,
            left,
            reset_seconds: u64::try_from(reset_ms).unwrap_or(0).div_ceil(1_000),
        }
    }

    /// draft-ietf-httpapi-ratelimit-headers.
    fn headers(&self) -> [(&'static str, String); 2] {
        let (name, window) = (self.name, WINDOW_MS / 1_000);
        [
            (
                "ratelimit-policy",
                format!("\"{name}\";q={};w={window}", self.quota),
            ),
            (
                "ratelimit",
                format!("\"{name}\";r={};t={}", self.left, self.reset_seconds),
            ),
        ]
    }

    /// A problem that tells it.
    #[must_use]
    pub fn on_problem(&self, problem: Problem) -> Problem {
        self.headers()
            .into_iter()
            .fold(problem, |problem, (name, value)| {
                problem.header(name, value)
            })
    }

    /// An answer that tells it.
    #[must_use]
    pub fn on_response(&self, response: Response) -> Response {
        self.headers()
            .into_iter()
            .fold(response, |response, (name, value)| {
                response.header(name, value)
            })
    }
}

/// Whom a client counts as. An IPv6 client owns at least a /64, so its addresses count as one.
#[must_use]
pub fn address(cx: &Ctx) -> String {
    match cx.client_address() {
        None => "unknown".to_owned(),
        Some(std::net::IpAddr::V4(v4)) => v4.to_string(),
        Some(std::net::IpAddr::V6(v6)) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}
