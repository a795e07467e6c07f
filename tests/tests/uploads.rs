//! Sources that are uploaded as the README does it with curl: one `POST` of an archive, which the platform sends on
//! to the blob store without having taken it in.

use nokube_tests::api::Api;
use nokube_tests::archive;
use nokube_tests::platform::Platform;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// More than any body that the platform's own functions read.
const PHOTO_BYTES: usize = 9 << 20;

/// What is answered to an upload's head alone, by a client that waits to be asked for the body.
async fn answer_to_the_head(api: &Api, path: &str) -> String {
    let address = api.url().trim_start_matches("http://");
    let token = api.token().expect("signed in");
    let head = format!(
        "POST /api/v1{path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/gzip\r\ncontent-length: {PHOTO_BYTES}\r\nexpect: 100-continue\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer.to_ascii_lowercase()
}

#[tokio::test]
async fn a_source_larger_than_any_other_body_is_sent_on_built_and_served() {
    let platform = Platform::start();
    let api = platform.register_ada().await;
    let project = api.create_project("shop").await;
    let path = format!("/builds/upload?project_id={project}&service_name=web");

    let answer = answer_to_the_head(&api, &path).await;
    assert!(answer.starts_with("http/1.1 307 "), "{answer}");
    for part in ["/blobs/", "\r\nconnection: close\r\n"] {
        assert!(answer.contains(part), "{part} is missing: {answer}");
    }

    // Named as `tar cz .` does it.
    let photo = vec![7; PHOTO_BYTES];
    let archive = archive::of_files(&[("./index.html", b"large"), ("./photo.bin", &photo)]);
    assert!(archive.len() > PHOTO_BYTES);
    let id = &api.upload(project, "web", archive).await;
    let build = api.wait_for_build(id).await;
    assert_eq!(build["status"], "success", "{}", api.build_log(id).await);
    let deployed = api
        .deploy(&json!({ "project_id": project, "service_name": "web", "build_id": id }))
        .await;
    let url = deployed["access_url"].as_str().expect("an address");
    assert_eq!(api.visit(url, "/").await.expect("it answers").text, "large");
    let photo = api.visit(url, "/photo.bin").await.expect("it answers");
    assert_eq!(photo.text.len(), PHOTO_BYTES);
}
