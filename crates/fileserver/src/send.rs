//! The only part that speaks to the host: reads the request's head and sends an answer in pieces.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use futures::{Sink, SinkExt};
use spin_sdk::http::{Headers, IncomingRequest, Method, OutgoingResponse, ResponseOutparam};

use crate::answer::{Answer, Body, Question};
use crate::site::Content;

/// How much of a big file is in memory at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Takes from a request what the answer depends on.
pub(crate) fn read_question(request: &IncomingRequest) -> Question {
    let headers = request.headers();
    let target = request.path_with_query().unwrap_or_else(|| "/".to_owned());
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (target.as_str(), String::new()),
    };
    Question {
        method: match request.method() {
            Method::Get => "GET".to_owned(),
            Method::Head => "HEAD".to_owned(),
            _ => "other".to_owned(),
        },
        // The path below the component's route. The host's own value is the last one.
        path: last(&headers, "spin-path-info")
            .filter(|below| below.starts_with('/'))
            .unwrap_or_else(|| path.to_owned()),
        query,
        if_none_match: last(&headers, "if-none-match"),
        if_range: last(&headers, "if-range"),
        range: last(&headers, "range"),
    }
}

fn last(headers: &Headers, name: &str) -> Option<String> {
    String::from_utf8(headers.get(name).pop()?).ok()
}

/// Sends an answer. A client that leaves ends it early, which is no fault of ours.
pub(crate) async fn send(answer: Answer, out: ResponseOutparam) {
    let headers = Headers::new();
    for (name, value) in &answer.headers {
        if headers.append(name, value.as_bytes()).is_err() {
            eprintln!("the host refused the header {name}: {value}");
        }
    }
    let response = OutgoingResponse::new(headers);
    if response.set_status_code(answer.status).is_err() {
        eprintln!("the host refused the status {}", answer.status);
    }
    let Some(body) = answer.body else {
        // Without a body being taken, the host accepts a Content-Length that describes the page of a GET.
        out.set(response);
        return;
    };
    let sink = response.take_body();
    out.set(response);
    if let Err(error) = send_body(body, sink).await {
        eprintln!("{error}");
    }
}

async fn send_body<S>(body: Body, sink: S) -> io::Result<()>
where
    S: Sink<Vec<u8>>,
{
    let mut sink = std::pin::pin!(sink);
    match body.content {
        Content::Memory(mut bytes) => {
            let first = usize::try_from(body.first)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let mut part = bytes.split_off(first);
            part.truncate(usize::try_from(body.length).unwrap_or(usize::MAX));
            if !part.is_empty() {
                // An error means that the client is gone.
                let _ = sink.send(part).await;
            }
        }
        Content::File(mut file) => {
            file.seek(SeekFrom::Start(body.first))?;
            let mut left = body.length;
            while left > 0 {
                let piece = read_piece(&mut file, left)?;
                left -= piece.len() as u64;
                if sink.send(piece).await.is_err() {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Reads the next piece; a file that ends early is an error, since its length has been announced.
fn read_piece(file: &mut File, left: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES);
    let mut piece = vec![0; size];
    file.read_exact(&mut piece)?;
    Ok(piece)
}
