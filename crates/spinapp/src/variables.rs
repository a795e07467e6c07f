//! Variables: templates and where values come from.
//!
//! A component's variable is a template such as `https://{{ host }}/`; the application's variables
//! get their values from providers in turn, then from their default. No value is ever shown by
//! `Debug`: any may be a secret.

use std::collections::BTreeMap;
use std::fmt;

use crate::locked::{LockedComponent, LockedVariable};

/// A text with `{{ name }}` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

/// Why a template could not be parsed or filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `{{` without `}}`.
    #[error("`{{{{` has no matching `}}}}`")]
    Unmatched,
    /// A variable has no value.
    #[error("the variable `{0}` has no value")]
    NoValue(String),
}

impl TemplateError {
    /// How to mend it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Unmatched => "write `{{ name }}`, with both braces on both sides",
            Self::NoValue(_) => "give it a value, or a `default` in `[variables]`",
        }
    }
}

impl Template {
    /// Parses a text. Everything outside `{{ … }}` stands for itself; a lone `}}` too.
    ///
    /// # Errors
    /// [`TemplateError::Unmatched`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (name, after) = after.split_once("}}").ok_or(TemplateError::Unmatched)?;
            parts.push(Part::Variable(name.trim().to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Whether no variable is in it.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.variables().next().is_none()
    }

    /// The variables in it, in order, once for each use.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Fills in values.
    ///
    /// # Errors
    /// [`TemplateError::NoValue`] with the first variable that `value` has none for.
    pub fn render<V: AsRef<str>>(
        &self,
        value: impl Fn(&str) -> Option<V>,
    ) -> Result<String, TemplateError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Variable(name) => match value(name) {
                    Some(value) => text.push_str(value.as_ref()),
                    None => return Err(TemplateError::NoValue(name.clone())),
                },
            }
        }
        Ok(text)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(text)?,
                Part::Variable(name) => write!(f, "{{{{ {name} }}}}")?,
            }
        }
        Ok(())
    }
}

/// Something that may know values of the application's variables.
pub trait Provider: Send + Sync {
    /// The value of a variable, if this provider has one. Asked once per variable, at start.
    fn get(&self, name: &str) -> Option<String>;
}

/// Values that are given: `--variable`, a deployment's settings, `type = "static"`.
#[derive(Clone, Default)]
pub struct StaticProvider {
    values: BTreeMap<String, String>,
}

impl StaticProvider {
    /// A provider of these values.
    #[must_use]
    pub fn new(values: BTreeMap<String, String>) -> Self {
        Self { values }
    }
}

impl Provider for StaticProvider {
    fn get(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }
}

impl fmt::Debug for StaticProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_names(f, "StaticProvider", self.values.keys())
    }
}

/// Values from environment variables, `SPIN_VARIABLE_<NAME>` by default, then from a dotenv file.
#[derive(Clone, Default)]
pub struct EnvProvider {
    values: BTreeMap<String, String>,
}

impl EnvProvider {
    /// Spin's prefix when the configuration names none.
    pub const DEFAULT_PREFIX: &'static str = "SPIN_VARIABLE";

    /// A provider of the variables in `environment` (such as `std::env::vars()`), else in `dotenv`
    /// (see [`parse_dotenv`]), whose names begin with `prefix` and `_`.
    #[must_use]
    pub fn new(
        prefix: Option<&str>,
        environment: impl IntoIterator<Item = (String, String)>,
        dotenv: BTreeMap<String, String>,
    ) -> Self {
        let prefix = format!("{}_", prefix.unwrap_or(Self::DEFAULT_PREFIX));
        let values = dotenv
            .into_iter()
            .chain(environment)
            .filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), value)))
            .collect();
        Self { values }
    }
}

impl Provider for EnvProvider {
    fn get(&self, name: &str) -> Option<String> {
        self.values.get(&name.to_ascii_uppercase()).cloned()
    }
}

impl fmt::Debug for EnvProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_names(f, "EnvProvider", self.values.keys())
    }
}

/// Parses lines `NAME=value` (`export` in front, quotes around, `#` comments); other lines are
/// passed over.
#[must_use]
pub fn parse_dotenv(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line);
            let (name, value) = line.split_once('=')?;
            let name = name.trim();
            if name.is_empty() || name.starts_with('#') {
                return None;
            }
            Some((name.to_owned(), unquote(value.trim())))
        })
        .collect()
}

fn unquote(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')) {
        return inner.to_owned();
    }
    if let Some(inner) = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
        return inner
            .replace("\\n", "\n")
            .replace("\\\"", "\"")
            .replace("\\\\", "\\");
    }
    // A comment begins at a `#` that stands after a space.
    value
        .split_once(" #")
        .map_or(value, |(value, _)| value.trim_end())
        .to_owned()
}

/// Why an application can't have its variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Required variables that no provider has.
    #[error("no value for the required variable(s) {}", .0.join(", "))]
    Unresolved(Vec<String>),
    /// A template of a component.
    #[error("the variable `{name}` of component `{component}` can't be made")]
    Component {
        /// The component.
        component: String,
        /// Its variable.
        name: String,
        /// Why.
        source: TemplateError,
    },
}

/// The values of an application's variables.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    values: BTreeMap<String, String>,
}

impl Resolved {
    /// Asks the providers in turn for each declared variable, then takes its default.
    ///
    /// # Errors
    /// [`ResolveError::Unresolved`] with every required variable that has no value.
    pub fn new(
        variables: &BTreeMap<String, LockedVariable>,
        providers: &[&dyn Provider],
    ) -> Result<Self, ResolveError> {
        let mut values = BTreeMap::new();
        let mut missing = Vec::new();
        for (name, variable) in variables {
            let value = providers
                .iter()
                .find_map(|provider| provider.get(name))
                .or_else(|| variable.default.clone());
            match value {
                Some(value) => {
                    values.insert(name.clone(), value);
                }
                None => missing.push(name.clone()),
            }
        }
        if missing.is_empty() {
            Ok(Self { values })
        } else {
            Err(ResolveError::Unresolved(missing))
        }
    }

    /// The value of one of the application's variables.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Fills in a template.
    ///
    /// # Errors
    /// [`TemplateError`] when the text is no template or names a variable that isn't declared.
    pub fn render(&self, template: &str) -> Result<String, TemplateError> {
        Template::parse(template)?.render(|name| self.get(name))
    }

    /// The variables of a component: what it sees through `spin:variables`.
    ///
    /// # Errors
    /// [`ResolveError::Component`].
    pub fn component(
        &self,
        component: &LockedComponent,
    ) -> Result<BTreeMap<String, String>, ResolveError> {
        component
            .config
            .iter()
            .map(|(name, template)| match self.render(template) {
                Ok(value) => Ok((name.clone(), value)),
                Err(source) => Err(ResolveError::Component {
                    component: component.id.clone(),
                    name: name.clone(),
                    source,
                }),
            })
            .collect()
    }
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_names(f, "Resolved", self.values.keys())
    }
}

fn fmt_names<'a>(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    names: impl Iterator<Item = &'a String>,
) -> fmt::Result {
    let names: Vec<_> = names.collect();
    f.debug_tuple(kind).field(&names).finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variable(default: Option<&str>) -> LockedVariable {
        LockedVariable {
            default: default.map(str::to_owned),
            ..LockedVariable::default()
        }
    }

    #[test]
    fn providers_come_in_turn_and_the_default_last() {
        let variables = BTreeMap::from([
            ("a".to_owned(), variable(Some("default"))),
            ("b".to_owned(), variable(Some("default"))),
            ("c".to_owned(), variable(Some("default"))),
        ]);
        let first = StaticProvider::new(BTreeMap::from([("a".to_owned(), "first".to_owned())]));
        let environment = [("SPIN_VARIABLE_A", "env"), ("SPIN_VARIABLE_B", "env")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let second = EnvProvider::new(None, environment, BTreeMap::new());
        let resolved = Resolved::new(&variables, &[&first, &second]).unwrap();
        assert_eq!(
            resolved.render("{{a}} {{ b }} {{c}}").unwrap(),
            "first env default"
        );
    }

    #[test]
    fn every_required_variable_without_a_value_is_named() {
        let variables = BTreeMap::from([
            ("a".to_owned(), variable(None)),
            ("b".to_owned(), variable(Some(""))),
            ("c".to_owned(), variable(None)),
        ]);
        assert_eq!(
            Resolved::new(&variables, &[]),
            Err(ResolveError::Unresolved(vec!["a".into(), "c".into()]))
        );
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let values = BTreeMap::from([("api_key".to_owned(), "hunter2".to_owned())]);
        let provider = StaticProvider::new(values.clone());
        let shown = format!("{provider:?} {:?}", Resolved { values });
        assert!(
            shown.contains("api_key") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn an_unmatched_brace_is_refused() {
        assert_eq!(Template::parse("a {{ b"), Err(TemplateError::Unmatched));
        assert!(Template::parse("a }} b").unwrap().is_literal());
    }

    #[test]
    fn dotenv_lines_may_be_quoted_exported_and_commented() {
        let values = parse_dotenv("# c\nA=1 # one\nexport B='x # y'\nC=\"q\\\"\"\nbad\n");
        assert_eq!(values["A"], "1");
        assert_eq!(values["B"], "x # y");
        assert_eq!(values["C"], "q\"");
        assert_eq!(values.len(), 3);
    }

    #[test]
    fn the_environment_goes_before_the_dotenv_file() {
        let dotenv = parse_dotenv("P_A=file\nP_B=file");
        let provider = EnvProvider::new(Some("P"), [("P_A".into(), "env".into())], dotenv);
        assert_eq!(provider.get("a").as_deref(), Some("env"));
        assert_eq!(provider.get("b").as_deref(), Some("file"));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused_and_literals_stay_as_they_are(text in ".{0,60}") {
            if let Ok(template) = Template::parse(&text)
                && template.is_literal()
            {
                prop_assert_eq!(template.render(|_| None::<String>).unwrap(), text);
            }
        }

        #[test]
        fn rendering_puts_each_value_in_its_place(
            parts in proptest::collection::vec(("[^{}]{0,5}", "[a-z]{1,4}"), 0..6),
            tail in "[^{}]{0,5}",
        ) {
            let mut text = String::new();
            let mut wanted = String::new();
            for (literal, name) in &parts {
                text.push_str(&format!("{literal}{{{{ {name} }}}}"));
                wanted.push_str(&format!("{literal}<{name}>"));
            }
            text.push_str(&tail);
            wanted.push_str(&tail);
            let template = Template::parse(&text).unwrap();
            prop_assert_eq!(template.to_string(), text);
            prop_assert_eq!(template.render(|name| Some(format!("<{name}>"))).unwrap(), wanted);
        }
    }
}
