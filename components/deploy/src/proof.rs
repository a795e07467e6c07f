//! Whose a custom domain is: a TXT record right below it says which project of this platform may have it. Administrators
//! need none.
//!
//! The DNS is asked before a transaction begins, since it may take seconds; what was found then is held against what the
//! transaction sees.

use nokube_domain::{ProjectId, challenge_name, check_custom_domain};
use nokube_guest::{Caller, Ctx, Error};
use nokube_keys::ProofKey;

use crate::settings::PlatformHosts;
use crate::sidecar::txt_records;

/// What is known of the domain that a request wants.
pub(crate) struct Proofs {
    key: ProofKey,
    project: Option<ProjectId>,
    /// The domain whose record was found.
    proven: Option<String>,
    /// The DNS did not say.
    unanswered: bool,
}

impl Proofs {
    /// Looks for the record of `wanted`, when going there from `present` needs one of this caller.
    pub(crate) async fn gather(
        cx: &Ctx,
        caller: &Caller,
        project: Option<ProjectId>,
        present: Option<&str>,
        wanted: Option<&str>,
    ) -> Result<Self, Error> {
        let mut proofs = Self {
            key: ProofKey::from_sealing_key(&cx.required_variable("sealing_key")?),
            project,
            proven: None,
            unanswered: false,
        };
        let hosts = PlatformHosts::from_variables(cx);
        let Some(domain) = wanted.filter(|_| needs_proof(&present, &wanted, caller)) else {
            return Ok(proofs);
        };
        let Some((name, value)) = proofs.record(domain) else {
            return Ok(proofs);
        };
        if check_custom_domain(domain, &hosts.names()).is_err() {
            return Ok(proofs);
        }
        match txt_records(cx, &name).await {
            Ok(records) if records.contains(&value) => proofs.proven = Some(domain.to_owned()),
            Ok(_) => {}
            Err(error) => {
                cx.log("warn", &format!("{name} cannot be looked up: {error}"));
                proofs.unanswered = true;
            }
        }
        Ok(proofs)
    }

    /// Whether the record of `domain` was there.
    pub(crate) fn proves(&self, domain: &str) -> bool {
        self.proven.as_deref() == Some(domain)
    }

    /// What to do to have `domain`, to follow the words "custom domain".
    pub(crate) fn wanting(&self, domain: &str) -> String {
        if self.project.is_none() {
            return "is not shown to be yours".to_owned();
        }
        let Some((name, value)) = self.record(domain) else {
            return "is too long to be shown to be yours; ask an administrator to set it"
                .to_owned();
        };
        let but = if self.unanswered {
            ", whose DNS did not answer"
        } else {
            ""
        };
        format!(
            "is not shown to be yours{but}: add the TXT record {name} with the value {value} and try again, or ask an \
             administrator to set it"
        )
    }

    /// Name and text of the record.
    fn record(&self, domain: &str) -> Option<(String, String)> {
        let name = challenge_name(domain)?;
        Some((name, self.key.of_domain(self.project?.0, domain)))
    }
}

/// Whether going from one custom domain to the other takes a proof of this caller: also by a rollback, since the domain
/// may be someone else's by now.
pub(crate) fn needs_proof<T: PartialEq>(
    before: &Option<T>,
    after: &Option<T>,
    caller: &Caller,
) -> bool {
    after.is_some() && after != before && !caller.is_admin()
}
