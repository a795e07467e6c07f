//! Components that call each other, and the way out.

use serde_json::{Value, json};

use crate::support::{Served, Stage};

async fn pair(hosts: Value) -> Served {
    let routes = [
        ("front", json!("/...")),
        ("back", json!({ "private": true })),
    ];
    Stage::of("pair", &routes, &json!({ "allowed_outbound_hosts": hosts }))
        .serve()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_reaches_another_by_name_when_its_manifest_says_so() {
    let served = pair(json!(["http://*.spin.internal"])).await;
    assert_eq!(
        served.get("/fetch?http://back.spin.internal/ok").await.body,
        "200 ok"
    );
    let echo = served
        .get("/fetch?http://back.spin.internal/echo")
        .await
        .body;
    for part in ["0.0.0.0:0", "http://back.spin.internal/echo", "/..."] {
        assert!(echo.contains(part), "{part} in {echo}");
    }
    let failed = served.get("/fetch?http://back.spin.internal/trap").await;
    assert!(failed.body.starts_with("500 "), "{failed:?}");
    let line = served.logged("cause_of_the_trap").await;
    assert_eq!(line.component.as_deref(), Some("back"));
    assert_eq!(
        served
            .get("/fetch?http://nobody.spin.internal/ok")
            .await
            .status,
        502
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_component_reaches_only_what_its_manifest_names() {
    let served = pair(json!(["http://front.spin.internal"])).await;
    assert_eq!(
        served
            .get("/fetch?http://back.spin.internal/ok")
            .await
            .status,
        502
    );
    assert_eq!(
        served
            .get("/fetch?http://front.spin.internal/ok")
            .await
            .body,
        "200 ok"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn components_that_call_themselves_without_end_are_stopped() {
    let served = pair(json!(["http://*.spin.internal"])).await;
    let deep = "/fetch?http://back.spin.internal".repeat(40) + "/ok";
    let reply = served.get(&deep).await;
    assert_eq!(reply.status, 200, "the first of them answers");
    assert!(reply.body.contains("502"), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_machine_is_out_of_reach_whatever_the_manifest_says() {
    let served = pair(json!(["http://*:*"])).await;
    let url = format!("/fetch?http://{}/ok", served.addr);
    let reply = served.get_with(&url, "x-request-id: outwards\r\n").await;
    assert_eq!(reply.status, 502);
    let line = served.logged("127.0.0.1").await;
    assert_eq!(line.request_id.as_deref(), Some("outwards"));
    assert_eq!(line.component.as_deref(), Some("front"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_request_causes_within_the_application_has_its_id() {
    let served = pair(json!(["http://*.spin.internal", "http://self"])).await;
    for path in [
        "/fetch?http://back.spin.internal/print",
        "/fetch?http://back.spin.internal/fetch?http://self.alt/print",
    ] {
        let id = format!("id-{}", path.len());
        let header = format!("x-request-id: {id}\r\n");
        assert_eq!(served.get_with(path, &header).await.status, 200);
        let lines = served.stage.log();
        let printed = lines.iter().rfind(|line| line.text == "one");
        let line = printed.expect("a line printed by whom was called");
        assert_eq!(line.request_id.as_deref(), Some(id.as_str()), "{lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_reaches_itself_by_path() {
    let served = pair(json!(["http://self"])).await;
    let reply = served.get("/fetch?http://self.alt/ok").await;
    assert_eq!(reply.body, "200 ok");
}
