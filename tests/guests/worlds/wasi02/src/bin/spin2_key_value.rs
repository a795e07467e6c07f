//! `fermyon:spin/key-value@2.0.0`: sets, reads, lists and deletes a key.

use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;
use spin_sdk::key_value::Store;

#[http_component]
fn handle(request: Request) -> Response {
    wasi02::reply(run(request.query()))
}

fn run(label: &str) -> anyhow::Result<String> {
    let store = Store::open(label)?;
    let before = store.get("a")?;
    store.set("a", &[1, 2])?;
    let (read, keys, there) = (store.get("a")?, store.get_keys()?, store.exists("a")?);
    store.delete("a")?;
    let after = store.exists("a")?;
    Ok(format!("{before:?} {read:?} {keys:?} {there} {after}"))
}

fn main() {}
