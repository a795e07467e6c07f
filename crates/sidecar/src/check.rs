//! The sidecar's own look at a spec: it does not trust its callers (DESIGN.md, invariant 4).
//!
//! The rules are `nokube-domain`'s, the same that users' requests are held to. Each spec is looked at by itself: that no
//! two deployments have one custom domain, and whose a domain is, are the platform's to know (`deploy`).

use nokube_api::sidecar::{AppSpec, ArtifactKind};
use nokube_domain::build::ImageReference;
use nokube_domain::deploy::check_secrets;
use nokube_domain::{
    ContainerImage, DeploymentId, Digest, DnsLabel, Environment, Faults, HostLabel, Invalid,
    Namespace, ProjectId, ServiceName, Slug,
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
    let names_digest = !app.digest.is_empty();
    match app.artifact {
        ArtifactKind::Container => {
            faults.take("/image_name", container_image(&app.image_name));
        }
        ArtifactKind::Spin => {}
    }
    // Of a container image the tag may be all that is known.
    if names_digest || app.artifact == ArtifactKind::Spin {
        faults.take("/digest", Digest::parse(&app.digest));
    }
    // A platform of before recorded none.
    if !app.namespace.is_empty() {
        faults.take("/namespace", Namespace::parse(&app.namespace));
    }
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

/// A container image in the one spelling that the platform gives it.
fn container_image(name: &str) -> Result<(), Invalid> {
    let image = ImageReference::parse(name)
        .and_then(|reference| ContainerImage::from_reference(&reference));
    match image {
        Ok(image) if image.full_name() == name || image.repository() == name => Ok(()),
        Ok(_) => Err(Invalid::new("is not the image's whole name")),
        Err(fault) => Err(Invalid::from(fault.to_string())),
    }
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

    #[test]
    fn a_namespace_of_the_cluster_itself_is_a_fault_and_none_is_not() {
        let mut app = spec(1);
        for (name, faults) in [
            ("", &[][..]),
            ("shop-production", &[]),
            ("kube-system", &["/namespace"]),
            ("default", &["/namespace"]),
            ("a/../b", &["/namespace"]),
        ] {
            app.namespace = name.to_owned();
            assert_eq!(pointers(&app), faults, "{name}");
        }
    }

    #[test]
    fn a_container_image_has_a_whole_name_and_may_have_no_digest() {
        let mut app = spec(1);
        app.artifact = ArtifactKind::Container;
        let digest = std::mem::take(&mut app.digest);
        for (name, faults) in [
            ("docker.io/library/nginx:1.27", &[][..]),
            ("docker.io/library/nginx", &[]),
            ("nginx", &["/image_name"]),
            ("x; rm -rf /", &["/image_name"]),
            ("ghcr.io/../a:1", &["/image_name"]),
        ] {
            app.image_name = name.to_owned();
            assert_eq!(pointers(&app), faults, "{name}");
        }
        app.image_name = "docker.io/library/nginx".to_owned();
        app.digest = "sha256:short".to_owned();
        assert_eq!(pointers(&app), ["/digest"]);
        app.digest = digest;
        assert_eq!(pointers(&app), [""; 0]);
        // A Spin application is known by its digest alone.
        app.artifact = ArtifactKind::Spin;
        app.digest = String::new();
        assert_eq!(pointers(&app), ["/digest"]);
    }
}
