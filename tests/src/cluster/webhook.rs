//! A validating webhook that denies what it is asked about, over TLS as the API server demands.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::kube::Kube;

const CONFIGURATIONS: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// A running webhook; gone when dropped. Its configuration stays until [`Webhook::allow`].
pub struct Webhook {
    kube: Kube,
    name: String,
    asked: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Webhook {
    /// Denies every change of `resources` of the group `apps` in one namespace with these words.
    ///
    /// # Panics
    /// When it cannot be set up.
    pub async fn deny(kube: Kube, namespace: &str, resources: &[&str], words: &str) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the default protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into())
            .expect("the key is the certificate's");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let asked = Arc::new(AtomicU32::new(0));
        let task = tokio::spawn(serve(
            listener,
            acceptor,
            Arc::clone(&asked),
            words.to_owned(),
        ));
        let name = format!("{namespace}.tests.nokube.dev");
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": name },
            "webhooks": [{
                "name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "failurePolicy": "Fail", "timeoutSeconds": 5,
                "clientConfig": { "url": format!("https://{address}/"), "caBundle": base64(&cert.pem()) },
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
                "rules": [{
                    "apiGroups": ["apps"], "apiVersions": ["*"], "resources": resources,
                    "operations": ["CREATE", "UPDATE"],
                }],
            }],
        });
        let _ = kube
            .create(CONFIGURATIONS, &configuration)
            .await
            .expect(CONFIGURATIONS);
        Self {
            kube,
            name,
            asked,
            task,
        }
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Takes it out of the way.
    ///
    /// # Panics
    /// When the API server keeps it.
    pub async fn allow(self) {
        let path = format!("{CONFIGURATIONS}/{}", self.name);
        let _ = self.kube.delete(&path).await.expect(&path);
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, asked: Arc<AtomicU32>, words: String) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, asked, words) = (acceptor.clone(), Arc::clone(&asked), words.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request| {
                asked.fetch_add(1, Ordering::Relaxed);
                deny(request, words.clone())
            });
            // The API server closes connections when it likes.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn deny(
    request: Request<Incoming>,
    words: String,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "response": {
            "uid": review["request"]["uid"], "allowed": false,
            "status": { "code": 403, "message": words },
        },
    });
    let body = Full::new(Bytes::from(answer.to_string()));
    let mut response = Response::new(body);
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    Ok(response)
}

pub(super) fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
