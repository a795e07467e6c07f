//! A name and a port within the cluster, and a port of every node.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nokube_domain::deploy::Exposure;

use crate::app::{App, NODE_PORT_SUFFIX};
use crate::object::Object;

/// What SpinKube's operator has every Spin application listen on, and what its `Service` has.
pub(crate) const SPIN_PORT: u16 = 80;
/// The operator's name for that port of a pod.
const SPIN_PORT_NAME: &str = "http-app";
/// Our name for a container's.
pub(crate) const PORT_NAME: &str = "http";

impl App<'_> {
    /// The port its pods are reached at.
    pub(crate) fn listens_on(&self) -> u16 {
        if self.is_spin() {
            SPIN_PORT
        } else {
            self.spec.container_port
        }
    }

    /// The port its `Service` is reached at. That of a Spin application is the operator's to make.
    pub(crate) fn served_on(&self) -> u16 {
        if self.is_spin() {
            SPIN_PORT
        } else {
            self.spec.service_port
        }
    }
}

/// The `Service` that is ours to make: a container's, and a Spin application's port of every node.
pub(crate) fn object(app: &App<'_>) -> Option<Object> {
    let by_node = app.spec.exposure_type == Exposure::NodePort;
    let (name, target) = match (app.is_spin(), by_node) {
        (true, false) => return None,
        (true, true) => (format!("{}{NODE_PORT_SUFFIX}", app.name()), SPIN_PORT_NAME),
        (false, _) => (app.name().to_owned(), PORT_NAME),
    };
    if !app.is_exposed() {
        return None;
    }
    let port = ServicePort {
        name: Some(PORT_NAME.to_owned()),
        protocol: Some("TCP".to_owned()),
        port: i32::from(app.served_on()),
        target_port: Some(IntOrString::String(target.to_owned())),
        ..ServicePort::default()
    };
    let service = Service {
        metadata: app.meta(name),
        spec: Some(ServiceSpec {
            type_: Some(if by_node { "NodePort" } else { "ClusterIP" }.to_owned()),
            selector: Some(app.selector()),
            ports: Some(vec![port]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    };
    Some(Object::of(&service))
}
