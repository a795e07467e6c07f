//! What one address may do in a fixed window, and the headers that say how much is left.
//!
//! What an address over its limit sends is counted for that address only, so that it can neither
//! slow accounts down (`throttle`) nor fill the database.

use nokube_domain::Timestamp;
use nokube_guest::db::Db;
use nokube_guest::{Ctx, Problem, Response};

use crate::error::AuthError;
use crate::store::attempts;

/// 15 minutes.
pub(crate) const WINDOW_MS: i64 = 15 * 60 * 1_000;

/// One thing that is counted.
pub(crate) struct Limit {
    name: &'static str,
    bucket: String,
    quota: u64,
}

/// How much is left of a limit.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    name: &'static str,
    quota: u64,
    left: u64,
    /// Seconds until more is left.
    pub(crate) reset_seconds: u64,
}

impl Limit {
    /// Sign-ins from one address.
    pub(crate) fn login_from_address(cx: &Ctx) -> Result<Self, AuthError> {
        Ok(Self {
            name: "address",
            bucket: format!("login:address:{}", address(cx)),
            quota: cx.number_variable("login_limit_per_address", 100)?,
        })
    }

    /// Registrations from one address.
    pub(crate) fn register_from_address(cx: &Ctx) -> Result<Self, AuthError> {
        Ok(Self {
            name: "address",
            bucket: format!("register:address:{}", address(cx)),
            quota: cx.number_variable("register_limit_per_address", 600)?,
        })
    }

    /// Exchanges of API tokens from one address. Their values can't be guessed; this bounds the work.
    pub(crate) fn exchange_from_address(cx: &Ctx) -> Result<Self, AuthError> {
        Ok(Self {
            name: "address",
            bucket: format!("token:address:{}", address(cx)),
            quota: cx.number_variable("token_limit_per_address", 600)?,
        })
    }

    /// Wrong setup codes from one address. The code is long; this keeps the log short.
    pub(crate) fn setup_from_address(cx: &Ctx) -> Self {
        Self {
            name: "setup",
            bucket: format!("setup:address:{}", address(cx)),
            quota: 10,
        }
    }

    /// Wrong invitation codes from one address, likewise.
    pub(crate) fn invitation_from_address(cx: &Ctx) -> Self {
        Self {
            name: "invitation",
            bucket: format!("invitation:address:{}", address(cx)),
            quota: 20,
        }
    }
}

/// Counts an attempt against each limit in turn, in one transaction, up to the first that refuses it.
pub(crate) async fn take(cx: &Ctx, db: &Db, limits: &[&Limit]) -> Result<Vec<Standing>, AuthError> {
    let counts = db
        .transaction(async |tx| {
            attempts::attempts_expire(tx, cx.now(), WINDOW_MS).await?;
            let mut counts = Vec::new();
            for limit in limits {
                let count = attempts::attempt_count(tx, &limit.bucket, cx.now()).await?;
                let is_over = count.count > limit.quota;
                counts.push(count);
                if is_over {
                    break;
                }
            }
            Ok::<_, AuthError>(counts)
        })
        .await?;
    let mut standings = Vec::new();
    for (limit, count) in limits.iter().zip(counts) {
        let ends = count.window_start_ms.plus_millis(WINDOW_MS);
        let left = limit.quota.saturating_sub(count.count);
        let standing = Standing::new(limit.name, limit.quota, left, cx.now(), ends);
        if count.count > limit.quota {
            return Err(AuthError::TooManyAttempts(standing));
        }
        standings.push(standing);
    }
    Ok(standings)
}

impl Standing {
    /// `until`: when more is left again.
    pub(crate) fn new(
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

    pub(crate) fn on_problem(&self, problem: Problem) -> Problem {
        self.headers()
            .into_iter()
            .fold(problem, |problem, (name, value)| {
                problem.header(name, value)
            })
    }

    pub(crate) fn on_response(&self, response: Response) -> Response {
        self.headers()
            .into_iter()
            .fold(response, |response, (name, value)| {
                response.header(name, value)
            })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An IPv6 client owns at least a /64, so its addresses count as one.
pub(crate) fn address(cx: &Ctx) -> String {
    match cx.client_address() {
        None => "unknown".to_owned(),
        Some(std::net::IpAddr::V4(v4)) => v4.to_string(),
        Some(std::net::IpAddr::V6(v6)) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}
