//! Application variables: `fermyon:spin/variables@2.0.0`, `spin:variables/variables@3.0.0` and `wasi:config/store`.
//!
//! The values of a component are resolved (templates, providers, secrets) before it starts; a guest can only read them.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::{Accessor, HasData, Linker};

use super::bindings::spin_v2::variables as v2;
use super::bindings::spin_v3::variables::variables as v3;
use super::bindings::wasi::config::store as config;

/// The variables of one instance.
#[derive(Clone, Debug, Default)]
pub struct VariablesState {
    values: Arc<BTreeMap<String, String>>,
}

/// Names [`VariablesState`] to the bindings.
#[derive(Debug)]
pub struct Variables;

impl HasData for Variables {
    type Data<'a> = &'a mut VariablesState;
}

/// Why a variable has no value.
#[derive(Debug, Eq, PartialEq)]
enum Missing {
    InvalidName(String),
    Undefined(String),
}

impl VariablesState {
    /// A state that answers with `values`, the component's variables by name.
    #[must_use]
    pub fn new(values: Arc<BTreeMap<String, String>>) -> Self {
        Self { values }
    }

    fn value(&self, name: &str) -> Result<String, Missing> {
        check_name(name).map_err(|reason| Missing::InvalidName(format!("{name:?}: {reason}")))?;
        self.values
            .get(name)
            .cloned()
            .ok_or_else(|| Missing::Undefined(format!("no variable {name:?} for this component")))
    }
}

/// Adds every variables interface to `linker`; `state` finds the state in the store's data.
///
/// # Errors
///
/// When one of the interfaces is in `linker` already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    state: fn(&mut T) -> &mut VariablesState,
) -> wasmtime::Result<()> {
    v2::add_to_linker::<T, Variables>(linker, state)?;
    v3::add_to_linker::<T, Variables>(linker, state)?;
    config::add_to_linker::<T, Variables>(linker, state)
}

/// Spin's rule for variable names: lower-case ASCII letters, digits and underscores; the first a letter, the last no
/// underscore.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if let Some(wrong) = name
        .chars()
        .find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '_'))
    {
        return Err(format!(
            "invalid character {wrong:?}; variable names may contain only lower-case letters, numbers, and underscores"
        ));
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("must start with a lower-case letter".to_owned());
    }
    if name.ends_with('_') {
        return Err("must end with a lower-case letter or a number".to_owned());
    }
    Ok(())
}

impl v2::Host for VariablesState {
    async fn get(&mut self, name: String) -> Result<String, v2::Error> {
        self.value(&name).map_err(|missing| match missing {
            Missing::InvalidName(text) => v2::Error::InvalidName(text),
            Missing::Undefined(text) => v2::Error::Undefined(text),
        })
    }
}

impl v3::Host for VariablesState {}

impl<T: Send> v3::HostWithStore<T> for Variables {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, v3::Error> {
        let found = accessor.with(|mut access| access.get().value(&name));
        found.map_err(|missing| match missing {
            Missing::InvalidName(text) => v3::Error::InvalidName(text),
            Missing::Undefined(text) => v3::Error::Undefined(text),
        })
    }
}

impl config::Host for VariablesState {
    async fn get(&mut self, key: String) -> Result<Option<String>, config::Error> {
        // A name that no variable can have is simply absent here (WebAssembly/wasi-runtime-config, pull request 19).
        Ok(self.value(&key).ok())
    }

    async fn get_all(&mut self) -> Result<Vec<(String, String)>, config::Error> {
        Ok(self
            .values
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> VariablesState {
        let values = [("greeting", "hello"), ("a_1", "x")];
        VariablesState::new(Arc::new(
            values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        ))
    }

    #[tokio::test]
    async fn a_declared_variable_is_read_through_each_interface() {
        let mut state = state();
        let value = v2::Host::get(&mut state, "greeting".to_owned()).await;
        assert_eq!(value.unwrap(), "hello");
        let value = config::Host::get(&mut state, "greeting".to_owned()).await;
        assert_eq!(value.unwrap().as_deref(), Some("hello"));
        let all = config::Host::get_all(&mut state).await.unwrap();
        assert_eq!(all.len(), 2);
    }

    #[tokio::test]
    async fn an_unknown_variable_is_undefined_and_absent_from_the_configuration() {
        let mut state = state();
        let error = v2::Host::get(&mut state, "jwt_private_key".to_owned()).await;
        assert!(matches!(error, Err(v2::Error::Undefined(_))), "{error:?}");
        let value = config::Host::get(&mut state, "jwt_private_key".to_owned()).await;
        assert_eq!(value.unwrap(), None);
    }

    #[tokio::test]
    async fn a_name_that_no_variable_can_have_is_invalid() {
        for name in ["", "Greeting", "1st", "_x", "x_", "a-b", "a b", "é"] {
            let error = v2::Host::get(&mut state(), name.to_owned()).await;
            assert!(
                matches!(error, Err(v2::Error::InvalidName(_))),
                "{name:?}: {error:?}"
            );
        }
    }
}
