//! Request bodies: how much, of which type, and is it JSON?

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::host::{BodyError, BodyReader, Headers};
use crate::{Error, Fields};

/// What a body may have when a handler asks for no other limit: 1 MiB.
pub const DEFAULT_BODY_BYTES: usize = 1 << 20;

/// Reads a body. A length that is announced and too large is refused before anything is read.
pub(crate) async fn read(
    headers: &Headers,
    reader: Box<dyn BodyReader>,
    limit: usize,
) -> Result<Vec<u8>, Error> {
    let announced = headers
        .get("content-length")
        .and_then(|length| length.trim().parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Error::Body(BodyError::TooLarge(limit)));
    }
    reader.read(limit).await.map_err(Error::Body)
}

/// The fields of a JSON object.
pub(crate) fn json_object(headers: &Headers, body: &[u8]) -> Result<Fields, Error> {
    match json(headers, body)? {
        Value::Object(values) => Ok(Fields::new(values)),
        _ => Err(fault("must be a JSON object".to_owned())),
    }
}

/// What a program sent. It may send more than we know.
pub(crate) fn json_of_machine<T: DeserializeOwned>(
    headers: &Headers,
    body: &[u8],
) -> Result<T, Error> {
    serde_json::from_value(json(headers, body)?).map_err(|error| fault(error.to_string()))
}

fn fault(detail: String) -> Error {
    Error::invalid("", &nokube_domain::Invalid::from(detail))
}

/// A body is read as JSON when its type is JSON, missing, or curl's default form type and it parses.
fn json(headers: &Headers, body: &[u8]) -> Result<Value, Error> {
    let media_type = headers
        .get("content-type")
        .map(|value| {
            value
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        })
        .filter(|value| !value.is_empty());
    let is_form = match media_type.as_deref() {
        None => false,
        Some("application/x-www-form-urlencoded") => true,
        Some(json) if json == "application/json" || json.ends_with("+json") => false,
        Some(_) => return Err(Error::NotJsonType),
    };
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(_) if is_form => Err(Error::NotJsonType),
        Err(_) if body.is_empty() => Err(Error::NotJson("it is empty".to_owned())),
        Err(error) => Err(Error::NotJson(format!(
            "at line {}, column {}",
            error.line(),
            error.column()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(content_type: Option<&str>, body: &str) -> Result<Fields, Error> {
        let headers = content_type
            .map(|value| ("content-type".to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        json_object(&Headers(headers), body.as_bytes())
    }

    #[test]
    fn json_is_read_under_its_own_name_none_and_curls_default() {
        for name in [
            None,
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
            Some("application/merge-patch+json"),
            Some("application/x-www-form-urlencoded"),
        ] {
            assert!(parse(name, "{}").is_ok(), "{name:?}");
        }
    }

    #[test]
    fn everything_else_is_refused_by_its_own_problem() {
        assert!(matches!(
            parse(Some("text/xml"), "{}"),
            Err(Error::NotJsonType)
        ));
        let form = Some("application/x-www-form-urlencoded");
        assert!(matches!(parse(form, "a=b"), Err(Error::NotJsonType)));
        assert!(matches!(parse(None, "{"), Err(Error::NotJson(_))));
        assert!(matches!(parse(None, ""), Err(Error::NotJson(_))));
        assert!(matches!(parse(None, "[]"), Err(Error::Invalid(_))));
    }
}
