//! What must hold whatever strangers send: for `cargo xtask fuzz`, and for its corpora as ordinary tests.

use super::{is_of_a_tenant, normalized};

const BASE: &str = "apps.example.com";

/// The host of a request.
pub(crate) fn hosts(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    let host = normalized(text);
    assert!(!host.ends_with('.') && !host.contains(|c: char| c.is_ascii_uppercase()));
    if !host.contains(':') {
        assert_eq!(normalized(&host), host, "one host, one name");
        for other in [
            format!("{host}:8080"),
            format!("{host}."),
            host.to_ascii_uppercase(),
        ] {
            assert_eq!(
                normalized(&other),
                normalized(&other.to_ascii_lowercase()),
                "{other}"
            );
        }
        assert_eq!(normalized(&format!("{host}.:80")), host);
    }
    if is_of_a_tenant(&host, BASE) {
        assert!(host.ends_with(".apps.example.com"), "{host}");
        assert!(!is_of_a_tenant(BASE, &host), "{host}");
        let name = host.strip_suffix(".apps.example.com").unwrap_or_default();
        assert!(name.matches('.').count() == 2, "{host}");
        // Neither the platform's own name nor one beside it.
        assert!(host != BASE && !is_of_a_tenant(name, BASE));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_of_hosts_holds() {
        nokube_corpus::replay("hosts", super::hosts);
    }
}
