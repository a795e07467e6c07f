//! Requests that wait for each other in one instance.
//!
//! The query says how many milliseconds a request waits for another one, the path what it does then: answer how many
//! at most were there at once and the how-manieth of the instance it is, or misbehave. Below `/stream` the answer begins before
//! the waiting. `/quick` does not wait.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::SinkExt;
use spin_sdk::http::{FullBody, IntoResponse, Request, Response, body, box_body};
use spin_sdk::http_service;
use spin_sdk::time::sleep;

static SERVED: AtomicU32 = AtomicU32::new(0);
static INSIDE: AtomicU32 = AtomicU32::new(0);
static PEAK: AtomicU32 = AtomicU32::new(0);

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
    let patience = Duration::from_millis(wasi03::query(&request).parse().unwrap_or(0));
    let path = request.uri().path().to_owned();
    let Some(then) = path.strip_prefix("/stream").map(str::to_owned) else {
        let text = meet(&path, patience, served).await;
        return Response::new(box_body(FullBody::new(Bytes::from(text))));
    };
    let (mut sender, answer) = body::stream::<String>();
    spin_sdk::wasip3::spawn(async move {
        // The client may go before the end.
        let _ = sender.send("begun ".to_owned()).await;
        let text = meet(&then, patience, served).await;
        let _ = sender.send(text).await;
    });
    Response::new(box_body(answer))
}

async fn meet(then: &str, patience: Duration, served: u32) -> String {
    let began = Instant::now();
    let inside = INSIDE.fetch_add(1, Ordering::Relaxed) + 1;
    PEAK.fetch_max(inside, Ordering::Relaxed);
    if then != "/quick" {
        println!("request {served} came");
        while PEAK.load(Ordering::Relaxed) < 2 && began.elapsed() < patience {
            sleep(Duration::from_millis(1)).await;
        }
        println!("request {served} goes on");
    }
    match then {
        "/trap" => cause_of_the_trap(),
        "/sleep" => sleep(Duration::from_secs(24 * 3600)).await,
        "/loop" => compute(Duration::MAX),
        // Gives the others their turn, again and again.
        "/grind" => loop {
            compute(Duration::from_millis(50));
            sleep(Duration::from_millis(1)).await;
        },
        _ => {}
    }
    INSIDE.fetch_sub(1, Ordering::Relaxed);
    format!("{} {served}", PEAK.load(Ordering::Relaxed))
}

#[inline(never)]
fn cause_of_the_trap() {
    panic!("asked to panic")
}

fn compute(time: Duration) {
    let began = Instant::now();
    let mut number = 0_u64;
    while began.elapsed() < time {
        for _ in 0..100_000 {
            number = black_box(number.wrapping_add(1));
        }
    }
}

fn main() {}
