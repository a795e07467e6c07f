//! A program that does whatever its path says: the good, for the interfaces a component may use, and the bad, for
//! the limits that hold it. Tests of the engine and of the whole platform run it.

use std::hint::black_box;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::SinkExt;
use serde_json::json;
use spin_sdk::http::{
    Fields, IncomingRequest, OutgoingResponse, Request, Response, ResponseOutparam,
};
use spin_sdk::http_component;

/// Requests this instance has served.
static SERVED: AtomicU64 = AtomicU64::new(0);

#[http_component]
async fn handle(request: IncomingRequest, out: ResponseOutparam) {
    let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
    let target = request.path_with_query().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    // Below a route `/prefix/...` the same paths are there.
    let below = request.headers().get("spin-path-info");
    let below = below.first().map(|path| String::from_utf8_lossy(path));
    let path = below
        .as_deref()
        .filter(|path| !path.is_empty())
        .unwrap_or(path);
    if path == "/stream" {
        return stream(out, query).await;
    }
    let answer = match path {
        "/served" => Ok(served.to_string()),
        "/echo" => echo(request).await,
        "/sql" => sql(query, request).await,
        _ => act(path, query).await,
    };
    let (status, text) = match answer {
        Ok(text) => (200, text),
        Err(error) => (502, format!("{error:#}")),
    };
    let headers = Fields::from_list(&[(
        "content-length".to_owned(),
        text.len().to_string().into_bytes(),
    )]);
    let response = OutgoingResponse::new(headers.unwrap_or_else(|_| Fields::new()));
    let _ = response.set_status_code(status);
    let _ = out.set_with_body(response, text.into_bytes()).await;
}

async fn act(path: &str, query: &str) -> anyhow::Result<String> {
    match path {
        "/ok" => Ok("ok".to_owned()),
        "/trap" => cause_of_the_trap(),
        "/exit" => std::process::exit(3),
        "/loop" => endless_loop(),
        "/compute" => Ok(compute(query.parse()?).to_string()),
        "/sleep" => loop {
            std::thread::sleep(std::time::Duration::from_secs(3600));
        },
        "/nap" => {
            std::thread::sleep(std::time::Duration::from_millis(query.parse()?));
            Ok("rested".to_owned())
        }
        "/alloc" => allocate(usize::MAX),
        "/grow" => allocate(query.parse()?),
        "/bytes" => Ok("x".repeat(query.parse()?)),
        "/hold" => {
            let held = allocate(query.parse()?)?;
            println!("held {held}");
            std::thread::sleep(std::time::Duration::from_secs(2));
            Ok(held)
        }
        "/hoard" => hoard(query),
        "/fields" => {
            fill(&Fields::new(), query.parse()?)?;
            Ok(query.to_owned())
        }
        "/env" => {
            Ok(json!(std::env::vars().collect::<std::collections::BTreeMap<_, _>>()).to_string())
        }
        "/files" => files(),
        "/print" => {
            print!("one\ntwo\nunfinished");
            std::io::stdout().flush()?;
            eprintln!("to stderr");
            Ok(String::new())
        }
        "/spam" => {
            (0..query.parse::<u32>()?).for_each(|i| println!("spam {i} {}", "x".repeat(100)));
            Ok(String::new())
        }
        "/variable" => Ok(spin_sdk::variables::get(query)?),
        "/sqlite" => sqlite(query),
        "/key-value" => key_value(query),
        "/fetch" => fetch(query).await,
        other => anyhow::bail!("no such path: {other}"),
    }
}

#[inline(never)]
fn cause_of_the_trap() -> anyhow::Result<String> {
    panic!("asked to panic")
}

#[inline(never)]
fn endless_loop() -> anyhow::Result<String> {
    let mut number = 0_u64;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

/// Some rounds of arithmetic that the compiler can't leave out: about a nanosecond each.
fn compute(rounds: u64) -> u64 {
    (0..rounds).fold(1, |number, round| {
        black_box(number ^ round).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

fn allocate(mebibytes: usize) -> anyhow::Result<String> {
    let mut kept = Vec::new();
    for _ in 0..mebibytes {
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
    Ok(black_box(kept).len().to_string())
}

/// Takes things of the host until it gets no more, and keeps them.
fn hoard(what: &str) -> anyhow::Result<String> {
    let mut taken = 0;
    loop {
        match what {
            "fields" => {
                let fields = Fields::new();
                fill(&fields, 10)?;
                std::mem::forget(fields);
            }
            _ => std::mem::forget(std::fs::File::open("/hello.txt")?),
        }
        taken = black_box(taken + 1);
    }
}

/// Adds so many kilobytes to `fields`.
fn fill(fields: &Fields, kilobytes: usize) -> anyhow::Result<()> {
    let (name, value) = ("x-hoard".to_owned(), vec![b'x'; 1000]);
    for _ in 0..kilobytes {
        fields.append(&name, &value)?;
    }
    Ok(())
}

async fn echo(request: IncomingRequest) -> anyhow::Result<String> {
    let method = format!("{:?}", request.method());
    let headers: Vec<_> = request
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| json!([name, String::from_utf8_lossy(&value)]))
        .collect();
    let target = request.path_with_query();
    let body = request.into_body().await?;
    Ok(
        json!({ "method": method, "target": target, "headers": headers, "body_bytes": body.len() })
            .to_string(),
    )
}

/// Sends a piece of the answer and then does what the query says.
async fn stream(out: ResponseOutparam, then: &str) {
    let response = OutgoingResponse::new(Fields::new());
    let mut body = response.take_body();
    out.set(response);
    let _ = body.send(b"begun".to_vec()).await;
    let _ = act(then, "").await;
    let _ = body.send(b"done".to_vec()).await;
}

fn files() -> anyhow::Result<String> {
    let names: Result<Vec<_>, _> = std::fs::read_dir("/")?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect();
    let text = std::fs::read_to_string("/hello.txt")?;
    let outside = std::fs::read_to_string("/../secret.txt").is_ok()
        || std::fs::read_to_string("/link").is_ok();
    let written =
        std::fs::write("/new.txt", "x").is_ok() || std::fs::remove_file("/hello.txt").is_ok();
    Ok(
        json!({ "names": names?, "text": text, "outside": outside, "written": written })
            .to_string(),
    )
}

fn sqlite(label: &str) -> anyhow::Result<String> {
    let connection = spin_sdk::sqlite::Connection::open(label)?;
    connection.execute(
        "CREATE TABLE IF NOT EXISTS visit (n INTEGER PRIMARY KEY)",
        &[],
    )?;
    connection.execute("INSERT INTO visit DEFAULT VALUES", &[])?;
    let rows = connection.execute("SELECT count(*) AS n FROM visit", &[])?;
    let count = rows.rows().next().and_then(|row| row.get::<i64>("n"));
    Ok(count.unwrap_or_default().to_string())
}

/// Runs the statements in the body, one a line, on one connection. Answers with the first value of the last one.
async fn sql(label: &str, request: IncomingRequest) -> anyhow::Result<String> {
    let body = request.into_body().await?;
    let connection = spin_sdk::sqlite::Connection::open(label)?;
    let mut last = String::new();
    for statement in std::str::from_utf8(&body)?.lines() {
        let result = connection.execute(statement, &[])?;
        let value = result.rows.first().and_then(|row| row.values.first());
        last = match value {
            Some(spin_sdk::sqlite::Value::Integer(number)) => number.to_string(),
            other => format!("{other:?}"),
        };
    }
    Ok(last)
}

fn key_value(label: &str) -> anyhow::Result<String> {
    let store = spin_sdk::key_value::Store::open(label)?;
    let before = store
        .get("visits")?
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let count = before
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or_default()
        + 1;
    store.set("visits", count.to_string().as_bytes())?;
    Ok(count.to_string())
}

async fn fetch(url: &str) -> anyhow::Result<String> {
    let request = Request::get(url).build();
    let response: Response = spin_sdk::http::send(request).await?;
    Ok(format!(
        "{} {}",
        response.status(),
        String::from_utf8_lossy(response.body())
    ))
}
