//! From what is and what a request says to the next revision.

use std::collections::BTreeMap;

use nokube_api::spec::{DeploySpec, field_of};
use nokube_domain::DeploymentId;
use nokube_domain::deploy::{Spec, check_secrets, merge_secrets};
use nokube_domain::{Fault, Faults};
use nokube_guest::{Caller, Ctx, Error, FieldFault};
use nokube_keys::SealingKey;
use serde_json::json;

use crate::proof::{Proofs, needs_proof};
use crate::request::ConfigurationChange;

/// A configuration and its sealed secrets.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Configuration {
    pub(crate) spec: DeploySpec,
    /// Sealed, by name.
    pub(crate) secrets: BTreeMap<String, String>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            spec: DeploySpec::from(&Spec::default()),
            secrets: BTreeMap::new(),
        }
    }
}

/// What a change needs to know beside the change itself.
pub(crate) struct Circumstances<'a> {
    pub(crate) cx: &'a Ctx,
    pub(crate) caller: &'a Caller,
    pub(crate) platform_hosts: &'a [&'a str],
    pub(crate) sealing_key: &'a SealingKey,
    pub(crate) proofs: &'a Proofs,
    /// Where the secrets will open.
    pub(crate) deployment: DeploymentId,
}

impl Configuration {
    /// This configuration with `change` in it; its faults are added to `faults`, and when there are
    /// any the result must not be used.
    pub(crate) fn changed(
        &self,
        change: ConfigurationChange,
        circumstances: &Circumstances<'_>,
        faults: &mut Vec<FieldFault>,
    ) -> Result<Self, Error> {
        // What is stored was valid when it was stored, under the hosts and the rules of that day.
        let (before, outdated) = self.spec.mended();
        let mut found = Faults::default();
        let after = before.changed(change.spec, circumstances.platform_hosts, &mut found);
        let sizes = self
            .secrets
            .iter()
            .map(|(name, sealed)| (name.clone(), SealingKey::secret_bytes(sealed)))
            .collect();
        let sizes = merge_secrets(&sizes, &change.secrets, |_, value| value.expose().len());
        check_secrets(
            sizes.iter().map(|(name, bytes)| (name.as_str(), *bytes)),
            &after.env_vars,
            &mut found,
        );
        if let Some(domain) = &after.custom_domain
            && needs_proof(
                &before.custom_domain,
                &after.custom_domain,
                circumstances.caller,
            )
            && !found.has("/custom_domain")
            && !circumstances.proofs.proves(domain)
        {
            found.add_text("/custom_domain", circumstances.proofs.wanting(domain));
        }
        still_outdated(&after, outdated, &mut found);
        faults.extend(found.into_iter().map(field_fault));
        if !faults.is_empty() {
            return Ok(self.clone());
        }
        let place = circumstances.deployment;
        let secrets = merge_secrets(&self.secrets, &change.secrets, |name, value| {
            circumstances.sealing_key.seal(
                value,
                &format!("{place}/{name}"),
                circumstances.cx.random(),
            )
        });
        Ok(Self {
            spec: DeploySpec::from(&after),
            secrets,
        })
    }
}

/// Adds the faults of stored fields that the change does not mend: dropping such a field without a word would change what
/// runs.
fn still_outdated(after: &Spec, outdated: Faults, found: &mut Faults) {
    let default = json!(DeploySpec::from(&Spec::default()));
    let after = json!(DeploySpec::from(after));
    for fault in outdated {
        let field = field_of(&fault.pointer);
        // Variables go all together: whoever sets one has not mended the others.
        let is_left = field == "env_vars" || after[field] == default[field];
        if is_left && !found.has(&fault.pointer) {
            let detail = format!("is stored as something that {}", fault.detail);
            found.add_text(fault.pointer, detail);
        }
    }
}

/// A fault of the domain on the wire.
pub(crate) fn field_fault(fault: Fault) -> FieldFault {
    FieldFault {
        pointer: fault.pointer,
        detail: fault.detail.to_string(),
        r#in: None,
    }
}
