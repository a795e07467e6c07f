//! From what is and what a request says to the next revision.

use std::collections::BTreeMap;

use nokube_api::spec::DeploySpec;
use nokube_domain::DeploymentId;
use nokube_domain::deploy::{Spec, check_secrets, merge_secrets};
use nokube_domain::{Fault, Faults};
use nokube_guest::{Caller, Ctx, Error, FieldFault};
use nokube_keys::SealingKey;

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
        // What is stored was valid when it was stored, under the hosts of that day.
        let before = self
            .spec
            .validated(&[])
            .map_err(|_| Error::Contradiction("a stored configuration is not valid"))?;
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
        if needs_admin(
            &before.custom_domain,
            &after.custom_domain,
            circumstances.caller,
        ) && !found.has("/custom_domain")
        {
            found.add_text("/custom_domain", format!("can be {FOR_ADMINISTRATORS}"));
        }
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

/// Who may set a custom domain.
pub(crate) const FOR_ADMINISTRATORS: &str =
    "set by an administrator only, since this platform cannot check whose domain it is";

/// Whether going from one custom domain to the other is not for this caller: also by a rollback, since
/// the domain may be someone else's by now.
pub(crate) fn needs_admin<T: PartialEq>(
    before: &Option<T>,
    after: &Option<T>,
    caller: &Caller,
) -> bool {
    after.is_some() && after != before && !caller.is_admin()
}

/// A fault of the domain on the wire.
pub(crate) fn field_fault(fault: Fault) -> FieldFault {
    FieldFault {
        pointer: fault.pointer,
        detail: fault.detail.to_string(),
        r#in: None,
    }
}
