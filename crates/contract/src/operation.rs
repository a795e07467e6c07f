//! How a component describes its routes.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{Access, Kind, Route};

/// The schema of a wire type.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a component promises: one description for each of its routes, by operation id.
#[derive(Default)]
pub struct Contract {
    pub(crate) operations: BTreeMap<&'static str, Operation>,
}

/// What one route takes and gives, beside what its row in the table says.
pub struct Operation {
    pub(crate) summary: &'static str,
    pub(crate) description: Option<&'static str>,
    pub(crate) path: Vec<(&'static str, Kind)>,
    pub(crate) query: Vec<Query>,
    pub(crate) body: Option<Body>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) problems: Vec<&'static str>,
    pub(crate) if_match: bool,
    pub(crate) idempotent: bool,
    pub(crate) not_idempotent: Option<&'static str>,
    pub(crate) paged: bool,
    pub(crate) limited: bool,
}

pub(crate) struct Query {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    pub(crate) description: &'static str,
}

/// A request's body.
pub(crate) enum Body {
    /// Of a user: read field by field, unknown ones are refused.
    Fields(SchemaOf),
    /// Of a program: it may send more than we know.
    Machine(SchemaOf),
    /// Bytes of some type, which do not come through the component.
    Bytes(&'static str),
}

/// An answer that is no problem.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) description: &'static str,
    /// By media type; without a schema it is text.
    pub(crate) content: Vec<(&'static str, Option<SchemaOf>)>,
    pub(crate) etag: bool,
    pub(crate) location: bool,
}

impl Contract {
    /// A contract without routes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Describes the route whose handler has this name.
    ///
    /// # Panics
    /// When it was described before.
    #[must_use]
    pub fn route(mut self, operation_id: &'static str, operation: Operation) -> Self {
        let before = self.operations.insert(operation_id, operation);
        assert!(before.is_none(), "{operation_id} is described twice");
        self
    }

    /// The operation ids that are described.
    pub fn operation_ids(&self) -> impl Iterator<Item = &'static str> {
        self.operations.keys().copied()
    }

    /// Where a description leaves out what the API promises of every route of its kind.
    #[must_use]
    pub fn faults(&self, routes: &[Route]) -> Vec<String> {
        let mut faults = Vec::new();
        for route in routes {
            let Some(operation) = self.operations.get(route.operation_id) else {
                faults.push(format!("{} has no description", route.operation_id));
                continue;
            };
            let for_users = matches!(route.access, Access::User | Access::Admin);
            let changes_one = matches!(route.method, "PUT" | "PATCH" | "DELETE");
            if for_users && changes_one && !operation.if_match {
                faults.push(format!("{} honours no If-Match", route.operation_id));
            }
            let creates = route.method == "POST" && operation.creates();
            if for_users && creates && !operation.idempotent && operation.not_idempotent.is_none() {
                faults.push(format!(
                    "{} honours Idempotency-Key, or says why not",
                    route.operation_id
                ));
            }
            if operation.answers.is_empty() {
                faults.push(format!("{} answers nothing", route.operation_id));
            }
        }
        for id in self.operations.keys() {
            if routes.iter().all(|route| route.operation_id != *id) {
                faults.push(format!("{id} is described and has no route"));
            }
        }
        faults
    }

    /// With the routes of another one: a component may describe them in several files.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (id, operation) in other.operations {
            self = self.route(id, operation);
        }
        self
    }
}

impl Operation {
    /// What it does, in one line.
    #[must_use]
    pub fn new(summary: &'static str) -> Self {
        Self {
            summary,
            description: None,
            path: Vec::new(),
            query: Vec::new(),
            body: None,
            answers: Vec::new(),
            problems: Vec::new(),
            if_match: false,
            idempotent: false,
            not_idempotent: None,
            paged: false,
            limited: false,
        }
    }

    /// What else there is to know.
    #[must_use]
    pub fn description(mut self, text: &'static str) -> Self {
        self.description = Some(text);
        self
    }

    /// A parameter of the path.
    #[must_use]
    pub fn path(mut self, name: &'static str, kind: Kind) -> Self {
        self.path.push((name, kind));
        self
    }

    /// A query parameter that may be left out.
    #[must_use]
    pub fn query(mut self, name: &'static str, kind: Kind, description: &'static str) -> Self {
        self.query.push(Query {
            name,
            kind,
            required: false,
            description,
        });
        self
    }

    /// A query parameter that must be there.
    #[must_use]
    pub fn required_query(
        mut self,
        name: &'static str,
        kind: Kind,
        description: &'static str,
    ) -> Self {
        self.query.push(Query {
            name,
            kind,
            required: true,
            description,
        });
        self
    }

    /// A list that is read page by page, by `page` and `limit`.
    #[must_use]
    pub fn paged<T: JsonSchema>(mut self) -> Self {
        self.paged = true;
        self.answer::<nokube_api::page::Paged<T>>(200)
    }

    /// A list that only grows, read by `cursor`.
    #[must_use]
    pub fn cursor(self) -> Self {
        self.query(
            "cursor",
            Kind::Cursor,
            "The `cursor` of an earlier answer: what follows it.",
        )
    }

    /// A JSON object of a user, whose unknown fields are refused.
    #[must_use]
    pub fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(Body::Fields(|generator| generator.subschema_for::<T>()));
        self
    }

    /// A JSON object of a program, which may send more than we know.
    #[must_use]
    pub fn machine_body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(Body::Machine(|generator| generator.subschema_for::<T>()));
        self
    }

    /// Bytes of this type.
    #[must_use]
    pub fn bytes_body(mut self, media_type: &'static str) -> Self {
        self.body = Some(Body::Bytes(media_type));
        self
    }

    /// JSON.
    #[must_use]
    pub fn answer<T: JsonSchema>(mut self, status: u16) -> Self {
        self.answers.push(Answer {
            status,
            description: "",
            content: vec![(
                "application/json",
                Some(|generator| generator.subschema_for::<T>()),
            )],
            etag: false,
            location: false,
        });
        self
    }

    /// JSON of a single resource, with its `ETag`.
    #[must_use]
    pub fn resource<T: JsonSchema>(self, status: u16) -> Self {
        let mut operation = self.answer::<T>(status);
        if let Some(answer) = operation.answers.last_mut() {
            answer.etag = true;
        }
        operation
    }

    /// Text of this type, with its `ETag`.
    #[must_use]
    pub fn text(mut self, status: u16, media_type: &'static str) -> Self {
        self.answers.push(Answer {
            status,
            description: "",
            content: vec![(media_type, None)],
            etag: true,
            location: false,
        });
        self
    }

    /// No body.
    #[must_use]
    pub fn no_content(mut self) -> Self {
        self.answers.push(Answer {
            status: 204,
            description: "",
            content: Vec::new(),
            etag: false,
            location: false,
        });
        self
    }

    /// The last answer can have this type, too, by `Accept`. It is text.
    #[must_use]
    pub fn or_text(mut self, media_type: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.content.push((media_type, None));
        }
        self
    }

    /// The last answer says where the new thing is.
    #[must_use]
    pub fn location(mut self) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.location = true;
        }
        self
    }

    /// What the last answer means.
    #[must_use]
    pub fn meaning(mut self, text: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.description = text;
        }
        self
    }

    /// A problem that does not follow from the route, by its slug in `docs/PROBLEMS.md`.
    #[must_use]
    pub fn problem(mut self, slug: &'static str) -> Self {
        self.problems.push(slug);
        self
    }

    /// Roles matter: 403.
    #[must_use]
    pub fn needs_role(self) -> Self {
        self.problem("forbidden")
    }

    /// The request names something that may be missing or someone else's, without having it in its path: 404.
    #[must_use]
    pub fn names_something(self) -> Self {
        self.problem("not-found")
    }

    /// It holds `If-Match` against the present version.
    #[must_use]
    pub fn if_match(mut self) -> Self {
        self.if_match = true;
        self
    }

    /// It honours `Idempotency-Key`.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// It creates and takes no `Idempotency-Key`; why.
    #[must_use]
    pub fn without_idempotency_key(mut self, reason: &'static str) -> Self {
        self.not_idempotent = Some(reason);
        self
    }

    /// It takes credentials, and counts attempts: `RateLimit`, 429.
    #[must_use]
    pub fn limited(mut self) -> Self {
        self.limited = true;
        self
    }

    /// Whether something new is made: the answer is 201, or says where the new thing is.
    pub(crate) fn creates(&self) -> bool {
        self.answers
            .iter()
            .any(|answer| answer.status == 201 || answer.location)
    }
}
