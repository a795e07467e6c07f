//! Names and values of configuration variables and secrets.

use std::collections::{BTreeMap, BTreeSet};

use crate::Invalid;
use crate::fault::Faults;

/// Variables of one deployment, and as many secrets.
pub const MAX_VARIABLES: usize = 200;

/// Bytes of one value.
pub const MAX_VALUE_BYTES: usize = 32 << 10;

/// Bytes of all names and values together. Kubernetes bounds a ConfigMap and a Secret to 1 MiB.
pub const MAX_VARIABLES_BYTES: usize = 512 << 10;

const MAX_NAME_BYTES: usize = 128;

/// Prefixes that the platform, Spin and the cluster set themselves.
const RESERVED_PREFIXES: [&str; 3] = ["NOKUBE_", "SPIN_", "KUBERNETES_"];

/// What is wrong with a variable's or secret's name, if anything.
#[must_use]
pub fn variable_name_fault(name: &str) -> Option<Invalid> {
    let bytes = name.as_bytes();
    let start = |b: &u8| b.is_ascii_alphabetic() || *b == b'_';
    let good = bytes.first().is_some_and(start)
        && bytes.len() <= MAX_NAME_BYTES
        && bytes.iter().all(|b| start(b) || b.is_ascii_digit());
    if !good {
        return Some(Invalid::from(format!(
            "a name is 1 to {MAX_NAME_BYTES} letters, digits and underscores and does not start with a digit"
        )));
    }
    let upper = name.to_ascii_uppercase();
    RESERVED_PREFIXES
        .into_iter()
        .find(|prefix| upper.starts_with(prefix))
        .map(|prefix| Invalid::from(format!("names that start with {prefix} are reserved")))
}

/// Checks all variables below `pointer` (such as `/env_vars`): names, values, number and size.
///
/// Names that differ in case alone are refused, since a Spin application sees `API_URL` as the
/// variable `api_url`.
pub fn check_variables(variables: &BTreeMap<String, String>, pointer: &str, faults: &mut Faults) {
    if variables.len() > MAX_VARIABLES {
        faults.add_text(pointer, format!("at most {MAX_VARIABLES} are possible"));
    }
    let total: usize = variables
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if total > MAX_VARIABLES_BYTES {
        faults.add_text(
            pointer,
            format!("all names and values together may have {MAX_VARIABLES_BYTES} bytes"),
        );
    }
    let mut seen = BTreeSet::new();
    for (name, value) in variables {
        let at = || format!("{pointer}/{}", escape_pointer(name));
        if let Some(fault) = variable_name_fault(name) {
            faults.add(at(), fault);
        } else if !seen.insert(name.to_ascii_lowercase()) {
            faults.add_text(at(), "differs from another name in case alone");
        }
        if let Some(fault) = value_fault(value) {
            faults.add(at(), fault);
        }
    }
}

/// What is wrong with a variable's or secret's value, if anything. Never repeats the value.
#[must_use]
pub fn value_fault(value: &str) -> Option<Invalid> {
    if value.len() > MAX_VALUE_BYTES {
        Some(Invalid::from(format!(
            "may have at most {MAX_VALUE_BYTES} bytes"
        )))
    } else if value.contains('\0') {
        // An environment can't hold it.
        Some(Invalid::new("must not contain the NUL character"))
    } else {
        None
    }
}

/// A name as a segment of a JSON Pointer (RFC 6901, section 3), cut so that an answer stays small.
#[must_use]
pub fn escape_pointer(name: &str) -> String {
    name.chars()
        .take(MAX_NAME_BYTES)
        .collect::<String>()
        .replace('~', "~0")
        .replace('/', "~1")
}
