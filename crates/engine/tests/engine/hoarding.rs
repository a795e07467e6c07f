//! Guests that have the host keep things for them.

use nokube_engine::HostLimits;

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
