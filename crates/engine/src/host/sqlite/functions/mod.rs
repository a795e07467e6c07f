//! SQL functions in place of SQLite's own that take time in proportion to the product of two arguments: `instr`,
//! `replace`, `trim`, `unhex`, `LIKE`, `GLOB`, `json_patch`.
//!
//! SQLite asks whether a statement must stop between its instructions only, and a call is one instruction: with values
//! of a few megabytes it would take minutes to hours. These either need one pass, or ask meanwhile. They answer as
//! SQLite's do, which the tests compare. The price: a search for a prefix (`GLOB 'a*'`) does not use an index, which
//! SQLite knows to do for its own functions only.

mod json;
mod pattern;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use memchr::memmem;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error, ffi};

use self::pattern::{Dialect, Pattern};
use super::watch::Watch;

/// Of the same arguments the same result, also in an index; without effects, so schemas may call them.
const PURE: FunctionFlags = FunctionFlags::SQLITE_UTF8
    .union(FunctionFlags::SQLITE_DETERMINISTIC)
    .union(FunctionFlags::SQLITE_INNOCUOUS);

/// Puts them in place of SQLite's own on `connection`. They stop when `watch` says so.
pub(super) fn register(
    connection: &Connection,
    watch: &Arc<Watch>,
    max_value_bytes: usize,
    max_pattern_bytes: usize,
) -> rusqlite::Result<()> {
    let add = |name: &str, arguments, function: fn(&Call<'_>) -> rusqlite::Result<Value>| {
        let watch = Arc::clone(watch);
        connection.create_scalar_function(name, arguments, PURE, move |context| {
            let call = Call {
                context,
                watch: &watch,
                max_value_bytes,
                max_pattern_bytes,
            };
            call.check()?;
            function(&call)
        })
    };
    add("instr", 2, instr)?;
    add("replace", 3, replace)?;
    add("trim", 2, |call| trim(call, true, true))?;
    add("ltrim", 2, |call| trim(call, true, false))?;
    add("rtrim", 2, |call| trim(call, false, true))?;
    add("unhex", 2, unhex)?;
    add("like", 2, |call| matches(call, Dialect::Like))?;
    add("like", 3, |call| matches(call, Dialect::Like))?;
    add("glob", 2, |call| matches(call, Dialect::Glob))?;
    json::register(connection, watch)
}

/// The statement must stop; SQLite ends it with the words for that.
fn interrupted() -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None)
}

struct Call<'a> {
    context: &'a Context<'a>,
    watch: &'a Watch,
    max_value_bytes: usize,
    max_pattern_bytes: usize,
}

impl Call<'_> {
    fn check(&self) -> rusqlite::Result<()> {
        if self.watch.must_stop() {
            return Err(interrupted());
        }
        Ok(())
    }

    fn argument(&self, index: usize) -> ValueRef<'_> {
        self.context.get_raw(index)
    }

    /// An argument as text; None when it is NULL.
    fn text(&self, index: usize) -> Option<Cow<'_, [u8]>> {
        Some(match self.argument(index) {
            ValueRef::Null => return None,
            ValueRef::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
            ValueRef::Real(number) => Cow::Owned(text_of_real(number).into_bytes()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Cow::Borrowed(bytes),
        })
    }
}

/// As SQLite writes numbers: 15 digits (`%!.15g`).
fn text_of_real(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:.14e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let shortened = |digits: &str| {
        let short = digits.trim_end_matches('0');
        let point = if short.ends_with('.') { "0" } else { "" };
        format!("{short}{point}")
    };
    if exponent == 14 {
        return format!("{number:.0}.0");
    }
    if (-4..14).contains(&exponent) {
        let decimals = usize::try_from(14 - exponent).unwrap_or_default();
        return shortened(&format!("{number:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", shortened(digits), exponent.abs())
}

fn text(bytes: Vec<u8>) -> Value {
    Value::Text(
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Where the second argument first occurs in the first, from 1; 0 if nowhere. Counted in bytes for blobs, else in
/// characters.
fn instr(call: &Call<'_>) -> rusqlite::Result<Value> {
    let (Some(hay), Some(needle)) = (call.text(0), call.text(1)) else {
        return Ok(Value::Null);
    };
    let is_blob = |index| matches!(call.argument(index), ValueRef::Blob(_));
    let in_bytes = is_blob(0) && is_blob(1);
    let finder = memmem::Finder::new(&*needle);
    let mut from = 0;
    while let Some(at) = hay.get(from..).and_then(|rest| finder.find(rest)) {
        let at = from + at;
        if in_bytes {
            return Ok(Value::Integer(at as i64 + 1));
        }
        if at == 0 || needle.is_empty() || !is_continuation(hay[at]) {
            // The first byte begins a character, whatever it is.
            let before = hay[..at].iter().skip(1);
            let characters = before.filter(|byte| !is_continuation(**byte)).count();
            let place = characters as i64 + 1 + i64::from(at > 0);
            return Ok(Value::Integer(place));
        }
        call.check()?;
        from = at + 1;
    }
    Ok(Value::Integer(0))
}

fn replace(call: &Call<'_>) -> rusqlite::Result<Value> {
    let (Some(whole), Some(old)) = (call.text(0), call.text(1)) else {
        return Ok(Value::Null);
    };
    // A text that begins with NUL counts as empty, as in C.
    if old.first().is_none_or(|byte| *byte == 0) {
        return Ok(text(whole.into_owned()));
    }
    let Some(new) = call.text(2) else {
        return Ok(Value::Null);
    };
    let mut result = Vec::with_capacity(whole.len());
    let mut rest = 0;
    for at in memmem::find_iter(&whole, &*old) {
        result.extend_from_slice(&whole[rest..at]);
        result.extend_from_slice(&new);
        rest = at + old.len();
        if result.len() > call.max_value_bytes {
            return Err(Error::SqliteFailure(
                ffi::Error::new(ffi::SQLITE_TOOBIG),
                None,
            ));
        }
    }
    result.extend_from_slice(&whole[rest..]);
    Ok(text(result))
}

/// `text` in characters: a byte and the continuation bytes behind it, if it may have some.
fn characters(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let first = *text.first()?;
        let mut length = 1;
        if first >= 0xc0 {
            length += text[1..]
                .iter()
                .take_while(|b| is_continuation(**b))
                .count();
        }
        let (character, rest) = text.split_at(length);
        text = rest;
        Some(character)
    })
}

/// What is before the first NUL: where text ends for C.
fn before_nul(text: &[u8]) -> &[u8] {
    memchr::memchr(0, text).map_or(text, |end| &text[..end])
}

fn trim(call: &Call<'_>, left: bool, right: bool) -> rusqlite::Result<Value> {
    let (Some(whole), Some(set)) = (call.text(0), call.text(1)) else {
        return Ok(Value::Null);
    };
    let set: HashSet<&[u8]> = characters(before_nul(&set)).collect();
    let mut rest = &*whole;
    if left {
        let trimmed: usize = characters(rest)
            .take_while(|character| set.contains(character))
            .map(<[u8]>::len)
            .sum();
        rest = &rest[trimmed..];
    }
    while right && !rest.is_empty() {
        let back = rest
            .iter()
            .rev()
            .take_while(|b| is_continuation(**b))
            .count();
        let start = rest.len().saturating_sub(back + 1);
        if !set.contains(&rest[start..]) {
            break;
        }
        rest = &rest[..start];
    }
    Ok(text(rest.to_vec()))
}

/// The bytes that pairs of digits mean; characters of the second argument may stand between pairs.
fn unhex(call: &Call<'_>) -> rusqlite::Result<Value> {
    let (Some(whole), Some(between)) = (call.text(0), call.text(1)) else {
        return Ok(Value::Null);
    };
    let between: HashSet<&[u8]> = characters(&between).collect();
    let digit = |character: &[u8]| match character {
        [byte] => char::from(*byte).to_digit(16).map(|digit| digit as u8),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(whole.len() / 2);
    let mut rest = characters(before_nul(&whole));
    while let Some(character) = rest.next() {
        match digit(character) {
            Some(high) => {
                let Some(low) = rest.next().and_then(digit) else {
                    return Ok(Value::Null);
                };
                bytes.push(high << 4 | low);
            }
            None if between.contains(character) => {}
            None => return Ok(Value::Null),
        }
    }
    Ok(Value::Blob(bytes))
}

fn matches(call: &Call<'_>, dialect: Dialect) -> rusqlite::Result<Value> {
    let refused = |words: &str| Err(Error::UserFunctionError(words.into()));
    let pattern = call.text(0);
    if pattern.as_ref().map_or(0, |pattern| pattern.len()) > call.max_pattern_bytes {
        return refused("LIKE or GLOB pattern too complex");
    }
    let mut escape = None;
    if call.context.len() == 3 {
        let Some(given) = call.text(2) else {
            return Ok(Value::Null);
        };
        let mut given = characters(before_nul(&given));
        let (first, more) = (given.next(), given.next());
        let (Some(first), None) = (first, more) else {
            return refused("ESCAPE expression must be a single character");
        };
        escape = Some(first.to_vec());
    }
    let (Some(pattern), Some(subject)) = (pattern, call.text(1)) else {
        return Ok(Value::Null);
    };
    let mut matching = Pattern::new(dialect, escape.as_deref(), call.watch);
    let found = matching
        .matches(before_nul(&pattern), before_nul(&subject))
        .ok_or_else(interrupted)?;
    Ok(Value::Integer(found.into()))
}
