//! What a deployment may be and become: its configuration, variables, secrets and states.
//!
//! `components/deploy` validates requests with it, and the sidecar validates again what it is told:
//! one validator for create, update, rollback and every target.

mod change;
mod secrets;
mod spec;
mod status;
mod variables;

pub use change::{Change, SpecChange};
pub use secrets::{SecretChange, SecretsChange, check_secrets, merge_secrets};
pub use spec::{Exposure, ServiceType, Spec};
pub use status::{DeploymentStatus, Desired, handover_delay_ms};
pub use variables::{
    MAX_VALUE_BYTES, MAX_VARIABLES, MAX_VARIABLES_BYTES, check_variables, escape_pointer,
    value_fault, variable_name_fault,
};
