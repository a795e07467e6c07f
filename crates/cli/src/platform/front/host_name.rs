//! Host names as clients send them.

/// `<service>.<project>.<owner>`.
const TENANT_LABELS: usize = 3;

/// A host name without port and final dot, in lower case.
pub(crate) fn normalized(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        // The colons of a bare IPv6 address are inside brackets.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a (normalized) host is of the form that deployments have below `base_domain`.
pub(crate) fn is_of_a_tenant(host: &str, base_domain: &str) -> bool {
    host.strip_suffix(base_domain)
        .and_then(|rest| rest.strip_suffix('.'))
        .is_some_and(|labels| labels.split('.').count() == TENANT_LABELS)
}

#[cfg(test)]
mod fuzzing;
