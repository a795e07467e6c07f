//! What a deploy request says about secrets, without ever holding more of them than it must.

use std::collections::{BTreeMap, BTreeSet};

use super::variables::{MAX_VARIABLES, escape_pointer, variable_name_fault};
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

/// Checks the names of all secrets (`/secrets/…`) beside the names of all variables: a name is one
/// or the other, never both.
pub fn check_secret_names<'a>(
    names: impl Iterator<Item = &'a str>,
    variables: &BTreeMap<String, String>,
    faults: &mut Faults,
) {
    let variables: BTreeSet<String> = variables.keys().map(|n| n.to_ascii_lowercase()).collect();
    let mut seen = BTreeSet::new();
    for name in names {
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
        check_secret_names(
            ["api_key", "ok", "1bad", "SPIN_X"].into_iter(),
            &variables,
            &mut faults,
        );
        let pointers: Vec<_> = faults.iter().map(|f| f.pointer.clone()).collect();
        assert_eq!(
            pointers,
            ["/secrets/api_key", "/secrets/1bad", "/secrets/SPIN_X"]
        );
    }
}
