//! Notes in SQLite, and a count of visits in a key-value store.

mod store;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};
use spin_sdk::http::{Method, Request, Response};
use spin_sdk::key_value::Store;
use spin_sdk::{http_component, variables};

use crate::store::Notes;

/// Longer notes are refused; a note is not a book.
const MAX_TEXT_CHARACTERS: usize = 2000;

/// What a client sends to make or change a note.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoteRequest {
    text: String,
}

#[http_component]
fn answer(request: Request) -> Response {
    route(&request).unwrap_or_else(|error| {
        // The chain is for the application's log; a visitor learns only that it failed.
        eprintln!("{} {}: {error:#}", request.method(), request.path());
        send(500, &json!({ "error": "something went wrong" }))
    })
}

fn route(request: &Request) -> anyhow::Result<Response> {
    let segments: Vec<&str> = request.path().split('/').skip(1).collect();
    match (request.method(), segments.as_slice()) {
        (Method::Get, [""]) => greet(),
        (Method::Get, ["health"]) => Ok(send(200, &json!({ "status": "ok" }))),
        (Method::Get, ["notes"]) => Ok(send(200, &json!({ "notes": Notes::open()?.list()? }))),
        (Method::Post, ["notes"]) => create(request.body()),
        (_, ["notes"]) => Ok(refuse_method("GET, POST")),
        (method, ["notes", id]) => match id.parse() {
            Ok(id) => one_note(method, id, request.body()),
            Err(_) => Ok(not_found()),
        },
        (_, ["" | "health"]) => Ok(refuse_method("GET")),
        _ => Ok(not_found()),
    }
}

fn greet() -> anyhow::Result<Response> {
    let greeting = variables::get("greeting").context("reading the greeting")?;
    let notes = Notes::open()?.count()?;
    Ok(send(
        200,
        &json!({ "greeting": greeting, "visits": count_visit()?, "notes": notes }),
    ))
}

/// Two visits at the same time may be counted as one: the store has no addition, and here it does not matter.
fn count_visit() -> anyhow::Result<u64> {
    let store = Store::open_default().context("opening the key-value store")?;
    let before = store
        .get("visits")
        .context("reading the count")?
        .unwrap_or_default();
    let visits = String::from_utf8_lossy(&before)
        .parse()
        .unwrap_or(0_u64)
        .saturating_add(1);
    store
        .set("visits", visits.to_string().as_bytes())
        .context("keeping the count")?;
    Ok(visits)
}

fn create(body: &[u8]) -> anyhow::Result<Response> {
    let text = match read_text(body) {
        Ok(text) => text,
        Err(fault) => return Ok(fault),
    };
    let note = Notes::open()?.insert(&text)?;
    let mut response = send(201, &json!(note));
    response.set_header("location", format!("/notes/{}", note.id));
    Ok(response)
}

fn one_note(method: &Method, id: i64, body: &[u8]) -> anyhow::Result<Response> {
    let notes = Notes::open()?;
    let found = match method {
        Method::Get => notes.get(id)?,
        Method::Put => match read_text(body) {
            Ok(text) => notes.update(id, &text)?,
            Err(fault) => return Ok(fault),
        },
        Method::Delete if notes.delete(id)? => return Ok(Response::builder().status(204).build()),
        Method::Delete => None,
        _ => return Ok(refuse_method("GET, PUT, DELETE")),
    };
    Ok(found.map_or_else(not_found, |note| send(200, &json!(note))))
}

/// The text of a note, or the answer that says what is wrong with the request.
fn read_text(body: &[u8]) -> Result<String, Response> {
    let request: NoteRequest = serde_json::from_slice(body)
        .map_err(|error| send(400, &json!({ "error": format!("not a note: {error}") })))?;
    let length = request.text.chars().count();
    if request.text.trim().is_empty() || length > MAX_TEXT_CHARACTERS {
        let error = format!("text must have 1 to {MAX_TEXT_CHARACTERS} characters");
        return Err(send(422, &json!({ "error": error })));
    }
    Ok(request.text)
}

fn not_found() -> Response {
    send(404, &json!({ "error": "not found" }))
}

fn refuse_method(allowed: &str) -> Response {
    let mut response = send(405, &json!({ "error": "method not allowed" }));
    response.set_header("allow", allowed);
    response
}

fn send(status: u16, value: &Value) -> Response {
    let body = value.to_string();
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("content-length", body.len().to_string())
        .body(body)
        .build()
}
