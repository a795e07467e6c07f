//! Routes: what may be called, and by whom.

use http::Method;

use crate::host::LocalFuture;
use crate::{Ctx, Problem, Response};

/// Who may call a route. There is no default: a route without one does not compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Public,
    /// Anyone with a valid access token.
    User,
    /// Users who are administrators.
    Admin,
    /// Build runners: the runner token.
    Runner,
    /// Agents on servers: some bearer credential, which the handler checks against its database.
    Agent,
    /// Webhooks: a signature over the raw body, which the handler checks. Without one: 401.
    Webhook,
    /// Other parts of the platform: the system token.
    System,
}

/// One row of a component's table.
pub struct Route {
    /// The method; `HEAD` is answered wherever `GET` is.
    pub method: Method,
    /// The path in full, such as `/api/v1/projects/:id`. What starts with `/api/v1/` is answered under `/api/` too.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// For `user` routes: whether an access token may have any scopes. Everywhere else they must include
    /// what the component and the method ask for.
    pub any_scope: bool,
    /// The path of the handler in the code; its last segment is the operation id.
    pub operation: &'static str,
    /// The handler behind its guard.
    pub handler: fn(Ctx) -> LocalFuture<'static, Result<Response, Problem>>,
}

impl Route {
    /// The handler's name, which is the OpenAPI operation id.
    #[must_use]
    pub fn operation_id(&self) -> &'static str {
        self.operation
            .rsplit("::")
            .next()
            .unwrap_or(self.operation)
            .trim()
    }
}

/// A component: its name and its table.
pub struct Component {
    /// The capability, such as `projects`.
    pub name: &'static str,
    /// What it answers.
    pub routes: &'static [Route],
}

/// The table of a component, in groups by who may call:
///
/// ```ignore
/// static ROUTES: &[Route] = nokube_guest::routes! {
///     public {
///         GET "/api/v1/projects/health" => handlers::health::get_projects_health;
///     }
///     user {
///         GET "/api/v1/projects/:id" => handlers::projects::get_project;
///     }
/// };
/// ```
///
/// `any_scope` is `user` for tokens of whatever scopes: for what only tells a token about itself.
///
/// Handlers in `user`, `any_scope` and `admin` are `async fn(Ctx, Caller)`, all others `async fn(Ctx)`.
#[macro_export]
macro_rules! routes {
    ($($group:ident { $($method:ident $path:literal => $handler:path;)* })*) => {
        &[$($($crate::__route!($group $method $path $handler),)*)*]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __route {
    (user $method:ident $path:literal $handler:path) => {
        $crate::__route!(@called User false $method $path $handler)
    };
    (any_scope $method:ident $path:literal $handler:path) => {
        $crate::__route!(@called User true $method $path $handler)
    };
    (admin $method:ident $path:literal $handler:path) => {
        $crate::__route!(@called Admin false $method $path $handler)
    };
    (public $method:ident $path:literal $handler:path) => {
        $crate::__route!(@plain Public $method $path $handler)
    };
    (runner $method:ident $path:literal $handler:path) => {
        $crate::__route!(@plain Runner $method $path $handler)
    };
    (agent $method:ident $path:literal $handler:path) => {
        $crate::__route!(@plain Agent $method $path $handler)
    };
    (webhook $method:ident $path:literal $handler:path) => {
        $crate::__route!(@plain Webhook $method $path $handler)
    };
    (system $method:ident $path:literal $handler:path) => {
        $crate::__route!(@plain System $method $path $handler)
    };
    (@called $access:ident $any_scope:literal $method:ident $path:literal $handler:path) => {
        $crate::Route {
            method: $crate::Method::$method,
            path: $path,
            access: $crate::Access::$access,
            any_scope: $any_scope,
            operation: stringify!($handler),
            handler: |cx| ::std::boxed::Box::pin(async move {
                let caller = cx.authenticated()?;
                $handler(cx, caller).await.map_err($crate::Problem::from)
            }),
        }
    };
    (@plain $access:ident $method:ident $path:literal $handler:path) => {
        $crate::Route {
            method: $crate::Method::$method,
            path: $path,
            access: $crate::Access::$access,
            any_scope: false,
            operation: stringify!($handler),
            handler: |cx| ::std::boxed::Box::pin(async move {
                $handler(cx).await.map_err($crate::Problem::from)
            }),
        }
    };
}

/// The values of a pattern's parameters, if the path fits it.
pub(crate) fn match_path(pattern: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut parameters = Vec::new();
    let mut wanted = pattern.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return Some(parameters),
            (Some(wanted), Some(given)) => match wanted.strip_prefix(':') {
                Some(name) => {
                    let value = percent_decode(given).filter(|value| !value.is_empty())?;
                    parameters.push((name, value));
                }
                None if wanted == given => {}
                None => return None,
            },
            _ => return None,
        }
    }
}

/// A path segment in the clear, or nothing when its escapes or the bytes they stand for are not valid.
fn percent_decode(segment: &str) -> Option<String> {
    if !segment.contains('%') {
        return Some(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_its_parameters_from_the_path() {
        assert_eq!(
            match_path("/a/:id/b", "/a/x%20y/b"),
            Some(vec![("id", "x y".to_owned())])
        );
        for path in [
            "/a//b", "/a/x", "/a/x/b/", "/a/x/c", "/a/%zz/b", "/a/%ff/b", "/a/%2/b",
        ] {
            assert_eq!(match_path("/a/:id/b", path), None, "{path}");
        }
    }
}
