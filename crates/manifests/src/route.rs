//! How requests come in from outside: a route at a gateway, or an ingress.

use std::net::IpAddr;

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule,
    IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};
use nokube_api::sidecar::{AppSpec, ArtifactKind};
use nokube_domain::deploy::Exposure;
use serde::Serialize;
use serde_json::{Value, json};

use crate::app::{App, platform_host};
use crate::labels::pairs;
use crate::object::{CustomKind, Object};
use crate::service::SPIN_PORT;
use crate::settings::{Edge, Settings};

const GATEWAY_API: &str = "gateway.networking.k8s.io";
const HTTP_ROUTE: CustomKind = CustomKind {
    api_version: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    plural: "httproutes",
};
/// cert-manager reads it from an Ingress and makes the certificate.
const ISSUER: &str = "cert-manager.io/cluster-issuer";
const WHOLE_SITE: &str = "/";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteSpec<'a> {
    parent_refs: Vec<ParentRef<'a>>,
    hostnames: &'a [String],
    rules: Vec<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ParentRef<'a> {
    group: &'static str,
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    section_name: Option<&'a str>,
}

/// The `Secret` of an ingress' certificate, which cert-manager makes.
pub(crate) fn certificate_secret(service: &str) -> String {
    format!("{service}.tls")
}

pub(crate) fn objects(app: &App<'_>) -> Vec<Object> {
    if app.hosts.is_empty() {
        return Vec::new();
    }
    match &app.settings.edge {
        Edge::Gateway {
            name,
            namespace,
            section,
            https_section,
        } => {
            let at = |section| parent(name, namespace, section);
            match https_section.as_ref().filter(|_| app.spec.enable_https) {
                Some(https) => {
                    let plain = section.as_ref().map(|section| at(Some(section)));
                    let served = route(app, app.name().to_owned(), at(Some(https)), served(app));
                    let redirected = plain.map(|plain| {
                        route(app, format!("{}.redirect", app.name()), plain, redirect())
                    });
                    [Some(served), redirected].into_iter().flatten().collect()
                }
                None => {
                    let parent = at(section.as_ref());
                    vec![route(app, app.name().to_owned(), parent, served(app))]
                }
            }
        }
        Edge::Ingress { class } => vec![ingress(app, class)],
        Edge::None => Vec::new(),
    }
}

fn parent<'a>(name: &'a str, namespace: &'a str, section: Option<&'a String>) -> ParentRef<'a> {
    ParentRef {
        group: GATEWAY_API,
        kind: "Gateway",
        namespace,
        name,
        section_name: section.map(String::as_str),
    }
}

fn route(app: &App<'_>, name: String, parent: ParentRef<'_>, rule: Value) -> Object {
    let spec = RouteSpec {
        parent_refs: vec![parent],
        hostnames: &app.hosts,
        rules: vec![rule],
    };
    Object::custom(&HTTP_ROUTE, &app.meta(name), &spec)
}

/// What is below the path goes to the application, with the path as it came.
fn served(app: &App<'_>) -> Value {
    json!({
        "matches": [{ "path": { "type": "PathPrefix", "value": prefix(app) } }],
        "backendRefs": [{ "name": app.name(), "port": app.served_on() }],
    })
}

fn redirect() -> Value {
    json!({
        "filters": [{
            "type": "RequestRedirect",
            "requestRedirect": { "scheme": "https", "statusCode": 301 },
        }],
    })
}

fn prefix<'a>(app: &'a App<'_>) -> &'a str {
    app.spec.custom_path.as_deref().unwrap_or(WHOLE_SITE)
}

fn ingress(app: &App<'_>, class: &str) -> Object {
    let mut metadata = app.meta(app.name());
    let issuer = app.settings.certificate_issuer.as_ref();
    let tls = app.spec.enable_https.then(|| {
        vec![IngressTLS {
            hosts: Some(app.hosts.clone()),
            // Without an issuer it is the controller's own certificate.
            secret_name: issuer.map(|_| certificate_secret(app.name())),
        }]
    });
    if let Some(issuer) = issuer.filter(|_| app.spec.enable_https) {
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.extend(pairs([(ISSUER, issuer.clone())]));
    }
    let backend = IngressBackend {
        service: Some(IngressServiceBackend {
            name: app.name().to_owned(),
            port: Some(ServiceBackendPort {
                number: Some(i32::from(app.served_on())),
                ..ServiceBackendPort::default()
            }),
        }),
        ..IngressBackend::default()
    };
    let rule = |host: &String| IngressRule {
        host: Some(host.clone()),
        http: Some(HTTPIngressRuleValue {
            paths: vec![HTTPIngressPath {
                path: Some(prefix(app).to_owned()),
                path_type: "Prefix".to_owned(),
                backend: backend.clone(),
            }],
        }),
    };
    let ingress = Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: Some(class.to_owned()),
            rules: Some(app.hosts.iter().map(rule).collect()),
            tls,
            ..IngressSpec::default()
        }),
        ..Ingress::default()
    };
    Object::of(&ingress)
}

/// Where a deployment answers. See [`crate::access_url`].
pub(crate) fn access_url(
    app: &AppSpec,
    settings: &Settings,
    node_port: Option<u16>,
) -> Option<String> {
    let spec = &app.spec;
    let has_edge = settings.edge != Edge::None;
    match Exposure::parse(&spec.exposure_type)? {
        Exposure::None => None,
        Exposure::NodePort => {
            let address = settings.node_address.as_deref()?;
            let host = match address.parse() {
                Ok(IpAddr::V6(address)) => format!("[{address}]"),
                _ => address.to_owned(),
            };
            Some(format!("http://{host}:{}/", node_port?))
        }
        Exposure::External if has_edge => {
            let scheme = if spec.enable_https && serves_https(settings) {
                "https"
            } else {
                "http"
            };
            let path = spec.custom_path.as_deref().unwrap_or(WHOLE_SITE);
            Some(format!(
                "{scheme}://{}{path}",
                platform_host(app, settings)?
            ))
        }
        Exposure::External | Exposure::Internal => {
            let port = match app.artifact {
                ArtifactKind::Spin => SPIN_PORT,
                ArtifactKind::Container => spec.service_port,
            };
            let host = format!("{}.{}.svc", app.service, app.namespace);
            Some(match port {
                80 => format!("http://{host}/"),
                port => format!("http://{host}:{port}/"),
            })
        }
    }
}

fn serves_https(settings: &Settings) -> bool {
    match &settings.edge {
        Edge::Gateway { https_section, .. } => https_section.is_some(),
        Edge::Ingress { .. } => true,
        Edge::None => false,
    }
}
