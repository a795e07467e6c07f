//! `wasi:filesystem@0.2`: lists and reads its files, and tries what it may not.

use std::fs;

use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;

#[http_component]
fn handle(_: Request) -> Response {
    wasi02::reply(run())
}

fn run() -> anyhow::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir("/")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let text = fs::read_to_string("/hello.txt")?;
    let outside =
        fs::read_to_string("/../secret.txt").is_ok() || fs::read_to_string("/link").is_ok();
    let written = fs::write("/new.txt", "x").is_ok() || fs::remove_file("/hello.txt").is_ok();
    Ok(format!(
        "{names:?} {text} outside: {outside} written: {written}"
    ))
}

fn main() {}
