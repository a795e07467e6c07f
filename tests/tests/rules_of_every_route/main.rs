//! The rules that docs/openapi.json tells of all routes, held against every one of them, over HTTP and the running
//! platform. The routes come from the documents, which are made of the components' tables; a route without a fixture
//! (`fixtures/`) fails, and so does an answer that the documents do not tell of.
//!
//! Every fault is collected and told at the end: one run says all that is wrong.

mod exchange;
mod fixtures;
mod made_up;
mod rules;
mod scene;
mod things;
mod totp;

use scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn every_route_keeps_the_rules_of_the_api() {
    let scene = Scene::start().await;
    let operations = scene.operations();
    assert!(operations.len() > 30, "the documents have the routes");
    for operation in &operations {
        let Some(fixture) = fixtures::fixture(&scene, &operation.id) else {
            scene.fault(operation, "has no fixture (fixtures/)");
            continue;
        };
        if !fixture.is_reachable {
            rules::is_not_there_from_outside(&scene, operation, &fixture).await;
            continue;
        }
        rules::credentials(&scene, operation, &fixture).await;
        rules::somebody_elses(&scene, operation, &fixture).await;
        rules::somebody_elses_project(&scene, operation, &fixture).await;
        rules::bodies(&scene, operation, &fixture).await;
        rules::versions(&scene, operation, &fixture).await;
        rules::queries(&scene, operation, &fixture).await;
        rules::idempotency(&scene, operation, &fixture).await;
    }
    rules::methods(&scene, &operations).await;
    // What changes or removes something of the scene comes last.
    for operation in scene.in_order_of_damage(&operations) {
        if let Some(fixture) = fixtures::fixture(&scene, &operation.id)
            && fixture.is_reachable
        {
            rules::works(&scene, operation, &fixture).await;
        }
    }
    rules::limits(&scene, &operations).await;
    rules::one_time_addresses(&scene).await;
    rules::paths_that_nobody_has(&scene).await;
    let faults = scene.faults();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}
