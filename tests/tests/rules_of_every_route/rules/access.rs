//! Who may.

use reqwest::Method;

use super::{expect, has_parameter, has_problem, is_public, valid};
use crate::exchange::Ask;
use crate::fixtures::{Fixture, Whose};
use crate::scene::{Operation, Scene};

/// No credential, and one that is none: 401.
pub(crate) async fn credentials(scene: &Scene, operation: &Operation, fixture: &Fixture) {
    if is_public(operation) {
        return;
    }
    let ask = valid(scene, operation, fixture);
    for (what, token) in [
        ("without a token", None),
        ("with a token that is none", Some("x")),
        ("with a token of three parts", Some("e30.e30.e30")),
    ] {
        let got = scene.ask(Some(operation), &ask.clone().token(token)).await;
        expect(scene, operation, what, &got, 401);
    }
    // A user's token is nobody's but a user's.
    if operation.described["security"][0]["user"].is_null() {
        let got = scene
            .ask(Some(operation), &ask.token(Some(&scene.things.admin)))
            .await;
        expect(scene, operation, "with an administrator's token", &got, 401);
    }
}

/// To a stranger it is as if it were not there; who may only look changes nothing, and who may build and deploy decides
/// nothing; what is for administrators is forbidden to others.
pub(crate) async fn somebody_elses(scene: &Scene, operation: &Operation, fixture: &Fixture) {
    let ask = valid(scene, operation, fixture);
    match fixture.whose {
        Whose::Nobodys => {
            let is_users = operation.described["security"][0]["user"].is_array();
            if is_users && operation.template.contains('{') {
                scene.fault(operation, "has no owner: say whose it is (fixtures/)");
            }
            if is_public(operation) {
                by_address_alone(scene, operation, fixture).await;
            }
        }
        Whose::Shared | Whose::Owners => {
            to_strangers(scene, operation, fixture, &scene.things.eve).await;
            let looks_only = operation.method == Method::GET;
            if fixture.whose == Whose::Owners {
                let asked = ask.clone().token(Some(&scene.things.dan));
                let got = scene.ask(Some(operation), &asked).await;
                expect(scene, operation, "with a developer's token", &got, 403);
            }
            let asked = ask.token(Some(&scene.things.bob));
            let got = scene.ask(Some(operation), &asked).await;
            let status = if looks_only { fixture.status } else { 403 };
            expect(scene, operation, "with a viewer's token", &got, status);
            if !looks_only && !has_problem(scene, operation, "403", "forbidden") {
                scene.fault(operation, "does not tell of 403");
            }
        }
        Whose::Own => {
            // Bob has not even what ada shares with him, and an administrator no more than others.
            for other in [&scene.things.eve, &scene.things.bob, &scene.things.admin] {
                to_strangers(scene, operation, fixture, other).await;
            }
        }
        Whose::Administrators => {
            let mut paths = vec![ask.path.clone()];
            paths.extend(missing(operation, fixture));
            for path in paths {
                let asked = Ask {
                    path,
                    ..ask.clone()
                };
                let asked = asked.token(Some(&scene.things.eve));
                let got = scene.ask(Some(operation), &asked).await;
                expect(scene, operation, "with a user's token", &got, 403);
            }
        }
    }
}

/// Asked for what is in somebody else's project, a list is as if the project were not there; where the document tells of
/// no 404, it is empty.
pub(crate) async fn somebody_elses_project(
    scene: &Scene,
    operation: &Operation,
    fixture: &Fixture,
) {
    // A fixture that names one itself is tried by strangers above.
    if !has_parameter(scene, operation, "query", "project_id")
        || fixture.query.contains("project_id=")
    {
        return;
    }
    let of = |project: i64| {
        let path = fixture.path_of(&operation.template);
        let mark = if path.contains('?') { '&' } else { '?' };
        Ask::new(
            &operation.method,
            &format!("{path}{mark}project_id={project}"),
        )
        .token(Some(&scene.things.eve))
    };
    let foreign = scene.ask(Some(operation), &of(scene.things.project)).await;
    let missing = scene.ask(Some(operation), &of(987_654_321)).await;
    let status = if has_problem(scene, operation, "404", "not-found") {
        404
    } else {
        let entries = foreign.json()["data"].as_array().map(Vec::len);
        if entries != Some(0) {
            let what = format!("of a stranger's project shows {entries:?} entries");
            scene.fault(operation, &what);
        }
        fixture.status
    };
    for (what, got) in [
        ("of a stranger's project", &foreign),
        ("of a project that is not there", &missing),
    ] {
        expect(scene, operation, what, got, status);
    }
    if missing.words() != foreign.words() {
        let what = "of a stranger's project differs from that of none";
        scene.fault(operation, what);
    }
}

/// 404, in the words of what is not there at all.
async fn to_strangers(scene: &Scene, operation: &Operation, fixture: &Fixture, stranger: &str) {
    let ask = valid(scene, operation, fixture);
    let asked = ask.clone().token(Some(stranger));
    let foreign = scene.ask(Some(operation), &asked).await;
    expect(scene, operation, "with a stranger's token", &foreign, 404);
    if let Some(path) = missing(operation, fixture) {
        let missing = scene.ask(Some(operation), &Ask { path, ..ask }).await;
        expect(scene, operation, "for what is not there", &missing, 404);
        if missing.words() != foreign.words() {
            let what = "what is another's differs from what is not there";
            scene.fault(operation, what);
        }
    }
}

/// Where the address is the credential, another address and none are the same: 404.
async fn by_address_alone(scene: &Scene, operation: &Operation, fixture: &Fixture) {
    let Some(query) = &fixture.other_query else {
        return;
    };
    let mut words = Vec::new();
    for path in [
        format!("{}?{query}", operation.template),
        operation.template.clone(),
    ] {
        let asked = Ask::new(&operation.method, &path);
        let got = scene.ask(Some(operation), &asked).await;
        expect(scene, operation, "at another address", &got, 404);
        words.push(got.words());
    }
    if words.first() != words.last() {
        scene.fault(operation, "another address differs from none");
    }
}

/// The path of something of the same kind that is not there.
fn missing(operation: &Operation, fixture: &Fixture) -> Option<String> {
    let mut path = operation.template.clone();
    if !path.contains('{') {
        return None;
    }
    for (name, value) in &fixture.path {
        let none = if value.contains('-') {
            "01890a5d-ac96-774b-bcce-b302099a8057"
        } else {
            "987654321"
        };
        path = path.replace(&format!("{{{name}}}"), none);
    }
    Some(path)
}

/// The platform's own parts call it, but nothing of it is open to the outside.
pub(crate) async fn is_not_there_from_outside(
    scene: &Scene,
    operation: &Operation,
    fixture: &Fixture,
) {
    // Three components have one; from outside it is that of `meta`, which is tried as such.
    if operation.template != "/internal/tick" {
        let ask = valid(scene, operation, fixture);
        let got = scene.ask(None, &ask).await;
        expect(scene, operation, "from outside", &got, 404);
    }
}
