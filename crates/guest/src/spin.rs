//! The host on WebAssembly: Spin's interfaces and WASI 0.2, through `spin-sdk` 5.
//!
//! The only module that knows the SDK. WASI 0.2 blocks where this says `async`; an instance serves
//! one request at a time, so nothing else could run meanwhile anyway.

use std::io::Write as _;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{SinkExt as _, StreamExt as _};
use http::Method;
use nokube_domain::Timestamp;
use spin_sdk::http::{
    Fields, IncomingRequest, Method as WasiMethod, OutgoingRequest, OutgoingResponse,
    ResponseOutparam, Scheme,
};
use spin_sdk::sqlite3;
use spin_sdk::wit::wasi::http0_2_0::outgoing_handler;
use spin_sdk::wit::wasi::http0_2_0::types::RequestOptions;

use crate::db::{DbError, Rows, Value, classify};
use crate::host::{
    BodyError, BodyReader, Connection, Headers, Host, InboundRequest, LocalFuture, OutboundAnswer,
    OutboundRequest, SendError,
};
use crate::response::Body;
use crate::{Component, Response, handle};

/// Answers one request of the host. A component's entry point is this call and nothing else.
pub async fn serve(component: &'static Component, request: IncomingRequest, out: ResponseOutparam) {
    let host: Rc<dyn Host> = Rc::new(SpinHost);
    let headers = request
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(&value).into_owned();
            (name.to_ascii_lowercase(), value)
        })
        .collect();
    let inbound = InboundRequest {
        method: method_in(&request.method()),
        path_and_query: request.path_with_query().unwrap_or_else(|| "/".to_owned()),
        headers: Headers(headers),
        body: Box::new(SpinBody(request)),
    };
    let response = handle(component, Rc::clone(&host), inbound).await;
    if let Err(error) = send(response, out).await {
        host.log(&format!("the answer could not be sent: {error}"));
    }
}

async fn send(response: Response, out: ResponseOutparam) -> Result<(), String> {
    let entries: Vec<(String, Vec<u8>)> = response
        .headers
        .into_iter()
        .map(|(name, value)| (name.into_owned(), value.into_bytes()))
        .collect();
    let headers = Fields::from_list(&entries).map_err(|error| format!("{error:?}"))?;
    let outgoing = OutgoingResponse::new(headers);
    outgoing
        .set_status_code(response.status)
        .map_err(|()| format!("status {}", response.status))?;
    match response.body {
        Body::Bytes(bytes) if bytes.is_empty() => out.set(outgoing),
        Body::Bytes(bytes) => {
            let mut sink = outgoing.take_body();
            out.set(outgoing);
            sink.send(bytes).await.map_err(|error| error.to_string())?;
        }
        Body::Stream(mut stream) => {
            let mut sink = outgoing.take_body();
            out.set(outgoing);
            while let Some(piece) = stream.next().await {
                sink.send(piece).await.map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
}

struct SpinBody(IncomingRequest);

impl BodyReader for SpinBody {
    fn read(self: Box<Self>, limit: usize) -> LocalFuture<'static, Result<Vec<u8>, BodyError>> {
        Box::pin(async move {
            let mut stream = std::pin::pin!(self.0.into_body_stream());
            let mut body = Vec::new();
            while let Some(piece) = stream.next().await {
                let piece = piece.map_err(|error| BodyError::Broken(error.to_debug_string()))?;
                if body.len() + piece.len() > limit {
                    return Err(BodyError::TooLarge(limit));
                }
                body.extend_from_slice(&piece);
            }
            Ok(body)
        })
    }
}

struct SpinHost;

impl Host for SpinHost {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = since.map_or(0, |elapsed| elapsed.as_millis());
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("wasi:random never fails");
    }

    fn variable(&self, name: &str) -> Option<String> {
        spin_sdk::variables::get(name)
            .ok()
            .filter(|value| !value.is_empty())
    }

    fn open_database(&self, label: &str) -> Result<Box<dyn Connection>, DbError> {
        match sqlite3::Connection::open(label) {
            Ok(connection) => Ok(Box::new(SpinConnection(connection))),
            Err(error) => Err(DbError::Unavailable(format!("{label}: {error}"))),
        }
    }

    fn send(&self, request: OutboundRequest) -> LocalFuture<'_, Result<OutboundAnswer, SendError>> {
        Box::pin(send_out(request))
    }

    fn sleep(&self, millis: u64) -> LocalFuture<'_, ()> {
        Box::pin(async move { std::thread::sleep(Duration::from_millis(millis)) })
    }

    fn log(&self, line: &str) {
        // In one piece: standard error has no buffer, and each piece is a call of the host.
        let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
    }
}

struct SpinConnection(sqlite3::Connection);

impl Connection for SpinConnection {
    fn execute<'a>(
        &'a self,
        statement: &'a str,
        parameters: &'a [Value],
    ) -> LocalFuture<'a, Result<Rows, DbError>> {
        let parameters: Vec<sqlite3::Value> = parameters.iter().map(value_out).collect();
        let result = self.0.execute(statement, &parameters);
        Box::pin(std::future::ready(match result {
            Ok(result) => Ok(Rows {
                columns: result.columns,
                rows: result
                    .rows
                    .into_iter()
                    .map(|row| row.values.into_iter().map(value_in).collect())
                    .collect(),
            }),
            Err(sqlite3::Error::Io(message)) => Err(classify(message, statement)),
            Err(error) => Err(DbError::Unavailable(error.to_string())),
        }))
    }

    fn changes(&self) -> u64 {
        self.0.changes()
    }
}

fn value_out(value: &Value) -> sqlite3::Value {
    match value {
        Value::Null => sqlite3::Value::Null,
        Value::Integer(value) => sqlite3::Value::Integer(*value),
        Value::Real(value) => sqlite3::Value::Real(*value),
        Value::Text(value) => sqlite3::Value::Text(value.clone()),
        Value::Blob(value) => sqlite3::Value::Blob(value.clone()),
    }
}

fn value_in(value: sqlite3::Value) -> Value {
    match value {
        sqlite3::Value::Null => Value::Null,
        sqlite3::Value::Integer(value) => Value::Integer(value),
        sqlite3::Value::Real(value) => Value::Real(value),
        sqlite3::Value::Text(value) => Value::Text(value),
        sqlite3::Value::Blob(value) => Value::Blob(value),
    }
}

async fn send_out(request: OutboundRequest) -> Result<OutboundAnswer, SendError> {
    let bad_address = || SendError::BadAddress(request.url.clone());
    let no_answer = |error: &dyn std::fmt::Debug| SendError::NoAnswer(format!("{error:?}"));
    let uri: http::Uri = request.url.parse().map_err(|_| bad_address())?;
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => return Err(bad_address()),
    };
    let mut entries: Vec<(String, Vec<u8>)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
        .collect();
    if !request.body.is_empty() {
        entries.push((
            "content-length".to_owned(),
            request.body.len().to_string().into_bytes(),
        ));
    }
    let headers = Fields::from_list(&entries).map_err(|error| no_answer(&error))?;
    let outgoing = OutgoingRequest::new(headers);
    let path = uri.path_and_query().map(http::uri::PathAndQuery::as_str);
    outgoing
        .set_method(&method_out(&request.method))
        .and_then(|()| outgoing.set_scheme(Some(&scheme)))
        .and_then(|()| outgoing.set_authority(uri.authority().map(http::uri::Authority::as_str)))
        .and_then(|()| outgoing.set_path_with_query(path))
        .map_err(|()| bad_address())?;
    let options = RequestOptions::new();
    let nanos = Some(request.timeout_ms.saturating_mul(1_000_000));
    // A host that can't hold a limit says so; the request is worth sending all the same.
    let _ = options.set_connect_timeout(nanos);
    let _ = options.set_first_byte_timeout(nanos);
    let _ = options.set_between_bytes_timeout(nanos);

    let sink = (!request.body.is_empty()).then(|| outgoing.take_body());
    let pending =
        outgoing_handler::handle(outgoing, Some(options)).map_err(|error| no_answer(&error))?;
    if let Some(mut sink) = sink {
        sink.send(request.body)
            .await
            .map_err(|error| no_answer(&error))?;
    }
    pending.subscribe().block();
    let answer = pending
        .get()
        .ok_or_else(|| SendError::NoAnswer("not ready after waiting".to_owned()))?
        .map_err(|()| SendError::NoAnswer("taken twice".to_owned()))?
        .map_err(|error| no_answer(&error))?;
    let status = answer.status();
    let headers = answer
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(&value).into_owned();
            (name.to_ascii_lowercase(), value)
        })
        .collect();
    let mut stream = std::pin::pin!(answer.take_body_stream());
    let mut body = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| SendError::NoAnswer(error.to_debug_string()))?;
        if body.len() + piece.len() > request.max_answer_bytes {
            return Err(SendError::TooLarge(request.max_answer_bytes));
        }
        body.extend_from_slice(&piece);
    }
    Ok(OutboundAnswer {
        status,
        headers,
        body,
    })
}

fn method_in(method: &WasiMethod) -> Method {
    match method {
        WasiMethod::Get => Method::GET,
        WasiMethod::Head => Method::HEAD,
        WasiMethod::Post => Method::POST,
        WasiMethod::Put => Method::PUT,
        WasiMethod::Patch => Method::PATCH,
        WasiMethod::Delete => Method::DELETE,
        WasiMethod::Options => Method::OPTIONS,
        WasiMethod::Connect => Method::CONNECT,
        WasiMethod::Trace => Method::TRACE,
        // No route has a method that isn't one.
        WasiMethod::Other(name) => Method::from_bytes(name.as_bytes()).unwrap_or(Method::TRACE),
    }
}

fn method_out(method: &Method) -> WasiMethod {
    match *method {
        Method::GET => WasiMethod::Get,
        Method::HEAD => WasiMethod::Head,
        Method::POST => WasiMethod::Post,
        Method::PUT => WasiMethod::Put,
        Method::PATCH => WasiMethod::Patch,
        Method::DELETE => WasiMethod::Delete,
        _ => WasiMethod::Other(method.as_str().to_owned()),
    }
}
