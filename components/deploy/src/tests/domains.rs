//! Custom domains of those who are no administrators: a TXT record shows whose they are.

use super::*;

const DOMAIN: &str = "www.example.com";
const NAME: &str = "_nokube-challenge.www.example.com";

impl Scene {
    fn set_dns(&self, name: &str, records: &[&str]) {
        let records = records.iter().map(|record| (*record).to_owned()).collect();
        let mut sidecar = self.sidecar.borrow_mut();
        sidecar
            .dns
            .get_or_insert_default()
            .insert(name.to_owned(), records);
    }

    fn looked_up(&self) -> usize {
        self.sidecar.borrow().looked_up.len()
    }

    /// The record that a refusal asks for.
    fn challenge(&self, refused: &TestAnswer, pointer: &str) -> String {
        let problem = refused.expect(422);
        let faults = problem["errors"].as_array().unwrap();
        let fault = faults
            .iter()
            .find(|fault| fault["pointer"] == pointer)
            .unwrap();
        let text = fault["detail"].as_str().unwrap();
        assert!(text.contains(&format!("the TXT record {NAME} ")), "{text}");
        let value = text
            .split_whitespace()
            .find(|word| word.starts_with("nokube-"));
        value.unwrap().to_owned()
    }
}

fn wanting() -> Value {
    json!({ "custom_domain": DOMAIN })
}

#[test]
fn a_record_that_the_refusal_names_lets_a_project_have_the_domain() {
    let scene = Scene::new();
    let refused = scene.deploy(&wanting());
    let value = scene.challenge(&refused, "/custom_domain");
    assert_eq!(scene.sidecar.borrow().looked_up, [NAME]);
    scene.set_dns(NAME, &["v=spf1 -all", "nokube-of-another"]);
    assert_eq!(
        scene.challenge(&scene.deploy(&wanting()), "/custom_domain"),
        value
    );
    scene.set_dns(NAME, &["v=spf1 -all", &value]);
    let deployed = scene.deploy(&wanting()).expect(202);
    assert_eq!(deployed["spec"]["custom_domain"], DOMAIN);
    // What it has it keeps without being asked again.
    let asked = scene.looked_up();
    scene.set_dns(NAME, &[]);
    scene.deploy(&wanting()).expect(202);
    scene.deploy(&json!({})).expect(202);
    assert_eq!(scene.looked_up(), asked);
}

#[test]
fn a_proof_is_of_one_project_and_of_one_domain() {
    let scene = Scene::new();
    let value = scene.challenge(&scene.deploy(&wanting()), "/custom_domain");
    scene.set_dns(NAME, &[&value]);
    scene.set_dns("_nokube-challenge.example.com", &[&value]);
    scene.set_dns("_nokube-challenge.a.www.example.com", &[&value]);
    for other in ["example.com", "a.www.example.com"] {
        let refused = scene.deploy(&json!({ "custom_domain": other }));
        assert_eq!(refused.faults(), ["/custom_domain"], "{other}");
    }
    let of_eve = json!({
        "project_id": 2, "service_name": "web", "build_id": build_id(4), "custom_domain": DOMAIN,
    });
    let refused = scene.post_as("eve", "/api/v1/deploy", &of_eve);
    assert_ne!(scene.challenge(&refused, "/custom_domain"), value);
}

#[test]
fn the_dns_is_asked_only_for_those_who_could_have_the_domain() {
    let scene = Scene::new();
    // A viewer, a stranger, a host of the platform, what is no domain, and what is too long for a record's name.
    let body = json!({
        "project_id": 1, "service_name": "web", "build_id": build_id(1), "custom_domain": DOMAIN,
    });
    scene.post_as("bob", "/api/v1/deploy", &body).expect(403);
    scene.post_as("eve", "/api/v1/deploy", &body).expect(404);
    let long = format!("{}a.example.com", "a.".repeat(115));
    for none in ["x.apps.example.org", "10.0.0.1", "localhost", &long] {
        let refused = scene.deploy(&json!({ "custom_domain": none }));
        assert_eq!(refused.faults(), ["/custom_domain"], "{none}");
    }
    let id = scene.running();
    let path = format!("/api/v1/deployments/{id}");
    for (name, status) in [("bob", 403), ("eve", 404)] {
        let request = scene.app.patch(&path).bearer(&scene.token(name));
        assert_eq!(request.json(&wanting()).send().status, status);
    }
    assert_eq!(scene.looked_up(), 0);
}

#[test]
fn a_domain_by_configuration_or_by_a_rollback_takes_a_proof_too() {
    let scene = Scene::new();
    let id = scene.running();
    let refused = scene.patch(&id, &wanting());
    let value = scene.challenge(&refused, "/custom_domain");
    scene.set_dns(NAME, &[&value]);
    scene.patch(&id, &wanting()).expect(202);
    scene
        .patch(&id, &json!({ "custom_domain": null }))
        .expect(202);
    // By now it may be somebody else's.
    scene.set_dns(NAME, &[]);
    let back = || scene.action(&id, "rollback", &json!({ "revision": 2 }));
    assert_eq!(scene.challenge(&back(), "/revision"), value);
    scene.set_dns(NAME, &[&value]);
    assert_eq!(back().expect(202)["spec"]["custom_domain"], DOMAIN);
}

#[test]
fn a_dns_that_does_not_answer_proves_nothing_and_stops_nothing_else() {
    let scene = Scene::new();
    scene.sidecar.borrow_mut().dns = None;
    let refused = scene.deploy(&wanting());
    scene.challenge(&refused, "/custom_domain");
    let text = refused.expect(422).to_string();
    assert!(text.contains("did not answer"), "{text}");
    scene.deploy(&json!({})).expect(202);
    scene.sidecar.borrow_mut().down = true;
    assert_eq!(scene.deploy(&wanting()).faults(), ["/custom_domain"]);
    scene.deploy(&json!({ "replicas": 2 })).expect(202);
}

#[test]
fn a_domain_that_was_proven_twice_is_the_firsts() {
    let scene = Scene::new();
    let value = scene.challenge(&scene.deploy(&wanting()), "/custom_domain");
    let of_eve = json!({
        "project_id": 2, "service_name": "web", "build_id": build_id(4), "custom_domain": DOMAIN,
    });
    let of_eves = scene.challenge(
        &scene.post_as("eve", "/api/v1/deploy", &of_eve),
        "/custom_domain",
    );
    scene.set_dns(NAME, &[&value, &of_eves]);
    scene.deploy(&wanting()).expect(202);
    let taken = scene.post_as("eve", "/api/v1/deploy", &of_eve).expect(409);
    assert_eq!(taken["type"], "/problems/domain-taken");
    let preview = scene
        .post_as("eve", "/api/v1/deploy/preview", &of_eve)
        .expect(409);
    assert_eq!(preview["type"], "/problems/domain-taken");
}
