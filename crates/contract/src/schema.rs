//! Bodies against schemas.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::Document;

/// Made once for each operation, status and type.
#[derive(Default)]
pub(crate) struct Validators(RefCell<BTreeMap<String, Validator>>);

impl Document {
    /// Holds a value against a schema of this document.
    pub(crate) fn check_value(
        &self,
        key: String,
        schema: &Value,
        value: &Value,
    ) -> Result<(), String> {
        let mut validators = self.validators.0.borrow_mut();
        let validator = validators
            .entry(key)
            .or_insert_with(|| self.validator(schema));
        let faults: Vec<String> = validator
            .iter_errors(value)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(format!("{} in {value}", faults.join("; ")))
        }
    }

    fn validator(&self, schema: &Value) -> Validator {
        // References go to `#/components/…`, so those come along.
        let whole = json!({ "allOf": [schema], "components": self.value["components"] });
        jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&whole)
            .unwrap_or_else(|error| panic!("a schema of ours is none: {error}"))
    }
}
