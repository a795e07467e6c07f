//! The names deployments answer on.

use nokube_api::sidecar::AppSpec;
use nokube_domain::{Environment, HostLabel, ServiceName, check_custom_domain};

use crate::platform::front::hosts::Reach;

/// HTTP's own port needs no mention.
const HTTP_PORT: u16 = 80;

/// How deployments are addressed on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    /// Below it are all hosts of deployments.
    pub(crate) base_domain: String,
    /// The public listener's port.
    pub(crate) port: u16,
    /// Hosts the platform itself answers on: no deployment's custom domain.
    pub(crate) platform_hosts: Vec<String>,
}

impl Addresses {
    /// The hosts of a deployment: none when it is not exposed.
    ///
    /// # Errors
    /// Why one of them cannot be, for the deployment's owner.
    pub(super) fn hosts(&self, app: &AppSpec) -> Result<Vec<String>, String> {
        if app.spec.exposure_type == "none" {
            return Ok(Vec::new());
        }
        let mut hosts = vec![self.host(app)?];
        if let Some(domain) = &app.spec.custom_domain {
            let platform: Vec<&str> = self
                .platform_hosts
                .iter()
                .map(String::as_str)
                .chain([self.base_domain.as_str()])
                .collect();
            check_custom_domain(domain, &platform)
                .map_err(|fault| format!("the custom domain {fault}"))?;
            hosts.push(domain.clone());
        }
        Ok(hosts)
    }

    /// Where a deployment answers, when it is exposed.
    pub(super) fn url(&self, app: &AppSpec) -> Option<String> {
        if app.spec.exposure_type == "none" {
            return None;
        }
        let host = self.host(app).ok()?;
        Some(if self.port == HTTP_PORT {
            format!("http://{host}/")
        } else {
            format!("http://{host}:{}/", self.port)
        })
    }

    fn host(&self, app: &AppSpec) -> Result<String, String> {
        let service = ServiceName::parse(&app.service).map_err(|fault| fault.to_string())?;
        let environment =
            Environment::parse(&app.environment).map_err(|fault| fault.to_string())?;
        let label = HostLabel::new(&service, &environment).map_err(|fault| fault.to_string())?;
        Ok(format!(
            "{}.{}.{}.{}",
            label.as_str(),
            app.project,
            app.owner,
            self.base_domain
        ))
    }
}

/// Who may reach a deployment.
pub(super) fn reach(app: &AppSpec) -> Reach {
    if app.spec.exposure_type == "internal" {
        Reach::Machine
    } else {
        Reach::All
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An ordinary spec, the one of the sidecar's tests.
    pub(crate) fn spec() -> AppSpec {
        let text = include_str!("../../../../sidecar/tests/http/spec.json");
        serde_json::from_str(&text.replace("\"GENERATION\"", "1")).unwrap()
    }

    fn addresses(port: u16) -> Addresses {
        Addresses {
            base_domain: "apps.example.org".into(),
            port,
            platform_hosts: vec!["nokube.example.org".into()],
        }
    }

    #[test]
    fn production_answers_without_its_name_and_others_with_theirs() {
        let mut app = spec();
        assert_eq!(
            addresses(80).url(&app).as_deref(),
            Some("http://api.shop.ada.apps.example.org/")
        );
        app.environment = "recette".into();
        assert_eq!(
            addresses(3000).url(&app).as_deref(),
            Some("http://api-recette.shop.ada.apps.example.org:3000/")
        );
    }

    #[test]
    fn a_custom_domain_is_a_host_beside_and_never_one_of_the_platforms() {
        let mut app = spec();
        app.spec.custom_domain = Some("www.example.com".into());
        assert_eq!(
            addresses(80).hosts(&app),
            Ok(vec![
                "api.shop.ada.apps.example.org".to_owned(),
                "www.example.com".to_owned()
            ])
        );
        for taken in [
            "nokube.example.org",
            "web.shop.eve.apps.example.org",
            "example.org",
        ] {
            app.spec.custom_domain = Some(taken.into());
            assert!(addresses(80).hosts(&app).is_err(), "{taken}");
        }
    }

    #[test]
    fn what_is_not_exposed_has_no_host() {
        let mut app = spec();
        app.spec.exposure_type = "none".into();
        assert_eq!(addresses(80).hosts(&app), Ok(Vec::new()));
        assert_eq!(addresses(80).url(&app), None);
    }
}
