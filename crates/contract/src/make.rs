//! From routes and their descriptions to OpenAPI 3.1.

use std::collections::{BTreeMap, BTreeSet};

use nokube_api::problem::ProblemDetails;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::operation::{Answer, Body, Operation};
use crate::{Access, Contract, Document, Route, fixed, implied, problems};

/// For whom a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everybody: all routes but the platform's own. It is served.
    Public,
    /// The platform's own parts.
    Internal,
}

impl Document {
    /// The part of one component.
    ///
    /// # Panics
    /// When a route has no description, or one that contradicts itself.
    #[must_use]
    pub fn of(component: &str, routes: &[Route], contract: &Contract, audience: Audience) -> Self {
        let mut parts = Parts::new();
        let internal = audience == Audience::Internal;
        for route in routes
            .iter()
            .filter(|route| (route.access == Access::System) == internal)
        {
            let operation = contract
                .operations
                .get(route.operation_id)
                .unwrap_or_else(|| panic!("{} has no description", route.operation_id));
            parts.add(component, route, operation);
        }
        Self::new(parts.finish())
    }
}

/// A document on its way.
struct Parts {
    /// What requests are made of: what may be left out is not required.
    requests: SchemaGenerator,
    /// What answers are made of: what is always there is required.
    answers: SchemaGenerator,
    paths: BTreeMap<String, Map<String, Value>>,
    responses: Map<String, Value>,
    security: Map<String, Value>,
}

impl Parts {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        let mut answers = settings().for_serialize().into_generator();
        answers.subschema_for::<ProblemDetails>();
        Self {
            requests: settings().for_deserialize().into_generator(),
            answers,
            paths: BTreeMap::new(),
            responses: Map::new(),
            security: Map::new(),
        }
    }

    fn add(&mut self, component: &str, route: &Route, operation: &Operation) {
        let parameters = parameters(route, operation);
        let mut described = json!({
            "operationId": route.operation_id,
            "tags": [component],
            "summary": operation.summary,
            "parameters": parameters,
            "security": [],
            "responses": self.responses(route, operation),
        });
        if let Some(description) = operation.description {
            described["description"] = description.into();
        }
        if let Some((name, scheme)) = fixed::security(route.access) {
            described["security"] = json!([{ name: [] }]);
            self.security.insert(name.to_owned(), scheme);
        }
        if let Some(body) = &operation.body {
            described["requestBody"] = self.body(body);
        }
        let path = self.paths.entry(route.template()).or_default();
        path.insert(route.method.to_ascii_lowercase(), described);
    }

    fn body(&mut self, body: &Body) -> Value {
        match body {
            Body::Fields(schema) | Body::Machine(schema) => {
                let schema = schema(&mut self.requests).to_value();
                json!({ "required": true, "content": { "application/json": { "schema": schema } } })
            }
            // Not required: it is sent to where the answer says.
            Body::Bytes(media_type) => {
                json!({ "content": { *media_type: {}, "application/octet-stream": {} } })
            }
        }
    }

    fn responses(&mut self, route: &Route, operation: &Operation) -> Value {
        let mut responses = Map::new();
        for answer in &operation.answers {
            let described = self.answer(operation, answer);
            responses.insert(answer.status.to_string(), described);
            if answer.etag && route.method == "GET" {
                responses.insert("304".to_owned(), unchanged());
            }
        }
        let problems = implied::problems_of(route, operation);
        for (status, slugs) in problems {
            let reference = self.shared(Some(status), &slugs);
            responses.insert(status.to_string(), reference);
        }
        let reference = self.shared(None, &implied::server_problems());
        responses.insert("5XX".to_owned(), reference);
        Value::Object(responses)
    }

    /// A response that operations share, kept once.
    fn shared(&mut self, status: Option<u16>, slugs: &BTreeSet<&'static str>) -> Value {
        let (name, response) = fixed::problem_response(status, slugs);
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        self.responses.insert(name, response);
        reference
    }

    fn answer(&mut self, operation: &Operation, answer: &Answer) -> Value {
        let mut headers = Map::new();
        let mut header = |name: &str, shared: &str| {
            headers.insert(name.to_owned(), fixed::header(shared));
        };
        header("X-Request-Id", "RequestId");
        header("Cache-Control", "CacheControl");
        if answer.etag {
            header("ETag", "ETag");
        }
        if answer.location {
            header("Location", "Location");
        }
        if operation.paged {
            header("Link", "Link");
        }
        if operation.limited {
            header("RateLimit", "RateLimit");
            header("RateLimit-Policy", "RateLimitPolicy");
        }
        if operation.idempotent {
            header("Idempotency-Replayed", "IdempotencyReplayed");
        }
        let mut content = Map::new();
        for (media_type, schema) in &answer.content {
            let schema = match schema {
                Some(schema) => schema(&mut self.answers).to_value(),
                None => json!({ "type": "string" }),
            };
            content.insert((*media_type).to_owned(), json!({ "schema": schema }));
        }
        if answer.status >= 500 {
            // What stands before the component answers a problem, as everywhere.
            let problem = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
            content.insert("application/problem+json".to_owned(), problem);
        }
        let description = match (answer.description, answer.status) {
            ("", 201) => "Created.",
            ("", 202) => "Accepted; it is on its way.",
            ("", 204) => "Done.",
            ("", _) => "Here it is.",
            (given, _) => given,
        };
        let mut response = json!({ "description": description, "headers": headers });
        if !content.is_empty() {
            response["content"] = Value::Object(content);
        }
        response
    }

    fn finish(mut self) -> Value {
        let mut schemas = self.answers.take_definitions(true);
        for (name, schema) in self.requests.take_definitions(true) {
            if let Some(known) = schemas.get(&name) {
                assert_eq!(
                    known, &schema,
                    "{name} is one thing in requests and another in answers"
                );
            }
            schemas.insert(name, schema);
        }
        schemas.insert("ProblemType".to_owned(), problems::schema());
        schemas["Problem"]["properties"]["type"] =
            json!({ "$ref": "#/components/schemas/ProblemType" });
        let mut document = fixed::frame();
        document["paths"] = self
            .paths
            .into_iter()
            .map(|(path, methods)| (path, Value::Object(methods)))
            .collect();
        document["components"]["schemas"] = Value::Object(schemas);
        document["components"]["responses"] = Value::Object(self.responses);
        document["components"]["securitySchemes"] = Value::Object(self.security);
        tidy(&mut document);
        document
    }
}

fn unchanged() -> Value {
    json!({
        "description": "It is still the version that `If-None-Match` names.",
        "headers": { "X-Request-Id": fixed::header("RequestId"), "ETag": fixed::header("ETag") },
    })
}

fn parameters(route: &Route, operation: &Operation) -> Vec<Value> {
    let mut parameters = Vec::new();
    let names: Vec<_> = route.parameters().collect();
    for (name, _) in &operation.path {
        assert!(
            names.contains(name),
            "{}: the path has no {name}",
            route.operation_id
        );
    }
    for name in names {
        let kind = operation.path.iter().find(|(known, _)| *known == name);
        let Some((_, kind)) = kind else {
            panic!("{}: say what {name} of its path is", route.operation_id)
        };
        parameters.push(json!({
            "name": name, "in": "path", "required": true, "schema": kind.schema(),
        }));
    }
    for query in &operation.query {
        parameters.push(json!({
            "name": query.name, "in": "query", "required": query.required,
            // As forms send what was not filled in: it counts as left out.
            "allowEmptyValue": !query.required,
            "description": query.description, "schema": query.kind.schema(),
        }));
    }
    let has_etag = operation.answers.iter().any(|answer| answer.etag);
    for (applies, name) in [
        (operation.paged, "Page"),
        (operation.paged, "Limit"),
        (operation.if_match, "IfMatch"),
        (has_etag && route.method == "GET", "IfNoneMatch"),
        (operation.idempotent, "IdempotencyKey"),
    ] {
        if applies {
            parameters.push(fixed::parameter(name));
        }
    }
    parameters
}

/// Rust's links in descriptions mean nothing outside.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.replace("[`", "`").replace("`]", "`");
            }
            fields.values_mut().for_each(tidy);
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        _ => {}
    }
}
