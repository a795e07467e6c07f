//! Why a request was not answered by the guest, what the client is told, and what the application's owner reads.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderValue, Response, StatusCode, header};
use wasmtime::{Trap, WasmBacktrace};

use crate::Body;
use crate::problem::Problem;

/// The reason a request failed in the engine or its guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The guest trapped: a panic, an exit, an invalid memory access.
    Trap {
        /// What happened.
        reason: String,
        /// Function names, innermost first.
        frames: Vec<String>,
    },
    /// It ran into the bound of its linear memory and gave up.
    Memory {
        /// The bound in bytes.
        limit_bytes: u64,
    },
    /// It computed longer than it may.
    Cpu {
        /// The bound in milliseconds.
        limit_ms: u64,
    },
    /// Its answer was not complete in time.
    Wall {
        /// The bound in milliseconds.
        limit_ms: u64,
    },
    /// It returned without an answer.
    NoAnswer(String),
    /// The request's body is larger than it may be.
    BodyTooLarge {
        /// The bound in bytes.
        limit_bytes: u64,
    },
    /// The client stopped sending in the middle of a body, or sent too slowly.
    BodyTooSlow,
    /// There was no place for it.
    Busy(Crowd),
    /// No route of the application matches.
    NoRoute,
    /// The request cannot be understood.
    BadRequest(&'static str),
    /// The component cannot be started.
    Start(String),
    /// The client went away before the answer.
    ClientGone,
}

/// Where there was no place for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowd {
    /// In the queue of its component.
    Queue,
    /// At its component, for as long as it may wait.
    Component,
    /// For another instance of its application, or of the engine, in places or in memory.
    Instances,
}

impl Failure {
    /// The status the client gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Trap { .. } | Self::Memory { .. } | Self::NoAnswer(_) | Self::Start(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Cpu { .. } | Self::Wall { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy(_) | Self::ClientGone => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// The last part of the problem's type, and its title. Neither tells what is inside the application.
    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Self::Trap { .. } | Self::Memory { .. } | Self::NoAnswer(_) => {
                ("function-failed", "The function failed")
            }
            Self::Start(_) => ("function-not-started", "The function could not be started"),
            Self::Cpu { .. } | Self::Wall { .. } => {
                ("function-timeout", "The function did not answer in time")
            }
            Self::BodyTooLarge { .. } => ("body-too-large", "The request body is too large"),
            Self::BodyTooSlow => ("body-too-slow", "The request body did not come in time"),
            Self::Busy(_) | Self::ClientGone => ("busy", "Too many requests at once"),
            Self::NoRoute => ("not-found", "Nothing is here"),
            Self::BadRequest(_) => ("bad-request", "The request cannot be understood"),
        }
    }

    /// Whether the application's owner should read about it. A client that asks for nonsense is no news.
    pub(crate) fn is_worth_a_line(&self) -> bool {
        !matches!(
            self,
            Self::NoRoute
                | Self::BadRequest(_)
                | Self::BodyTooLarge { .. }
                | Self::BodyTooSlow
                | Self::ClientGone
        )
    }

    /// What `error`, which ended an instance, was.
    pub(crate) fn from_error(error: &wasmtime::Error) -> Self {
        let frames = error
            .downcast_ref::<WasmBacktrace>()
            .map(|trace| trace.frames().iter().map(frame_name).collect())
            .map(without_runtime)
            .unwrap_or_default();
        let reason = if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
            format!("the guest exited with code {}", exit.0)
        } else if let Some(trap) = error.downcast_ref::<Trap>() {
            trap.to_string()
        } else {
            error.root_cause().to_string()
        };
        Self::Trap { reason, frames }
    }

    /// A sentence for the client. Those about a function's own failures are the same for all of them: what happened
    /// inside is for its owner, who finds it in the log.
    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Trap { .. } | Self::Memory { .. } | Self::NoAnswer(_) => {
                "It ended without a complete answer. Its log says why, under this request id."
                    .into()
            }
            Self::Start(_) => "Its log says why, under this request id.".into(),
            Self::Cpu { .. } | Self::Wall { .. } => {
                "It took longer than it may. Its log says more, under this request id.".into()
            }
            Self::BodyTooLarge { limit_bytes } => {
                format!("A request body may have {limit_bytes} bytes here.").into()
            }
            Self::BodyTooSlow => {
                "It came too slowly, or not at all for ten seconds. Send it again.".into()
            }
            Self::Busy(Crowd::Queue) => {
                "More of them wait than may. Try again after the time in Retry-After.".into()
            }
            Self::Busy(Crowd::Component | Crowd::Instances) => {
                "It waited for as long as it may. Try again after the time in Retry-After.".into()
            }
            Self::ClientGone => "Its client went away.".into(),
            Self::NoRoute => "No function is served at this address.".into(),
            Self::BadRequest(detail) => (*detail).into(),
        }
    }

    /// The answer to the client who asked for the path `instance`.
    pub(crate) fn response(&self, instance: &str, request_id: &str) -> Response<Body> {
        let (slug, title) = self.words();
        let problem = Problem {
            status: self.status(),
            slug,
            title,
            detail: &self.detail(),
            instance,
            request_id,
        };
        let mut response = problem.response();
        if matches!(self, Self::Busy(_)) {
            let retry = HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, retry);
        }
        response
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap { reason, frames } => {
                write!(f, "trapped: {reason}")?;
                for (place, frame) in frames.iter().take(MAX_FRAMES).enumerate() {
                    write!(f, "{}{frame}", if place == 0 { "; at " } else { " < " })?;
                }
                if frames.len() > MAX_FRAMES {
                    write!(f, " < {} more", frames.len() - MAX_FRAMES)?;
                }
                Ok(())
            }
            Self::Memory { limit_bytes } => {
                write!(
                    f,
                    "memory limit reached: more than {limit_bytes} bytes were asked for"
                )
            }
            Self::Cpu { limit_ms } => {
                write!(f, "CPU limit reached: computed for more than {limit_ms} ms")
            }
            Self::Wall { limit_ms } => write!(
                f,
                "time limit reached: no complete answer within {limit_ms} ms"
            ),
            Self::NoAnswer(detail) => write!(f, "returned without an answer: {detail}"),
            Self::BodyTooLarge { limit_bytes } => {
                write!(f, "request body larger than {limit_bytes} bytes")
            }
            Self::BodyTooSlow => f.write_str("the request body did not come in time"),
            Self::Busy(Crowd::Queue) => f.write_str("too many requests wait for their turn"),
            Self::Busy(Crowd::Component) => f.write_str("it waited too long for its turn"),
            Self::Busy(Crowd::Instances) => {
                f.write_str("no place for another instance became free in time")
            }
            Self::NoRoute => f.write_str("no route matches"),
            Self::BadRequest(detail) => f.write_str(detail),
            Self::Start(reason) => write!(f, "could not be started: {reason}"),
            Self::ClientGone => f.write_str("the client went away"),
        }
    }
}

/// Frames named in a log line: the innermost, where the reason is, without filling the log with a runtime's own.
const MAX_FRAMES: usize = 12;

fn frame_name(frame: &wasmtime::FrameInfo) -> String {
    match frame.func_name() {
        Some(name) => short_name(name),
        None => match frame.module().name() {
            Some(module) => format!("{module}[{}]", frame.func_index()),
            None => format!("function {}", frame.func_index()),
        },
    }
}

/// A Rust name without its mangling and hash; other languages' names stay as they are.
fn short_name(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// Leaves out what every panic begins with, so that the first name is the program's own.
fn without_runtime(mut frames: Vec<String>) -> Vec<String> {
    let of_runtime = |frame: &String| {
        let name = frame.trim_start_matches('<');
        ["std::", "core::", "alloc::", "__rust", "rust_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            || name == "abort"
    };
    let own = frames.iter().position(|frame| !of_runtime(frame));
    frames.drain(..own.unwrap_or(0));
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frame_named_is_the_programs_own() {
        let frames = [
            "abort",
            "std::process::abort",
            "core::panicking::panic_fmt",
            "shop::pay",
            "std::rt",
        ];
        let frames = without_runtime(frames.map(str::to_owned).to_vec());
        assert_eq!(frames, ["shop::pay", "std::rt"]);
        assert_eq!(without_runtime(vec!["abort".to_owned()]), ["abort"]);
        assert_eq!(short_name("_ZN4core3ops17he2d3ca63cabe65c8E"), "core::ops");
    }

    #[test]
    fn what_a_client_is_told_says_nothing_of_the_inside() {
        let failure = Failure::Trap {
            reason: "secret".to_owned(),
            frames: vec!["secret".to_owned()],
        };
        let response = failure.response("/pay", "id");
        assert_eq!(response.status(), 500);
        assert!(!format!("{:?}", response.headers()).contains("secret"));
        assert!(!failure.detail().contains("secret"));
        let busy = Failure::Busy(Crowd::Queue).response("/pay", "id");
        assert!(busy.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn every_problem_is_in_the_document() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/PROBLEMS.md");
        let document = std::fs::read_to_string(path).expect("the document");
        let text = String::new;
        for failure in [
            Failure::Trap {
                reason: text(),
                frames: Vec::new(),
            },
            Failure::Memory { limit_bytes: 1 },
            Failure::Cpu { limit_ms: 1 },
            Failure::Wall { limit_ms: 1 },
            Failure::NoAnswer(text()),
            Failure::BodyTooLarge { limit_bytes: 1 },
            Failure::BodyTooSlow,
            Failure::Busy(Crowd::Component),
            Failure::NoRoute,
            Failure::BadRequest(""),
            Failure::Start(text()),
            Failure::ClientGone,
        ] {
            let (slug, _) = failure.words();
            let row = format!("| `{slug}` | {} |", failure.status().as_u16());
            assert!(document.contains(&row), "{row}");
        }
    }
}
