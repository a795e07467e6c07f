//! The sidecar's own look at a spec: it does not trust its callers (DESIGN.md, invariant 4).
//!
//! The rules are `nokube-domain`'s, the same that users' requests are held to.

use nokube_api::sidecar::AppSpec;
use nokube_domain::deploy::check_secrets;
use nokube_domain::{
    DeploymentId, Digest, DnsLabel, Environment, Faults, HostLabel, ProjectId, ServiceName, Slug,
};
use nokube_keys::SealingKey;

/// A sealed value is its nonce, tag and at most 32 KiB, in base64.
const MAX_SEALED_BYTES: usize = 64 << 10;
/// Image names are for people; nothing is made from them.
const MAX_IMAGE_NAME_BYTES: usize = 1024;

/// One thing that is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {detail}")]
pub struct SpecFault {
    /// JSON pointer (RFC 6901) into the spec.
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
}

/// Everything that is wrong with `app`; nothing when it can be given to a target.
#[must_use]
pub fn check_spec(app: &AppSpec) -> Vec<SpecFault> {
    let mut faults = Faults::default();
    faults.take("/deployment_id", DeploymentId::parse(&app.deployment_id));
    faults.take("/digest", Digest::parse(&app.digest));
    faults.take("/owner", DnsLabel::parse(&app.owner));
    faults.take("/project_id", ProjectId::from_i64(app.project_id));
    faults.take("/project", Slug::parse(&app.project));
    let service = faults.take("/service", ServiceName::parse(&app.service));
    let environment = faults.take("/environment", Environment::parse(&app.environment));
    if let (Some(service), Some(environment)) = (service, environment) {
        faults.take("/environment", HostLabel::new(&service, &environment));
    }
    if app.image_name.len() > MAX_IMAGE_NAME_BYTES {
        faults.add_text("/image_name", "is too long");
    }
    let mut secrets = Faults::default();
    check_secrets(
        app.sealed_secrets
            .iter()
            .map(|(name, sealed)| (name.as_str(), SealingKey::secret_bytes(sealed))),
        &app.spec.env_vars,
        &mut secrets,
    );
    if app
        .sealed_secrets
        .values()
        .any(|sealed| sealed.len() > MAX_SEALED_BYTES)
    {
        secrets.add_text("/secrets", "has a value that is too long");
    }
    // Host names of the platform are the target's to know.
    let spec = app.spec.validated(&[]).err().unwrap_or_default();
    let below_spec = |pointer: &str| format!("/spec{pointer}");
    let sealed = |pointer: &str| pointer.replacen("/secrets", "/sealed_secrets", 1);
    placed(&faults, str::to_owned)
        .chain(placed(&spec, below_spec))
        .chain(placed(&secrets, sealed))
        .collect()
}

fn placed(faults: &Faults, place: impl Fn(&str) -> String) -> impl Iterator<Item = SpecFault> {
    faults.iter().map(move |fault| SpecFault {
        pointer: place(&fault.pointer),
        detail: fault.detail.to_string(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An ordinary spec, the one of the HTTP tests.
    pub(crate) fn spec(generation: u64) -> AppSpec {
        let text = include_str!("../tests/http/spec.json")
            .replace("\"GENERATION\"", &generation.to_string());
        serde_json::from_str(&text).unwrap()
    }

    fn pointers(app: &AppSpec) -> Vec<String> {
        check_spec(app)
            .into_iter()
            .map(|fault| fault.pointer)
            .collect()
    }

    #[test]
    fn an_ordinary_spec_has_no_fault() {
        assert_eq!(check_spec(&spec(1)), []);
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let mut app = spec(1);
        app.deployment_id = "../../etc".into();
        app.owner = "Ada".into();
        app.project = "a/b".into();
        app.digest = "sha256:short".into();
        app.spec.memory_limit = "lots".into();
        app.spec.readiness_check_path = "health".into();
        app.spec.custom_domain = Some("10.0.0.1".into());
        app.spec.env_vars.insert("A=B".into(), String::new());
        let mut found = pointers(&app);
        found.sort();
        assert_eq!(
            found,
            [
                "/deployment_id",
                "/digest",
                "/owner",
                "/project",
                "/spec/custom_domain",
                "/spec/env_vars/A=B",
                "/spec/memory_limit",
                "/spec/readiness_check_path",
            ]
        );
    }

    #[test]
    fn a_host_name_that_does_not_fit_is_a_fault() {
        let mut app = spec(1);
        app.service = "s".repeat(40);
        app.environment = "e".repeat(30);
        assert_eq!(pointers(&app), ["/environment"]);
    }

    #[test]
    fn a_name_is_a_secret_or_a_variable() {
        let mut app = spec(1);
        app.spec.env_vars.insert("API_KEY".into(), "a".into());
        app.sealed_secrets.insert("api_key".into(), "b".into());
        assert_eq!(pointers(&app), ["/sealed_secrets/api_key"]);
        app.sealed_secrets = [("1x".to_owned(), String::new())].into();
        assert_eq!(pointers(&app), ["/sealed_secrets/1x"]);
    }
}
