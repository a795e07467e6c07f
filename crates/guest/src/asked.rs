//! What handlers ask a request for, told to the tests that hold a component's contract against them. Anywhere else this
//! is nothing.

#[cfg(all(feature = "testing", not(target_family = "wasm")))]
mod told {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};

    /// What one request was asked for.
    #[derive(Debug, Default, Clone, PartialEq, Eq)]
    pub(crate) struct Asked {
        /// Fields of the body, and whether each has to be there.
        pub(crate) fields: BTreeMap<String, bool>,
        /// Parameters of the query.
        pub(crate) query: BTreeSet<String>,
    }

    thread_local! {
        static ASKED: RefCell<Asked> = RefCell::default();
    }

    /// What was asked since the last call.
    pub(crate) fn take() -> Asked {
        ASKED.take()
    }

    pub(crate) fn field(name: &str, required: bool) {
        ASKED.with_borrow_mut(|asked| {
            *asked.fields.entry(name.to_owned()).or_default() |= required;
        });
    }

    pub(crate) fn query(name: &str) {
        ASKED.with_borrow_mut(|asked| {
            asked.query.insert(name.to_owned());
        });
    }
}

#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub(crate) use told::{Asked, field, query, take};

#[cfg(not(all(feature = "testing", not(target_family = "wasm"))))]
pub(crate) fn field(_: &str, _: bool) {}

#[cfg(not(all(feature = "testing", not(target_family = "wasm"))))]
pub(crate) fn query(_: &str) {}
