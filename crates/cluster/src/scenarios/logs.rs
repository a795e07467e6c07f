//! Logs of pods.

use nokube_api::logs::LogPage;
use nokube_sidecar::{LogQuery, Target as _, TargetError};
use serde_json::json;

use crate::testing::{Fake, Rule, World, container};

fn query(cursor: Option<String>) -> LogQuery {
    LogQuery {
        cursor,
        limit: 2,
        ..LogQuery::default()
    }
}

fn texts(page: &LogPage) -> Vec<&str> {
    page.lines.iter().map(|line| line.text.as_str()).collect()
}

pub(super) async fn a_log_that_cannot_be_read_is_no_empty_one() -> Fake {
    let world = World::new().await;
    let app = container(1);
    world.runs(&app).await;
    let pod = world.pods(&app).remove(0);
    // Not begun yet.
    let page = world.target.logs(&app, query(None)).await.unwrap();
    assert!(page.lines.is_empty());
    world.fake.set_log(&pod, "2026-11-21T10:00:01Z one\n");
    for (status, times, is_read) in [(403, 1, false), (503, 2, true), (500, 3, false)] {
        world
            .fake
            .script(Rule::status("GET", "/log", status, "dial tcp: i/o timeout").times(times));
        let read = world.target.logs(&app, query(None)).await;
        match read {
            Ok(page) => assert!(is_read && texts(&page) == ["one"]),
            Err(TargetError::Unavailable(message)) => {
                assert!(!is_read && message.contains("i/o timeout"), "{message}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    // Others of the application's pods are on other nodes.
    world.add_pods(&app, &crate::testing::ready());
    let mut more = app.clone();
    more.spec.replicas = 2;
    more.generation = 2;
    world.runs(&more).await;
    let pods = world.pods(&more);
    assert_eq!(pods.len(), 2);
    for pod in &pods {
        world.fake.set_log(pod, "2026-11-21T10:00:01Z one\n");
    }
    world.fake.script(Rule {
        // Of whichever is asked.
        ..Rule::status("GET", "-0/log", 500, "dial tcp: i/o timeout").times(3)
    });
    let page = world.target.logs(&app, query(None)).await.unwrap();
    assert_eq!(texts(&page), ["one"]);
    let page = world
        .target
        .logs(&app, query(Some(page.cursor)))
        .await
        .unwrap();
    assert_eq!(texts(&page), ["one"]);
    world.fake
}

pub(super) async fn a_log_goes_on_after_restarts_of_everything() -> Fake {
    let world = World::new().await;
    let app = container(1);
    world.apply(&app).await.unwrap();
    // Its container was started again once.
    let status = json!({
        "conditions": [{ "type": "Ready", "status": "True" }],
        "containerStatuses": [{ "name": app.service, "restartCount": 1, "state": { "running": {} } }],
    });
    world.make_pods(&app, &status);
    world
        .until("the pod to be seen", || async {
            (world.observe(&app).await.replicas_ready == 1).then_some(())
        })
        .await;
    let pod = world.pods(&app).remove(0);
    let now = "2026-11-21T10:00:0";
    world.fake.set_log(
        &format!("{pod} previous"),
        &format!("{now}1Z one\n{now}2Z two\n"),
    );
    world.fake.set_log(&pod, &format!("{now}3Z three\n"));
    let first = world.target.logs(&app, query(None)).await.unwrap();
    assert_eq!(texts(&first), ["one", "two"]);
    // Another sidecar goes on with the cursor.
    let world = world.restarted().await;
    let second = world
        .target
        .logs(&app, query(Some(first.cursor)))
        .await
        .unwrap();
    assert_eq!(texts(&second), ["three"]);
    assert_eq!(second.lines[0].n, 3);
    let end = world
        .target
        .logs(&app, query(Some(second.cursor.clone())))
        .await
        .unwrap();
    assert!(end.lines.is_empty());
    assert_eq!(end.cursor, second.cursor);
    world
        .fake
        .set_log(&pod, &format!("{now}3Z three\n{now}4Z four\n"));
    let followed = world
        .target
        .logs(&app, query(Some(end.cursor)))
        .await
        .unwrap();
    assert_eq!(texts(&followed), ["four"]);
    let error = world
        .target
        .logs(&app, query(Some("nonsense".to_owned())))
        .await
        .unwrap_err();
    assert!(matches!(error, TargetError::Refused(_)));
    world.fake
}
