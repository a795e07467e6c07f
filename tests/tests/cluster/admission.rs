//! SpinKube's own admission, which asks its operator about every `SpinApp`: it is in force here as its chart has it.

use nokube_tests::cluster::sidecar::CHANGE_LIMIT;
use nokube_tests::cluster::visit;
use nokube_tests::wait::until;
use serde_json::{Value, json};

use crate::objects::until_nothing_is_in;

const NAMESPACE: &str = "admission";
const EXECUTOR: &str = "executor-of-admission";

fn spin_app(name: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut app = json!({
        "apiVersion": "core.spinkube.dev/v1alpha1", "kind": "SpinApp",
        "metadata": { "name": name },
        "spec": {
            "image": "registry.example.org/app:1", "executor": EXECUTOR, "replicas": 1,
            "resources": { "limits": { "memory": "128Mi" } },
        },
    });
    change(&mut app["spec"]);
    app
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spinkube_refuses_applications_that_its_operator_could_not_run() {
    let Some(visit) = visit().await else {
        return;
    };
    let kube = visit.kube();
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } });
    let namespaces = "/api/v1/namespaces";
    let _ = kube.create(namespaces, &namespace).await.expect(namespaces);
    let group = format!("/apis/core.spinkube.dev/v1alpha1/namespaces/{NAMESPACE}");
    let (apps, executors) = (
        format!("{group}/spinapps"),
        format!("{group}/spinappexecutors"),
    );

    let good = spin_app("good", |_| ());
    let early = kube.create(&apps, &good).await;
    assert!(early.status.is_client_error(), "{early:?}");
    // In the words that the sidecar knows: it tries again then.
    let told = early.body.to_string();
    assert!(
        told.contains("executor does not exist in namespace"),
        "{told}"
    );

    let executor = json!({
        "apiVersion": "core.spinkube.dev/v1alpha1", "kind": "SpinAppExecutor",
        "metadata": { "name": EXECUTOR },
        "spec": {
            "createDeployment": true,
            "deploymentConfig": { "runtimeClassName": "wasmtime-spin-v2" },
        },
    });
    let _ = kube.create(&executors, &executor).await.expect(&executors);
    // It is read from a cache.
    until("the executor to be known", CHANGE_LIMIT, || async {
        let answer = kube.create(&apps, &good).await;
        answer.status.is_success().then_some(())
    })
    .await;

    let refused = [
        (
            spin_app("none", |spec| spec["replicas"] = json!(0)),
            "replicas must be > 0",
        ),
        (
            spin_app("both", |spec| spec["enableAutoscaling"] = json!(true)),
            "replicas cannot be set when autoscaling is enabled",
        ),
        (
            spin_app("greedy", |spec| {
                spec["invocationLimits"] = json!({ "memory": "256Mi" })
            }),
            "cannot be greater than the memory limit",
        ),
        (
            spin_app("lost", |spec| spec["executor"] = json!("another")),
            "executor does not exist in namespace",
        ),
    ];
    for (app, words) in refused {
        let answer = kube.create(&apps, &app).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
        let told = answer.body.to_string();
        assert!(told.contains(words), "{told}");
    }

    let path = format!("{apps}/good");
    let _ = kube.delete(&path).await.expect(&path);
    let path = format!("{namespaces}/{NAMESPACE}");
    let _ = kube.delete(&path).await.expect(&path);
    until_nothing_is_in(&kube, NAMESPACE).await;
}
