//! Reading a JSON object field by field, so that all its faults are found at once.
//!
//! ```ignore
//! let mut fields = cx.fields().await?;
//! let name = fields.text("name", DisplayName::parse);
//! let description = fields.optional_text("description", Description::parse);
//! let request = fields.finish(|| Some(CreateProject { name: name?, description }))?;
//! ```
//!
//! Every read takes its field out; what is left at the end nobody knows, and is a fault as well: a
//! typo is not silently dropped.

use std::collections::BTreeMap;
use std::fmt::Display;

use nokube_api::problem::FieldFault;
use serde_json::{Map, Value};

use crate::{Error, asked};

/// The fields of an object that are not read yet, and the faults found so far.
pub struct Fields {
    values: Map<String, Value>,
    prefix: String,
    faults: Vec<FieldFault>,
    unknown_allowed: bool,
}

/// What a partial change says about a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<T> {
    /// It was left out: stay as it is.
    Keep,
    /// It was `null`: unset.
    Unset,
    /// It has a value.
    Set(T),
}

impl<T> Change<T> {
    /// The value after the change.
    #[must_use]
    pub fn apply(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Keep => current,
            Self::Unset => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// A type that one JSON value can be read as.
pub trait FromJson: Sized {
    /// What is expected, for people: `a string`.
    const EXPECTED: &'static str;

    /// The value, or nothing when it is of another type.
    fn from_json(value: Value) -> Option<Self>;
}

impl FromJson for String {
    const EXPECTED: &'static str = "a string";

    fn from_json(value: Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }
}

impl FromJson for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_json(value: Value) -> Option<Self> {
        value.as_bool()
    }
}

macro_rules! integers {
    ($($type:ty: $expected:literal),*) => {$(
        impl FromJson for $type {
            const EXPECTED: &'static str = $expected;

            fn from_json(value: Value) -> Option<Self> {
                // The widest of all: an i128 holds every JSON integer serde_json reads as one.
                let wide = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from))?;
                Self::try_from(wide).ok()
            }
        }
    )*};
}

integers!(
    i64: "a whole number",
    u64: "a whole number, not negative",
    u32: "a whole number from 0 to 4294967295",
    u16: "a whole number from 0 to 65535"
);

impl FromJson for f64 {
    const EXPECTED: &'static str = "a number";

    fn from_json(value: Value) -> Option<Self> {
        value.as_f64()
    }
}

impl FromJson for Value {
    const EXPECTED: &'static str = "any value";

    fn from_json(value: Value) -> Option<Self> {
        Some(value)
    }
}

impl FromJson for Map<String, Value> {
    const EXPECTED: &'static str = "an object";

    fn from_json(value: Value) -> Option<Self> {
        match value {
            Value::Object(map) => Some(map),
            _ => None,
        }
    }
}

impl Fields {
    /// The fields of an object.
    #[must_use]
    pub fn new(values: Map<String, Value>) -> Self {
        Self {
            values,
            prefix: String::new(),
            faults: Vec::new(),
            unknown_allowed: false,
        }
    }

    /// Senders that are programs of another version (agents, runners) may send more than we know.
    pub fn allow_unknown(&mut self) {
        self.unknown_allowed = true;
    }

    /// Drops fields that are accepted and have no effect.
    pub fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.asked(name, false);
            self.values.remove(*name);
        }
    }

    /// Whether a field was sent, `null` included, and not read yet.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A field that must be there.
    pub fn required<T: FromJson, U, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        self.asked(name, true);
        match self.change(name, parse) {
            Read::Value(value) => Some(value),
            Read::Missing | Read::Null => {
                self.fault(name, "is required");
                None
            }
            Read::Faulty => None,
        }
    }

    /// A field that may be left out or `null`.
    pub fn optional<T: FromJson, U, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(T) -> Result<U, E>,
    ) -> Option<U> {
        match self.change(name, parse) {
            Read::Value(value) => Some(value),
            Read::Missing | Read::Null | Read::Faulty => None,
        }
    }

    /// A field of a partial change, where `null` unsets.
    pub fn changed<T: FromJson, U, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(T) -> Result<U, E>,
    ) -> Change<U> {
        match self.change(name, parse) {
            Read::Value(value) => Change::Set(value),
            Read::Null => Change::Unset,
            Read::Missing | Read::Faulty => Change::Keep,
        }
    }

    /// A string that must be there.
    pub fn text<U, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<U, E>,
    ) -> Option<U> {
        self.required(name, |text: String| parse(&text))
    }

    /// A string that may be left out or `null`.
    pub fn optional_text<U, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<U, E>,
    ) -> Option<U> {
        self.optional(name, |text: String| parse(&text))
    }

    /// A string of a partial change.
    pub fn changed_text<U, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<U, E>,
    ) -> Change<U> {
        self.changed(name, |text: String| parse(&text))
    }

    /// An object that maps names to values, each entry checked by itself; `null` and left out are `Unset` and `Keep`.
    pub fn changed_map<T: FromJson, U, E: Display>(
        &mut self,
        name: &str,
        mut parse: impl FnMut(&str, T) -> Result<U, E>,
    ) -> Change<BTreeMap<String, U>> {
        let entries = match self.changed(name, Ok::<Map<String, Value>, String>) {
            Change::Set(entries) => entries,
            Change::Unset => return Change::Unset,
            Change::Keep => return Change::Keep,
        };
        let mut parsed = BTreeMap::new();
        for (key, value) in entries {
            let pointer = format!("{name}/{}", escape(&key));
            match T::from_json(value) {
                None => self.fault_at(pointer, format!("must be {}", T::EXPECTED)),
                Some(value) => match parse(&key, value) {
                    Ok(value) => {
                        parsed.insert(key, value);
                    }
                    Err(reason) => self.fault_at(pointer, reason.to_string()),
                },
            }
        }
        Change::Set(parsed)
    }

    /// An object with fields of its own, that may be left out or `null`.
    pub fn object<U>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Option<U>,
    ) -> Option<U> {
        let values = self.optional(name, Ok::<Map<String, Value>, String>)?;
        let mut inner = Self {
            values,
            prefix: format!("{}/{}", self.prefix, escape(name)),
            faults: Vec::new(),
            unknown_allowed: self.unknown_allowed,
        };
        let value = read(&mut inner);
        inner.report_unknown();
        self.faults.append(&mut inner.faults);
        value
    }

    /// Reports a fault of a field.
    pub fn fault(&mut self, name: &str, detail: impl Into<String>) {
        self.fault_at(escape(name), detail.into());
    }

    /// Reports a fault of a parameter in the path, so that it is told with those of the body.
    pub fn path_fault(&mut self, name: &str, detail: impl Into<String>) {
        self.faults.push(FieldFault {
            pointer: format!("/{name}"),
            detail: detail.into(),
            r#in: Some("path".to_owned()),
        });
    }

    /// The request, when it has no fault.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault.
    pub fn finish<R>(mut self, build: impl FnOnce() -> Option<R>) -> Result<R, Error> {
        self.report_unknown();
        if !self.faults.is_empty() {
            return Err(Error::Invalid(self.faults));
        }
        build().ok_or(Error::Contradiction(
            "a required field was missing without a fault",
        ))
    }

    fn change<T: FromJson, U, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(T) -> Result<U, E>,
    ) -> Read<U> {
        self.asked(name, false);
        let value = match self.values.remove(name) {
            None => return Read::Missing,
            Some(Value::Null) => return Read::Null,
            Some(value) => value,
        };
        let Some(value) = T::from_json(value) else {
            self.fault(name, format!("must be {}", T::EXPECTED));
            return Read::Faulty;
        };
        match parse(value) {
            Ok(value) => Read::Value(value),
            Err(reason) => {
                self.fault(name, reason.to_string());
                Read::Faulty
            }
        }
    }

    /// For the tests that hold a contract against its handler. Fields of objects inside are the object's matter.
    fn asked(&self, name: &str, required: bool) {
        if self.prefix.is_empty() {
            asked::field(name, required);
        }
    }

    fn fault_at(&mut self, escaped: String, detail: String) {
        self.faults.push(FieldFault {
            pointer: format!("{}/{escaped}", self.prefix),
            detail,
            r#in: None,
        });
    }

    fn report_unknown(&mut self) {
        if self.unknown_allowed {
            return;
        }
        for name in std::mem::take(&mut self.values)
            .into_iter()
            .map(|(name, _)| name)
        {
            self.fault(&name, "is not a known field");
        }
    }
}

enum Read<T> {
    Missing,
    Null,
    Faulty,
    Value(T),
}

/// RFC 6901, section 3.
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use nokube_domain::{DisplayName, Username};
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        Fields::new(Map::from_json(value).unwrap())
    }

    fn pointers<T>(result: Result<T, Error>) -> Vec<String> {
        match result {
            Err(Error::Invalid(faults)) => faults.into_iter().map(|f| f.pointer).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let mut fields = fields(json!({
            "name": 7, "username": "X", "a/b~": 1, "env": {"A": 1, "b": "x"}, "inner": {"typo": 1}
        }));
        let name = fields.text("name", DisplayName::parse);
        let username = fields.optional_text("username", Username::parse);
        let missing = fields.required("port", Ok::<u16, String>);
        let _ = fields.changed_map("env", |key, value: String| {
            if key == "b" {
                Err("is lower case")
            } else {
                Ok(value)
            }
        });
        let _ = fields.object("inner", |inner| inner.optional("x", Ok::<bool, String>));
        let found = pointers(fields.finish(|| Some((name?, username, missing?))));
        assert_eq!(
            found,
            [
                "/name",
                "/username",
                "/port",
                "/env/A",
                "/env/b",
                "/inner/typo",
                "/a~1b~0"
            ]
        );
    }

    #[test]
    fn a_partial_change_tells_null_from_nothing() {
        let mut fields = fields(json!({"a": null, "b": "x"}));
        let parse = |text: &str| Ok::<_, String>(text.to_owned());
        assert_eq!(fields.changed_text("a", parse), Change::Unset);
        assert_eq!(fields.changed_text("b", parse), Change::Set("x".into()));
        assert_eq!(fields.changed_text("c", parse), Change::Keep);
        assert!(fields.finish(|| Some(())).is_ok());
    }

    #[test]
    fn integers_are_whole_and_in_range() {
        let mut fields = fields(json!({"a": 65536, "b": 1.5, "c": -1, "d": 65535, "e": "1"}));
        for name in ["a", "b", "c", "d", "e"] {
            let _ = fields.optional(name, Ok::<u16, String>);
        }
        assert_eq!(
            pointers(fields.finish(|| Some(()))),
            ["/a", "/b", "/c", "/e"]
        );
    }
}
