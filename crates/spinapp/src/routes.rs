//! Which component answers a path.
//!
//! Routes are exact (`/a/b`), have parameters (`/users/:id`) or end in a wildcard (`/files/...`,
//! also written `/files/*`). The most specific route wins. Segments, precedence and their quirks are
//! those of the `routefinder` crate, which Spin uses: a property test compares the two.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Value, json};

/// Paths that Spin answers itself, so that a route there would never be used.
const RESERVED: &str = "/.well-known/spin/";

/// The route of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Paths of this pattern.
    Path(RoutePattern),
    /// None: only other components reach it, by service chaining.
    Private,
}

/// Why a route was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// `:` without a name.
    #[error("the route {0:?} has a parameter without a name")]
    UnnamedParameter(String),
    /// `*` with a name.
    #[error("the route {0:?} has a wildcard with a name: write `...` at its end")]
    NamedWildcard(String),
    /// `*` before the end.
    #[error("the route {0:?} has a wildcard that is not at its end")]
    InnerWildcard(String),
    /// Below `/.well-known/spin/`.
    #[error("the route {0:?} is under {RESERVED}, which is reserved")]
    Reserved(String),
    /// Neither a string nor `{"private": true}`.
    #[error("a route is a string or {{ private = true }}")]
    NotARoute,
}

impl RouteError {
    /// How to mend it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::UnnamedParameter(_) => "give it a name, such as `/users/:id`",
            Self::NamedWildcard(_) => "end the route with `/...`, which has no name",
            Self::InnerWildcard(_) => {
                "end the route with `/...`, and use parameters such as `:id` before its end"
            }
            Self::Reserved(_) => "choose another path: the host answers those itself",
            Self::NotARoute => "write a string such as \"/...\", or `{ private = true }`",
        }
    }
}

impl Route {
    /// Parses a route as written in a manifest. One without a leading `/` gets it, as in Spin.
    ///
    /// # Errors
    /// [`RouteError`].
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        RoutePattern::parse(text).map(Self::Path)
    }

    /// Reads the route of a locked application.
    ///
    /// # Errors
    /// [`RouteError`].
    pub fn from_json(value: &Value) -> Result<Self, RouteError> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Object(map)
                if map.len() == 1 && map.get("private") == Some(&Value::Bool(true)) =>
            {
                Ok(Self::Private)
            }
            _ => Err(RouteError::NotARoute),
        }
    }

    /// The route as a locked application writes it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Path(pattern) => Value::String(pattern.raw.clone()),
            Self::Private => json!({ "private": true }),
        }
    }
}

/// A parsed route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePattern {
    raw: String,
    matched: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Slash,
    Dot,
    Exact(String),
    Parameter(String),
    Wildcard,
}

impl RoutePattern {
    fn parse(raw: &str) -> Result<Self, RouteError> {
        let absolute = if raw.starts_with('/') {
            raw.to_owned()
        } else {
            format!("/{raw}")
        };
        // One slash at the end is dropped, as Spin does: the header of the route `/` is empty.
        let matched = absolute.strip_suffix('/').unwrap_or(&absolute).to_owned();
        if matched.starts_with(RESERVED) {
            return Err(RouteError::Reserved(raw.to_owned()));
        }
        let spec = match matched.strip_suffix("/...") {
            Some(prefix) => format!("{prefix}/*"),
            None => matched.clone(),
        };
        Ok(Self {
            raw: raw.to_owned(),
            segments: parse_segments(&spec, raw)?,
            matched,
        })
    }

    /// The route as written in the manifest (`spin-raw-component-route`).
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// The route with a leading and without a trailing slash (`spin-matched-route`); empty for `/`.
    #[must_use]
    pub fn matched(&self) -> &str {
        &self.matched
    }

    /// The route as written, without `/...` at its end (`spin-component-route`).
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.raw.strip_suffix("/...").unwrap_or(&self.raw)
    }

    fn dots(&self) -> usize {
        self.segments
            .iter()
            .filter(|segment| **segment == Segment::Dot)
            .count()
    }

    /// Whether this route, added after `other`, is tried before it: the more specific one is, then
    /// the one with more dots, then the shorter one, then the one that was added first.
    fn goes_before(&self, other: &Self) -> bool {
        self.segments
            .iter()
            .zip(&other.segments)
            .map(|(mine, theirs)| mine.specificity(theirs))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
            .then_with(|| self.dots().cmp(&other.dots()))
            .then_with(|| other.segments.len().cmp(&self.segments.len()))
            .is_gt()
    }

    /// Whether both match the same paths.
    fn is_same(&self, other: &Self) -> bool {
        self.segments.len() == other.segments.len()
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|pair| match pair {
                    (Segment::Parameter(_), Segment::Parameter(_)) => true,
                    (mine, theirs) => mine == theirs,
                })
    }

    /// What parameters and the wildcard captured, in order, when the path matches.
    fn captures<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        let mut rest = path.trim_matches('/');
        let mut captures = Vec::new();
        let mut segments = self.segments.iter().peekable();
        while let Some(segment) = segments.next() {
            let next = segments.peek();
            match segment {
                Segment::Exact(text) => rest = rest.strip_prefix(text.as_str())?,
                Segment::Dot => rest = rest.strip_prefix('.')?,
                Segment::Slash => match (rest.strip_prefix('/'), next) {
                    (Some(after), Some(_)) => rest = after,
                    // `/a/...` matches `/a` too.
                    (None, Some(Segment::Wildcard)) if rest.is_empty() => {}
                    _ => return None,
                },
                Segment::Parameter(_) => {
                    if rest.is_empty() {
                        return None;
                    }
                    let end = if matches!(next, Some(Segment::Dot)) {
                        let end = rest.find(['.', '/'])?;
                        if !rest[end..].starts_with('.') {
                            return None;
                        }
                        end
                    } else {
                        rest.find('/').unwrap_or(rest.len())
                    };
                    captures.push(&rest[..end]);
                    rest = &rest[end..];
                }
                Segment::Wildcard => {
                    captures.push(rest);
                    rest = "";
                }
            }
        }
        (rest.is_empty() || rest == "/").then_some(captures)
    }
}

impl Segment {
    /// How much more specific this segment of a new route is than one of a known route. It is not
    /// symmetric where a segment begins with a dot (`/.well-known/x` against `/...`): there the route
    /// added last wins, in Spin and so here.
    fn specificity(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Exact(_), Self::Exact(_))
            | (Self::Parameter(_), Self::Parameter(_))
            | (Self::Wildcard, Self::Wildcard)
            | (Self::Slash | Self::Dot, Self::Slash | Self::Dot) => Ordering::Equal,
            (Self::Slash, _)
            | (Self::Parameter(_), Self::Exact(_))
            | (Self::Wildcard, Self::Exact(_) | Self::Parameter(_)) => Ordering::Less,
            (Self::Dot | Self::Exact(_) | Self::Parameter(_) | Self::Wildcard, _) => {
                Ordering::Greater
            }
        }
    }
}

fn parse_segments(spec: &str, raw: &str) -> Result<Vec<Segment>, RouteError> {
    let spec = spec.trim_matches('/');
    let mut segments: Vec<Segment> = Vec::new();
    let mut before = None;
    let mut start = 0;
    let ends = spec
        .match_indices(['.', '/'])
        .map(|(at, _)| at)
        .chain([spec.len()]);
    for end in ends {
        let section = &spec[start..end];
        let segment = if section.is_empty() {
            None
        } else if section == "*" {
            Some(Segment::Wildcard)
        } else if section.starts_with('*') {
            return Err(RouteError::NamedWildcard(raw.to_owned()));
        } else if let Some(name) = section.strip_prefix(':') {
            if name.is_empty() {
                return Err(RouteError::UnnamedParameter(raw.to_owned()));
            }
            Some(Segment::Parameter(name.to_owned()))
        } else {
            Some(Segment::Exact(section.to_owned()))
        };
        if before == Some(b'.') {
            // A dot after plain text belongs to the text; only next to a parameter it separates.
            if let Some(Segment::Exact(text)) = segments.last_mut() {
                text.push('.');
            } else {
                segments.push(Segment::Dot);
            }
        }
        if let Some(segment) = segment {
            if before == Some(b'/') {
                segments.push(Segment::Slash);
            }
            segments.push(segment);
        }
        before = spec.as_bytes().get(end).copied();
        start = end + 1;
    }
    let wildcard = segments.iter().position(|s| *s == Segment::Wildcard);
    if wildcard.is_some_and(|at| at + 1 != segments.len()) {
        return Err(RouteError::InnerWildcard(raw.to_owned()));
    }
    Ok(segments)
}

/// The routes of an application.
#[derive(Debug, Clone, Default)]
pub struct Router {
    /// The first that matches is the best.
    entries: Vec<(RoutePattern, String)>,
}

/// A route that is there twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateRoute {
    /// The place, among what the router was made of, of the later one.
    pub index: usize,
    /// The route as written there.
    pub route: String,
}

/// The answer of [`Router::find`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteMatch<'r, 'p> {
    /// The component that answers.
    pub component: &'r str,
    /// The route that matched.
    pub route: &'r RoutePattern,
    /// Parameters by name (`spin-path-match-<name>`).
    pub parameters: Vec<(&'r str, &'p str)>,
    /// What the trailing wildcard matched, with its slash (`spin-path-info`); empty without one.
    pub trailing: Cow<'p, str>,
}

impl Router {
    /// A router of `(component, route)`, and what of it is there twice. Of two routes written alike
    /// the later is used, as in Spin; of two that differ in writing but match the same, the earlier.
    pub fn new(routes: impl IntoIterator<Item = (String, Route)>) -> (Self, Vec<DuplicateRoute>) {
        let mut entries: Vec<(RoutePattern, String)> = Vec::new();
        let mut duplicates = Vec::new();
        for (index, (component, route)) in routes.into_iter().enumerate() {
            let Route::Path(pattern) = route else {
                continue;
            };
            if entries.iter().any(|(known, _)| known.is_same(&pattern)) {
                duplicates.push(DuplicateRoute {
                    index,
                    route: pattern.raw.clone(),
                });
            }
            if let Some(twin) = entries.iter_mut().find(|(p, _)| p.raw == pattern.raw) {
                twin.1 = component;
                continue;
            }
            let at = entries
                .iter()
                .position(|(known, _)| pattern.goes_before(known))
                .unwrap_or(entries.len());
            entries.insert(at, (pattern, component));
        }
        (Self { entries }, duplicates)
    }

    /// The component that answers `path`, which is a URL's path without its query.
    #[must_use]
    pub fn find<'r, 'p>(&'r self, path: &'p str) -> Option<RouteMatch<'r, 'p>> {
        self.entries.iter().find_map(|(route, component)| {
            let captures = route.captures(path)?;
            let mut found = RouteMatch {
                component,
                route,
                parameters: Vec::new(),
                trailing: Cow::Borrowed(""),
            };
            let captors = route
                .segments
                .iter()
                .filter(|s| matches!(s, Segment::Parameter(_) | Segment::Wildcard));
            for (captor, capture) in captors.zip(captures) {
                if let Segment::Parameter(name) = captor {
                    found.parameters.push((name, capture));
                } else {
                    found.trailing = trailing(capture, path);
                }
            }
            Some(found)
        })
    }

    /// Routes and their components, the most specific first.
    pub fn iter(&self) -> impl Iterator<Item = (&RoutePattern, &str)> {
        self.entries.iter().map(|(r, c)| (r, c.as_str()))
    }
}

/// Spin's `spin-path-info`: slashes around the captured part are kept as they were.
fn trailing<'p>(capture: &'p str, path: &'p str) -> Cow<'p, str> {
    match (capture.is_empty(), path.ends_with('/')) {
        (true, false) => Cow::Borrowed(""),
        (true, true) => Cow::Borrowed("/"),
        (false, false) => Cow::Owned(format!("/{capture}")),
        (false, true) => Cow::Owned(format!("/{capture}/")),
    }
}

#[cfg(test)]
mod tests;
