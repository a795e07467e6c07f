//! `wasi:keyvalue@0.2.0-draft2`: a bucket, many keys at once, counting, and comparing before writing.

use spin_sdk::http::{Request, Response};
use spin_sdk::http_component;
use spin_sdk::wit::wasi::keyvalue::atomics::{self, Cas};
use spin_sdk::wit::wasi::keyvalue::{batch, store};

#[http_component]
fn handle(request: Request) -> Response {
    wasi02::reply(run(request.query()))
}

fn run(identifier: &str) -> anyhow::Result<String> {
    let bucket = store::open(identifier)?;
    let before = bucket.get("a")?;
    bucket.set("a", &[1, 2])?;
    let (read, keys, there) = (
        bucket.get("a")?,
        bucket.list_keys(None)?.keys,
        bucket.exists("a")?,
    );
    bucket.delete("a")?;
    let after = bucket.exists("a")?;
    batch::set_many(
        &bucket,
        &[("x".to_owned(), vec![1]), ("y".to_owned(), vec![2])],
    )?;
    let names = ["x", "y", "z"].map(str::to_owned);
    let many = batch::get_many(&bucket, &names)?;
    batch::delete_many(&bucket, &names)?;
    let counted = atomics::increment(&bucket, "n", 5)? + atomics::increment(&bucket, "n", -2)?;
    bucket.set("c", &[1])?;
    let (cas, late) = (Cas::new(&bucket, "c")?, Cas::new(&bucket, "c")?);
    let seen = cas.current()?;
    late.current()?;
    let (first, second) = (
        atomics::swap(cas, &[2]).is_ok(),
        atomics::swap(late, &[3]).is_ok(),
    );
    for key in ["c", "n"] {
        bucket.delete(key)?;
    }
    Ok(format!(
        "{before:?} {read:?} {keys:?} {there} {after}; {many:?}; {counted}; {seen:?} {first} {second}"
    ))
}

fn main() {}
