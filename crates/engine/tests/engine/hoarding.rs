//! Guests that have the host keep things for them.

use nokube_engine::HostLimits;
use serde_json::Value;

use crate::guests;
use crate::support::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_hoards_things_of_the_host_is_ended_and_the_log_says_why() {
    let mut stage = Stage::new("hoard");
    let files = stage.dir.path().join("files");
    std::fs::create_dir(&files).expect("a folder");
    std::fs::write(files.join("hello.txt"), "hello").expect("a file");
    if let Some(component) = stage.config.components.get_mut("probe") {
        component.files = Some(files);
    }
    let served = stage.serve().await;
    for (path, id) in [("/hoard?fields", "of-fields"), ("/hoard?files", "of-files")] {
        let reply = served
            .get_with(path, &format!("x-request-id: {id}\r\n"))
            .await;
        assert_eq!(reply.status, 500, "{path}: {reply:?}");
        let told = served.stage.log().into_iter().find(|line| {
            line.request_id.as_deref() == Some(id)
                && line.text.contains("more than 512 objects of the host")
        });
        assert!(told.is_some(), "{path}: {:#?}", served.stage.log());
    }
    assert_eq!(served.get("/ok").await.body, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_have_a_largest_size() {
    let mut stage = Stage::new("fields");
    stage.config.limits.host = HostLimits {
        field_bytes: 10_000,
        ..HostLimits::default()
    };
    let served = stage.serve().await;
    assert_eq!(served.get("/fields?5").await.body, "5");
    assert_eq!(served.get("/fields?20").await.status, 500);
    served.logged("total size of fields exceeds limit").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_guest_of_the_third_world_has_the_host_keep_and_do_is_bounded() {
    let served = guests::stage("wasi03_hoard", &Value::Null).serve().await;
    let cases = [
        ("streams", 100, 100_000, "were held at once"),
        ("waits", 100, 100_000, "were held at once"),
        ("call", 1 << 20, 34 << 20, "too much data is being copied"),
    ];
    for (what, allowed, refused, reason) in cases {
        let reply = served.get(&format!("/?{what}/{allowed}")).await;
        assert_eq!(reply.status, 200, "{what}: {reply:?}");
        let path = format!("/?{what}/{refused}");
        let id = format!("x-request-id: of-{what}\r\n");
        let reply = served.get_with(&path, &id).await;
        assert_eq!(reply.status, 500, "{what}: {reply:?}");
        let log = served.stage.log();
        let of = format!("of-{what}");
        let told = log
            .iter()
            .any(|line| line.request_id.as_ref() == Some(&of) && line.text.contains(reason));
        assert!(told, "{what}: {log:#?}");
    }
    let all = served.get(&format!("/?random/{}", 1 << 20)).await;
    assert_eq!((all.status, all.body.as_str()), (200, "1048576"));
    let cut = served.get(&format!("/?random/{}", 2 << 20)).await;
    assert_eq!((cut.status, cut.body.as_str()), (200, "1048576"));
}
