//! `wasi:filesystem@0.3`: lists and reads its files, and tries what it may not.

use anyhow::Context;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::filesystem::preopens;
use spin_sdk::wasip3::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};

#[http_service]
async fn handle(_: Request) -> impl IntoResponse {
    wasi03::reply(run().await)
}

async fn run() -> anyhow::Result<String> {
    let mut folders = preopens::get_directories();
    let (root, _) = folders.pop().context("there are no files")?;
    let (entries, end) = root.read_directory();
    let mut names: Vec<_> = entries
        .collect()
        .await
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    end.await?;
    names.sort();
    let file = open(
        &root,
        "hello.txt",
        OpenFlags::empty(),
        DescriptorFlags::READ,
    )
    .await?;
    let (bytes, end) = file.read_via_stream(0);
    let text = String::from_utf8(bytes.collect().await)?;
    end.await?;
    let mut outside = false;
    for path in ["../secret.txt", "link"] {
        outside |= open(&root, path, OpenFlags::empty(), DescriptorFlags::READ)
            .await
            .is_ok();
    }
    let made = open(&root, "new.txt", OpenFlags::CREATE, DescriptorFlags::WRITE).await;
    let written = made.is_ok() || root.unlink_file_at("hello.txt".to_owned()).await.is_ok();
    Ok(format!(
        "{names:?} {text} outside: {outside} written: {written}"
    ))
}

async fn open(
    root: &Descriptor,
    path: &str,
    how: OpenFlags,
    what: DescriptorFlags,
) -> anyhow::Result<Descriptor> {
    Ok(root
        .open_at(PathFlags::SYMLINK_FOLLOW, path.to_owned(), how, what)
        .await?)
}

fn main() {}
