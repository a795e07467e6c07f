//! What a handler knows about the request it answers.

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

use http::Method;
use nokube_domain::{Capability, Reach, Scope, Timestamp, UserRole};
use sha2::{Digest as _, Sha256};

use crate::bearer::{bearer, same_secret};
use crate::db::{Db, DbError};
use crate::host::{BodyReader, Headers, Host, InboundRequest};
use crate::{
    Access, Caller, DEFAULT_BODY_BYTES, Error, Fields, Response, Route, asked, body, etag, token,
};

/// A request in the hands of its handler.
pub struct Ctx {
    pub(crate) host: Rc<dyn Host>,
    pub(crate) service: &'static str,
    pub(crate) method: Method,
    pub(crate) operation: &'static str,
    path: String,
    query: String,
    headers: Headers,
    parameters: Vec<(&'static str, String)>,
    body: Option<Box<dyn BodyReader>>,
    body_hash: Option<[u8; 32]>,
    caller: Option<Caller>,
    client_address: Option<IpAddr>,
    request_id: String,
    now: Timestamp,
}

impl Ctx {
    pub(crate) fn new(
        host: Rc<dyn Host>,
        service: &'static str,
        request: InboundRequest,
        request_id: String,
        client_address: Option<IpAddr>,
    ) -> Self {
        let (path, query) = request
            .path_and_query
            .split_once('?')
            .unwrap_or((&request.path_and_query, ""));
        Self {
            service,
            method: request.method,
            operation: "",
            path: path.to_owned(),
            query: query.to_owned(),
            headers: request.headers,
            parameters: Vec::new(),
            body: Some(request.body),
            body_hash: None,
            caller: None,
            client_address,
            request_id,
            now: host.now(),
            host,
        }
    }

    pub(crate) fn enter(
        &mut self,
        operation: &'static str,
        parameters: Vec<(&'static str, String)>,
    ) {
        self.operation = operation;
        self.parameters = parameters;
    }

    /// Lets the request through, or says why not. The only place where access is decided.
    pub(crate) fn guard(&mut self, route: &Route) -> Result<(), Error> {
        let access = route.access;
        match access {
            Access::Public => Ok(()),
            Access::User | Access::Admin => {
                let caller = self.verify_caller(route)?;
                if access == Access::Admin && caller.role != UserRole::Admin {
                    return Err(Error::Forbidden("This needs an administrator."));
                }
                self.caller = Some(caller);
                Ok(())
            }
            Access::Runner => self.guard_by_secret("runner_token"),
            Access::System => self.guard_by_secret("system_token"),
            Access::Agent => match bearer(&self.headers) {
                Some(_) => Ok(()),
                None => Err(Error::Unauthenticated { given: false }),
            },
            Access::Webhook => match self.headers.get("x-hub-signature-256") {
                Some(_) => Ok(()),
                None => Err(Error::Unauthenticated { given: false }),
            },
        }
    }

    fn verify_caller(&self, route: &Route) -> Result<Caller, Error> {
        let given = bearer(&self.headers).ok_or(Error::Unauthenticated { given: false })?;
        let keys = self.required_variable("jwt_public_keys")?;
        let mut caller = token::verify(given, &keys, self.now)?;
        if let Some(scopes) = &caller.scopes {
            let needed = self.scope_needed(route.access);
            if !route.any_scope && !scopes.include(needed) {
                return Err(Error::ScopeMissing(needed));
            }
            if !scopes.include(Scope::Admin) {
                caller.role = UserRole::User;
            }
        }
        Ok(caller)
    }

    /// What a scoped token needs follows from whose route it is and whether it changes anything, so that
    /// a new route needs something, too.
    fn scope_needed(&self, access: Access) -> Scope {
        let reach = if self.method.is_safe() {
            Reach::Read
        } else {
            Reach::Write
        };
        match Capability::of_component(self.service) {
            Some(capability) if access != Access::Admin => Scope::Of(capability, reach),
            _ => Scope::Admin,
        }
    }

    fn guard_by_secret(&self, variable: &'static str) -> Result<(), Error> {
        let expected = self.required_variable(variable)?;
        match bearer(&self.headers) {
            Some(given) if same_secret(given, &expected) => Ok(()),
            given => Err(Error::Unauthenticated {
                given: given.is_some(),
            }),
        }
    }

    /// The caller of a route in `user` or `admin`.
    ///
    /// # Errors
    /// On other routes there is none.
    pub fn authenticated(&self) -> Result<Caller, Error> {
        self.caller
            .clone()
            .ok_or(Error::Unauthenticated { given: false })
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &Rc<dyn Host> {
        &self.host
    }

    /// When the request arrived. One request has one time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Fresh random bytes.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.host.fill_random(&mut bytes);
        bytes
    }

    /// The id of this request, the client's own if it sent a usable one.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The address of the client, where the host tells it.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client_address
    }

    /// The path as it was asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The request's headers.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The bearer credential as it was sent; for `agent` routes, whose handlers check it.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        bearer(&self.headers)
    }

    /// A parameter of the path, read by `parse`.
    ///
    /// # Errors
    /// [`Error::NotFound`]: nothing is at an address that can't be one.
    pub fn parameter<T, E>(
        &self,
        name: &str,
        what: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Error> {
        self.parameters
            .iter()
            .find(|(known, _)| *known == name)
            .and_then(|(_, value)| parse(value).ok())
            .ok_or(Error::NotFound(what))
    }

    /// The first query parameter of this name, decoded; empty ones count as missing.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        asked::query(name);
        self.query_pairs()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty())
    }

    /// A query parameter, read by `parse`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is given and `parse` refuses it.
    pub fn query_as<T, E: std::fmt::Display>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Error> {
        self.query(name)
            .map(|value| {
                parse(&value).map_err(|reason| Error::invalid_query(name, reason.to_string()))
            })
            .transpose()
    }

    /// Whether a flag such as `?all=true` is set; `?all` alone sets it, too.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is something else than true or false.
    pub fn flag(&self, name: &str) -> Result<bool, Error> {
        asked::query(name);
        let given = self.query_pairs().find(|(known, _)| known == name);
        match given.as_ref().map(|(_, value)| value.as_str()) {
            Some("" | "true" | "1") => Ok(true),
            None | Some("false" | "0") => Ok(false),
            Some(_) => Err(Error::invalid_query(name, "must be true or false")),
        }
    }

    pub(crate) fn query_pairs(&self) -> impl Iterator<Item = (String, String)> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
    }

    /// The page that was asked for.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault of `page` and `limit`.
    pub fn paging(&self) -> Result<crate::Paging, Error> {
        crate::Paging::from_query(
            self.query("page").as_deref(),
            self.query("limit").as_deref(),
        )
    }

    /// How many entries of a list without pages were asked for.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn limit(&self) -> Result<u64, Error> {
        crate::Paging::from_query(None, self.query("limit").as_deref()).map(crate::Paging::limit)
    }

    /// A variable of the component, if it is set.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        self.host.variable(name)
    }

    /// A variable of the component that must be set.
    ///
    /// # Errors
    /// [`Error::Configuration`].
    pub fn required_variable(&self, name: &'static str) -> Result<String, Error> {
        self.host.variable(name).ok_or(Error::Configuration(name))
    }

    /// A variable that is a whole number, or `default`.
    ///
    /// # Errors
    /// [`Error::Configuration`] when it is set to something else.
    pub fn number_variable(&self, name: &'static str, default: u64) -> Result<u64, Error> {
        match self.host.variable(name) {
            None => Ok(default),
            Some(text) => text.trim().parse().map_err(|_| Error::Configuration(name)),
        }
    }

    /// Opens a database that the component was granted.
    ///
    /// # Errors
    /// [`DbError::Unavailable`].
    pub fn database(&self, label: &str) -> Result<Db, DbError> {
        Db::open(self.host.as_ref(), label)
    }

    /// The whole body, up to `limit` bytes. Works once.
    ///
    /// # Errors
    /// [`Error::Body`].
    pub async fn body(&mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let reader = self
            .body
            .take()
            .ok_or(Error::Contradiction("the body was read twice"))?;
        let bytes = body::read(&self.headers, reader, limit).await?;
        self.body_hash = Some(Sha256::digest(&bytes).into());
        Ok(bytes)
    }

    /// The fields of the JSON object in the body. Works once.
    ///
    /// # Errors
    /// 400, 413, 415 and 422, as the body deserves.
    pub async fn fields(&mut self) -> Result<Fields, Error> {
        let bytes = self.body(DEFAULT_BODY_BYTES).await?;
        body::json_object(&self.headers, &bytes)
    }

    /// The JSON of a program (a runner, an agent, another part), which may send more than we know. Works once.
    ///
    /// # Errors
    /// 400, 413, 415 and 422, as the body deserves.
    pub async fn machine_body<T: serde::de::DeserializeOwned>(
        &mut self,
        limit: usize,
    ) -> Result<T, Error> {
        let bytes = self.body(limit).await?;
        body::json_of_machine(&self.headers, &bytes)
    }

    /// SHA-256 of the body, once it was read; of nothing before.
    pub(crate) fn body_hash(&self) -> [u8; 32] {
        self.body_hash.unwrap_or_else(|| Sha256::digest([]).into())
    }

    /// A single resource with its `ETag`, or 304 when the client has this version.
    #[must_use]
    pub fn resource(&self, status: u16, value: &impl serde::Serialize) -> Response {
        self.versioned(etag::etag_of(value), || Response::json(status, value))
    }

    /// A resource that is shown with times of its use: a new one is another version to read, while `If-Match` goes by what
    /// `lasts`, which is what [`Ctx::check_if_match`] is given.
    #[must_use]
    pub fn resource_in_use(
        &self,
        value: &impl serde::Serialize,
        lasts: &impl serde::Serialize,
    ) -> Response {
        self.versioned(etag::etag_in_use(value, lasts), || {
            Response::json(200, value)
        })
    }

    /// Bytes of some type with their `ETag`, or 304 when the client has this version.
    #[must_use]
    pub fn document(
        &self,
        content_type: &'static str,
        bytes: impl Into<Cow<'static, [u8]>>,
    ) -> Response {
        let bytes = bytes.into();
        let etag = etag::etag_of_bytes(&bytes);
        self.versioned(etag, || {
            Response::bytes(200, content_type, bytes.into_owned())
        })
    }

    fn versioned(&self, etag: String, whole: impl FnOnce() -> Response) -> Response {
        let is_read = self.method == Method::GET || self.method == Method::HEAD;
        let unchanged = is_read
            && self
                .headers
                .all("if-none-match")
                .any(|list| etag::names(list, &etag, true));
        let response = if unchanged {
            Response::empty(304)
        } else {
            whole()
        };
        response.header("etag", etag)
    }

    /// Holds `If-Match` against the present version. Call it inside the transaction that changes it.
    ///
    /// # Errors
    /// [`Error::StaleVersion`].
    pub fn check_if_match(&self, current: &impl serde::Serialize) -> Result<(), Error> {
        let mut lists = self.headers.all("if-match").peekable();
        if lists.peek().is_none() {
            return Ok(());
        }
        let etag = etag::etag_of(current);
        if lists.any(|list| etag::names(list, &etag, false) || etag::names_what_lasts(list, &etag))
        {
            Ok(())
        } else {
            Err(Error::StaleVersion)
        }
    }

    /// The time now, which moves on while [`Ctx::now`] stays that of the request's arrival.
    #[must_use]
    pub fn clock(&self) -> Timestamp {
        self.host.now()
    }

    /// Waits.
    pub async fn sleep(&self, millis: u64) {
        self.host.sleep(millis).await;
    }

    /// Writes one line to the log, with the request id.
    pub fn log(&self, level: &str, message: &str) {
        let line = serde_json::json!({
            "time": self.now.to_string(),
            "level": level,
            "service": self.service,
            "operation": self.operation,
            "request_id": self.request_id,
            "message": message,
        });
        self.host.log(&line.to_string());
    }
}
