//! A component's contract against its route table, its handlers and its answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use http::Method;
use nokube_contract::{Audience, Contract, Document, Route, Seen};
use serde_json::{Value, json};

use super::{TestAnswer, TestApp};
use crate::asked::{self, Asked};
use crate::dispatch::{Found, canonical, find};
use crate::{Access, Component};

/// Names a folder that documents are written to instead of being compared: `cargo xtask openapi` sets it.
const WRITE_TO: &str = "NOKUBE_OPENAPI_DIR";

/// A contract that every answer is held against.
pub(super) struct Held {
    documents: [Document; 2],
}

impl TestApp {
    /// Holds every answer from now on against the component's contract, and every name that a handler asks for.
    #[must_use]
    pub fn described_by(mut self, contract: &Contract) -> Self {
        self.contract = Some(Held::of(self.component, contract));
        self
    }
}

impl Held {
    fn of(component: &Component, contract: &Contract) -> Self {
        let rows = rows(component);
        let part = |audience| Document::of(component.name, &rows, contract, audience);
        Self {
            documents: [part(Audience::Public), part(Audience::Internal)],
        }
    }

    fn document(&self, access: Access) -> &Document {
        &self.documents[usize::from(access == Access::System)]
    }

    /// # Panics
    /// When the contract does not tell of the answer, or of what was asked for.
    #[track_caller]
    pub(super) fn hold(
        &self,
        component: &'static Component,
        method: &Method,
        path: &str,
        answer: &TestAnswer,
    ) {
        let asked = asked::take();
        let path = canonical(path.split('?').next().unwrap_or_default());
        let Found::Route(route, _) = find(component.routes, method, &path) else {
            return;
        };
        if *method == Method::HEAD {
            return;
        }
        let document = self.document(route.access);
        let row = row(route);
        let template = row.template();
        let seen = Seen {
            method: row.method,
            template: &template,
            status: answer.status,
            headers: &answer.headers.0,
            body: &answer.body,
        };
        if let Err(reason) = document.check(&seen) {
            panic!("{}: {reason}", row.operation_id);
        }
        let told = told(document, &row);
        for name in asked.fields.keys() {
            assert!(
                told.fields.contains_key(name),
                "{} reads the field {name}, which its contract does not have",
                row.operation_id
            );
        }
        for name in &asked.query {
            assert!(
                told.query.contains(name),
                "{} reads the parameter {name}, which its contract does not have",
                row.operation_id
            );
        }
    }
}

/// Checks that a component's contract describes each of its routes, that each handler asks for the fields and
/// parameters of its description and no others, and that the committed documents say the same.
///
/// Handlers are asked once with an empty object by somebody who may: they read the whole request before anything else.
///
/// # Panics
/// When one of that is not so.
pub fn check_contract(component: &'static Component, contract: &Contract) {
    let rows = rows(component);
    let faults = contract.faults(&rows);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let held = Held::of(component, contract);
    for (route, row) in component.routes.iter().zip(&rows) {
        let document = held.document(route.access);
        let asked = probe(component, route, row, document);
        let told = told(document, row);
        if matches!(body_kind(document, row), BodyKind::Fields) {
            assert_eq!(
                asked.fields, told.fields,
                "{}: the fields that its handler reads, and those of its contract",
                row.operation_id
            );
        }
        assert_eq!(
            asked.query, told.query,
            "{}: the parameters that its handler reads, and those of its contract",
            row.operation_id
        );
    }
    let [public, internal] = &held.documents;
    compare(component.name, public.value(), "openapi", "");
    let pointer = format!("/{}", component.name);
    compare(
        component.name,
        internal.value(),
        "openapi-internal",
        &pointer,
    );
}

/// What a handler asks for.
fn probe(
    component: &'static Component,
    route: &crate::Route,
    row: &Route,
    document: &Document,
) -> Asked {
    let app = TestApp::new(component);
    let operation = &document.value()["paths"][row.template()][row.method.to_ascii_lowercase()];
    let mut path = route.path.to_owned();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        if parameter["in"] == "path" {
            let name = parameter["name"].as_str().unwrap_or_default();
            let schema = &parameter["schema"];
            let sample = match (schema["type"].as_str(), schema["format"].as_str()) {
                (Some("integer"), _) => "1",
                (_, Some("uuid")) => "01890a5d-ac96-774b-bcce-b302099a8057",
                _ => "sample",
            };
            path = path.replace(&format!(":{name}"), sample);
        }
    }
    let credential = match route.access {
        Access::Public | Access::Webhook => String::new(),
        Access::User | Access::Admin | Access::Agent => app.token(1, "probe", "admin"),
        Access::Runner => "test-runner-token".to_owned(),
        Access::System => "test-system-token".to_owned(),
    };
    let _ = asked::take();
    let mut request = app
        .request(route.method.clone(), &path)
        .header("x-hub-signature-256", "sha256=0");
    if !credential.is_empty() {
        request = request.bearer(&credential);
    }
    let _ = request.json(&json!({})).send();
    asked::take()
}

#[derive(PartialEq, Eq)]
enum BodyKind {
    Fields,
    Machine,
}

/// Of a machine's body the type itself is the schema; what reads it cannot differ.
fn body_kind(document: &Document, row: &Route) -> BodyKind {
    match document.body_schema(row.method, &row.template()) {
        Some(schema) if schema["additionalProperties"] != false => BodyKind::Machine,
        _ => BodyKind::Fields,
    }
}

/// What a contract says that a handler asks for.
fn told(document: &Document, row: &Route) -> Asked {
    let template = row.template();
    let mut fields = BTreeMap::new();
    if let Some(schema) = document.body_schema(row.method, &template) {
        let required: BTreeSet<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for name in schema["properties"].as_object().into_iter().flatten() {
            fields.insert(name.0.clone(), required.contains(name.0.as_str()));
        }
    }
    let operation = &document.value()["paths"][&template][row.method.to_ascii_lowercase()];
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let query = parameters
        .map(|parameter| document.resolve(parameter))
        .filter(|parameter| parameter["in"] == "query")
        .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
        .collect();
    Asked { fields, query }
}

/// Holds a component's part against what is committed at `pointer`, or writes it.
fn compare(component: &str, part: &Value, name: &str, pointer: &str) {
    if let Some(folder) = std::env::var_os(WRITE_TO) {
        let file = PathBuf::from(folder).join(format!("{name}.{component}.json"));
        std::fs::write(&file, part.to_string()).expect("the folder can be written to");
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/{name}.json"));
    let committed: Value = std::fs::read(&file)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let committed = committed.pointer(pointer).unwrap_or(&Value::Null);
    assert_contains(committed, part, &mut pointer.to_owned());
}

/// The committed document is the components' parts joined: it has all of each.
fn assert_contains(whole: &Value, part: &Value, pointer: &mut String) {
    if let (Value::Object(whole), Value::Object(part)) = (whole, part) {
        for (name, value) in part {
            let length = pointer.len();
            pointer.push('/');
            pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
            assert_contains(whole.get(name).unwrap_or(&Value::Null), value, pointer);
            pointer.truncate(length);
        }
    } else {
        assert_eq!(
            whole, part,
            "{pointer} of the committed document is not what the code says: run `cargo xtask openapi`"
        );
    }
}

fn rows(component: &Component) -> Vec<Route> {
    component.routes.iter().map(row).collect()
}

fn row(route: &'static crate::Route) -> Route {
    Route {
        method: route.method.as_str(),
        path: route.path,
        access: match route.access {
            Access::Public => nokube_contract::Access::Public,
            Access::User => nokube_contract::Access::User,
            Access::Admin => nokube_contract::Access::Admin,
            Access::Runner => nokube_contract::Access::Runner,
            Access::Agent => nokube_contract::Access::Agent,
            Access::Webhook => nokube_contract::Access::Webhook,
            Access::System => nokube_contract::Access::System,
        },
        is_scoped: matches!(route.access, Access::User | Access::Admin) && !route.any_scope,
        operation_id: route.operation_id(),
    }
}
