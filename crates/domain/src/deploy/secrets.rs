//! What a deploy request says about secrets, without ever holding more of them than it must.

use std::collections::{BTreeMap, BTreeSet};

use super::variables::{MAX_VARIABLES, MAX_VARIABLES_BYTES, escape_pointer, variable_name_fault};
use crate::fault::Faults;

/// What a request says about one secret.
pub enum SecretChange<S> {
    /// Its new value.
    Set(S),
    /// `null`: it goes.
    Remove,
}

/// What a request says about secrets. `S` is the value's type, which this crate never looks into.
#[derive(Default)]
pub enum SecretsChange<S> {
    /// Left out: all stay, since a form that cannot read them back must not lose them.
    #[default]
    Keep,
    /// `null`: all go.
    UnsetAll,
    /// Those named change, the others stay.
    Merge(BTreeMap<String, SecretChange<S>>),
}

/// The secrets after `change`: a value that stays is `current`'s, a new one is made by `seal`.
pub fn merge_secrets<S, T: Clone>(
    current: &BTreeMap<String, T>,
    change: &SecretsChange<S>,
    mut seal: impl FnMut(&str, &S) -> T,
) -> BTreeMap<String, T> {
    let mut merged = match change {
        SecretsChange::UnsetAll => BTreeMap::new(),
        SecretsChange::Keep | SecretsChange::Merge(_) => current.clone(),
    };
    if let SecretsChange::Merge(changes) = change {
        for (name, change) in changes {
            match change {
                SecretChange::Set(value) => {
                    merged.insert(name.clone(), seal(name, value));
                }
                SecretChange::Remove => {
                    merged.remove(name);
                }
            }
        }
    }
    merged
}

/// Checks all secrets, given by name and bytes of the value (`/secrets/…`), beside the names of all
/// variables: a name is one or the other, never both. Names, number and size of all are bounded as
/// those of variables are.
pub fn check_secrets<'a>(
    secrets: impl Iterator<Item = (&'a str, usize)>,
    variables: &BTreeMap<String, String>,
    faults: &mut Faults,
) {
    let variables: BTreeSet<String> = variables.keys().map(|n| n.to_ascii_lowercase()).collect();
    let mut seen = BTreeSet::new();
    let mut bytes = 0_usize;
    for (name, value_bytes) in secrets {
        bytes = bytes.saturating_add(name.len()).saturating_add(value_bytes);
        let at = format!("/secrets/{}", escape_pointer(name));
        let lower = name.to_ascii_lowercase();
        if let Some(fault) = variable_name_fault(name) {
            faults.add(at, fault);
        } else if variables.contains(&lower) {
            faults.add_text(at, "is the name of a variable in `env_vars` too");
        } else if !seen.insert(lower) {
            faults.add_text(at, "differs from another name in case alone");
        }
    }
    if seen.len() > MAX_VARIABLES {
        faults.add_text("/secrets", format!("at most {MAX_VARIABLES} are possible"));
    }
    if bytes > MAX_VARIABLES_BYTES {
        faults.add_text(
            "/secrets",
            format!("all names and values together may have {MAX_VARIABLES_BYTES} bytes"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current() -> BTreeMap<String, String> {
        BTreeMap::from([
            ("A".to_owned(), "sealed a".to_owned()),
            ("B".to_owned(), "sealed b".to_owned()),
        ])
    }

    fn seal(name: &str, value: &&str) -> String {
        format!("sealed {name} {value}")
    }

    #[test]
    fn secrets_left_out_are_kept() {
        assert_eq!(
            merge_secrets(&current(), &SecretsChange::Keep, seal),
            current()
        );
    }

    #[test]
    fn null_for_all_removes_all() {
        assert!(merge_secrets(&current(), &SecretsChange::UnsetAll, seal).is_empty());
    }

    #[test]
    fn named_secrets_change_and_the_others_stay() {
        let change = SecretsChange::Merge(BTreeMap::from([
            ("A".to_owned(), SecretChange::Remove),
            ("C".to_owned(), SecretChange::Set("new")),
        ]));
        assert_eq!(
            merge_secrets(&current(), &change, seal),
            BTreeMap::from([
                ("B".to_owned(), "sealed b".to_owned()),
                ("C".to_owned(), "sealed C new".to_owned()),
            ])
        );
    }

    #[test]
    fn a_name_is_a_secret_or_a_variable() {
        let variables = BTreeMap::from([("API_KEY".to_owned(), "x".to_owned())]);
        let mut faults = Faults::default();
        check_secrets(
            ["api_key", "ok", "1bad", "SPIN_X"]
                .map(|name| (name, 1))
                .into_iter(),
            &variables,
            &mut faults,
        );
        let pointers: Vec<_> = faults.iter().map(|f| f.pointer.clone()).collect();
        assert_eq!(
            pointers,
            ["/secrets/api_key", "/secrets/1bad", "/secrets/SPIN_X"]
        );
    }

    #[test]
    fn all_secrets_together_are_bounded() {
        let pointers = |value_bytes: usize| {
            let mut faults = Faults::default();
            let names: Vec<String> = (0..16).map(|n| format!("KEY_{n:02}")).collect();
            let all = names.iter().map(|name| (name.as_str(), value_bytes));
            check_secrets(all, &BTreeMap::new(), &mut faults);
            faults.iter().map(|f| f.pointer.clone()).collect::<Vec<_>>()
        };
        assert!(pointers(30 << 10).is_empty());
        assert_eq!(pointers(32 << 10), ["/secrets"]);
    }
}
