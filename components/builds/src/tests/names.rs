//! Names of images.

use super::*;

#[test]
fn a_name_that_is_another_services_is_refused() {
    let scene = Scene::new();
    let of = |project: i64, service: &str| {
        scene.create(
            &json!({ "project_id": project, "service_name": service, "repository_url": URL }),
        )
    };
    // ada-shop-api-web: `api-web` of shop, and `web` of shop-api.
    of(1, "api-web").expect(202);
    let refused = of(3, "web").expect(409);
    assert!(
        refused["detail"].as_str().unwrap().contains("image_name"),
        "{refused}"
    );
    of(1, "api-web").expect(202);
    let named = json!({ "project_id": 3, "service_name": "web", "repository_url": URL, "image_name": "other", "image_tag": "v1" });
    assert_eq!(
        scene.create(&named).expect(202)["image_full_name"],
        "registry.localhost/nokube/ada-other:v1"
    );
}
