//! Whether an answer is one that the document tells of.

use serde_json::Value;

/// An OpenAPI document, and whether answers are as it says. Bodies are held against their schemas with the feature
/// `code` alone.
pub struct Document {
    pub(crate) value: Value,
    #[cfg(feature = "code")]
    pub(crate) validators: crate::schema::Validators,
}

/// An answer as it was seen.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The request's method.
    pub method: &'a str,
    /// The path's template, `/api/v1/projects/{id}`.
    pub template: &'a str,
    /// The answer's status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: &'a [(String, String)],
    /// Its body.
    pub body: &'a [u8],
}

impl Seen<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        let wanted = name.to_ascii_lowercase();
        let mut headers = self.headers.iter();
        headers
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value.as_str())
    }

    fn media_type(&self) -> &str {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }
}

impl Document {
    /// A document that was written before.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn from_json(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Self::new)
    }

    pub(crate) fn new(value: Value) -> Self {
        Self {
            value,
            #[cfg(feature = "code")]
            validators: crate::schema::Validators::default(),
        }
    }

    /// The document.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Every operation: method in capitals, path template, and what is said of it.
    pub fn operations(&self) -> impl Iterator<Item = (String, &str, &Value)> {
        let paths = self.value["paths"].as_object().into_iter().flatten();
        paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().into_iter().flatten();
            methods.map(move |(method, operation)| {
                (method.to_ascii_uppercase(), path.as_str(), operation)
            })
        })
    }

    /// What a value of the document refers to, or the value itself.
    #[must_use]
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        value["$ref"]
            .as_str()
            .and_then(|reference| self.value.pointer(reference.strip_prefix('#')?))
            .unwrap_or(value)
    }

    /// Checks an answer: its status, headers, type and body.
    ///
    /// # Errors
    /// What the document does not tell of.
    pub fn check(&self, seen: &Seen<'_>) -> Result<(), String> {
        let method = seen.method.to_ascii_lowercase();
        let operation = &self.value["paths"][seen.template][&method];
        if operation.is_null() {
            return Err(format!("{method} {} is not described", seen.template));
        }
        let status = seen.status.to_string();
        let class = format!("{}XX", seen.status / 100);
        let responses = &operation["responses"];
        let described = responses
            .get(&status)
            .or_else(|| responses.get(&class))
            .map(|response| self.resolve(response))
            .ok_or_else(|| format!("{status} is not described"))?;
        self.check_headers(described, seen)?;
        match described["content"].as_object() {
            None if seen.body.is_empty() => Ok(()),
            None => Err(format!("{status} has a body")),
            Some(content) => {
                let media_type = seen.media_type();
                let described = content
                    .get(media_type)
                    .ok_or_else(|| format!("{status} is of type {media_type:?}"))?;
                let is_json = media_type == "application/json" || media_type.ends_with("+json");
                if !is_json {
                    return Ok(());
                }
                let body: Value = serde_json::from_slice(seen.body)
                    .map_err(|error| format!("the body is not JSON: {error}"))?;
                let key = format!("{method} {} {status} {media_type}", seen.template);
                self.check_value(key, &described["schema"], &body)
            }
        }
    }

    /// Without what makes validators a body only has to be JSON.
    #[cfg(not(feature = "code"))]
    fn check_value(&self, _: String, _: &Value, _: &Value) -> Result<(), String> {
        Ok(())
    }

    fn check_headers(&self, described: &Value, seen: &Seen<'_>) -> Result<(), String> {
        let headers = described["headers"].as_object().into_iter().flatten();
        for (name, header) in headers {
            let is_required = self.resolve(header)["required"] == true;
            if is_required && seen.header(name).is_none() {
                return Err(format!("{} has no {name}", seen.status));
            }
        }
        Ok(())
    }

    /// The schema of a JSON body that an operation takes.
    #[must_use]
    pub fn body_schema(&self, method: &str, template: &str) -> Option<&Value> {
        let operation = &self.value["paths"][template][method.to_ascii_lowercase()];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        (!schema.is_null()).then(|| self.resolve(schema))
    }
}
