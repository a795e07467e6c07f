//! A Git server over smart HTTP: `git http-backend` behind a few lines of CGI (RFC 3875), and servers
//! that misbehave.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;

/// Bodies of fetches and small pushes.
const BODY_MAX_BYTES: usize = 64 * 1024 * 1024;

/// Serves every repository under a folder until it is dropped.
pub struct GitServer {
    address: std::net::SocketAddr,
    task: JoinHandle<()>,
}

impl GitServer {
    /// Serves the repositories under `root` on a free port of loopback.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(root: &Path) -> Self {
        let root = Arc::new(root.to_owned());
        Self::serve(Router::new().fallback(answer).with_state(root)).await
    }

    /// Answers every request by sending it to `location`.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn redirecting(location: String) -> Self {
        let answer = move |request: Request| {
            let target = format!("{location}{}", request.uri());
            async move { (StatusCode::FOUND, [("location", target)]) }
        };
        Self::serve(Router::new().fallback(answer)).await
    }

    /// Takes connections and requests and never says a word.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn hanging() -> Self {
        Self::serve(Router::new().fallback(std::future::pending::<StatusCode>)).await
    }

    async fn serve(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port of loopback is free");
        let address = listener.local_addr().expect("a listener has an address");
        let task = tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("the server runs")
        });
        Self { address, task }
    }

    /// The address of a repository, such as `site.git`.
    #[must_use]
    pub fn url(&self, repository: &str) -> String {
        format!("http://{}/{repository}", self.address)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs `git http-backend` for one request.
async fn answer(State(root): State<Arc<PathBuf>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_MAX_BYTES)
        .await
        .expect("a body that fits");
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let mut backend = Command::new("git");
    backend
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_PROJECT_ROOT", root.as_path())
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = backend.spawn().expect("git is installed");
    let mut stdin = child.stdin.take().expect("a piped input");
    let feed = async move {
        // It may answer without reading everything.
        drop(stdin.write_all(&body).await);
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    from_cgi(&output.expect("the backend ends").stdout)
}

/// The answer of a CGI program: fields, an empty line, the body.
fn from_cgi(output: &[u8]) -> Response<Body> {
    let end = output.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = end.map_or((&[][..], output), |end| {
        (&output[..end], &output[end + 4..])
    });
    let mut response = Response::new(Body::from(body.to_vec()));
    for line in String::from_utf8_lossy(head).lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("status") {
            let code = value.trim().get(..3).and_then(|code| code.parse().ok());
            *response.status_mut() = code.unwrap_or(StatusCode::BAD_GATEWAY);
        } else if let (Ok(name), Ok(value)) = (
            name.parse::<HeaderName>(),
            HeaderValue::from_str(value.trim()),
        ) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
