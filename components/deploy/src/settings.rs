//! The component's variables.

use nokube_guest::{Ctx, Error};
use nokube_keys::SealingKey;
use url::Url;

/// The base domain when the operator sets none (RFC 6761: names below it are this machine).
const DEFAULT_BASE_DOMAIN: &str = "localhost";

/// Host names that are the platform's: no deployment may have one as its own.
pub(crate) struct PlatformHosts(Vec<String>);

impl PlatformHosts {
    /// The host of `platform_url` and the `base_domain`.
    pub(crate) fn from_variables(cx: &Ctx) -> Self {
        let base_domain = cx
            .variable("base_domain")
            .unwrap_or_else(|| DEFAULT_BASE_DOMAIN.to_owned());
        let public = cx
            .variable("platform_url")
            .and_then(|url| Url::parse(&url).ok())
            .and_then(|url| url.host_str().map(str::to_owned));
        let mut hosts = vec![base_domain.trim_matches('.').to_ascii_lowercase()];
        hosts.extend(public);
        Self(hosts)
    }

    /// Each of them.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

/// `keep_revisions`: how many of a deployment's revisions are kept, and can be rolled back to.
pub(crate) fn keep_revisions(cx: &Ctx) -> Result<u64, Error> {
    Ok(cx.number_variable("keep_revisions", 20)?.max(1))
}

/// `max_deployments_per_project`.
pub(crate) fn max_deployments(cx: &Ctx) -> Result<u64, Error> {
    cx.number_variable("max_deployments_per_project", 50)
}

/// `sealing_key`.
pub(crate) fn sealing_key(cx: &Ctx) -> Result<SealingKey, Error> {
    SealingKey::from_base64(&cx.required_variable("sealing_key")?)
        .map_err(|_| Error::Configuration("sealing_key"))
}

/// `container_images`: whether images that no build of ours made can be deployed, which takes a target that runs
/// containers.
pub(crate) fn container_images(cx: &Ctx) -> Result<bool, Error> {
    match cx.variable("container_images").as_deref().map(str::trim) {
        Some("allowed") => Ok(true),
        None | Some("none") => Ok(false),
        Some(_) => Err(Error::Configuration("container_images")),
    }
}

/// `reserved_namespaces`: names that no environment gets, since the cluster has them for something else; separated by
/// commas.
pub(crate) fn reserved_namespaces(cx: &Ctx) -> Vec<String> {
    let listed = cx.variable("reserved_namespaces").unwrap_or_default();
    let names = listed.split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
