//! Variables of the platform that an option alone sets, since more hangs on it than the variable: the front's idea of who
//! asks, where sources may come from, which hosts are tenants'. Said in another way, half of the platform would go by it
//! and half not, so that is refused.

use std::collections::BTreeMap;

use anyhow::bail;

/// Such a variable, and what to do instead of giving it.
const SETTLED: [(&str, &str); 7] = [
    ("base_domain", "give --base-domain"),
    ("blob_url", "give --public-url"),
    ("denied_ports", "leave it out: the platform knows its ports"),
    (
        "git_access",
        "give --git-access, or leave it to --public-url and --trusted-proxies",
    ),
    ("platform_url", "give --public-url"),
    (
        "sidecar_url",
        "give --sidecar-url, or leave it out: the platform knows where its own sidecar is",
    ),
    ("trusted_proxies", "give --trusted-proxies"),
];

/// Those that say who may do what. A configuration that has another value for one of them was written for a platform
/// that is guarded in another way than this one.
const GUARDS: [&str; 2] = ["git_access", "trusted_proxies"];

/// Checks `--variable`.
///
/// # Errors
/// Each that an option has to say, with which.
pub(super) fn check_variables(given: &[(String, String)]) -> anyhow::Result<()> {
    let refused: Vec<String> = SETTLED
        .into_iter()
        .filter(|(name, _)| given.iter().any(|(given, _)| given == name))
        .map(|(name, remedy)| format!("--variable {name}=…: {remedy}"))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    bail!(
        "not everything is a variable of the platform's components alone:\n{}",
        refused.join("\n")
    )
}

/// Checks what a runtime configuration `has` against what is `used`: keys, addresses and options.
///
/// # Errors
/// Each guard that is to be another one than it is, with the option for it.
pub(super) fn check_configured(
    has: &BTreeMap<String, String>,
    used: &BTreeMap<String, String>,
) -> anyhow::Result<()> {
    let differs = |name: &str| {
        has.get(name)
            .is_some_and(|value| used.get(name) != Some(value))
    };
    let refused: Vec<String> = SETTLED
        .into_iter()
        .filter(|(name, _)| GUARDS.contains(name) && differs(name))
        .map(|(name, remedy)| format!("variable {name}: {remedy}"))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    bail!(
        "the runtime configuration, or an environment variable that it reads, has what `nokube up` takes from its \
         command line:\n{}",
        refused.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn what_an_option_settles_is_no_variable() {
        let given: Vec<_> = map(&[
            ("cors_origins", "https://a.example"),
            ("git_access", "local"),
            ("trusted_proxies", "10.0.0.1"),
        ])
        .into_iter()
        .collect();
        let error = check_variables(&given).unwrap_err().to_string();
        for named in [
            "--variable git_access=…: give --git-access",
            "--variable trusted_proxies=…: give --trusted-proxies",
        ] {
            assert!(error.contains(named), "{named} is missing: {error}");
        }
        assert!(!error.contains("cors_origins"), "{error}");
        check_variables(&given[..1]).unwrap();
    }

    #[test]
    fn a_configuration_for_a_platform_with_other_guards_is_refused() {
        let used = map(&[("trusted_proxies", ""), ("git_access", "local")]);
        for (name, value) in [("trusted_proxies", "10.0.0.1"), ("git_access", "public")] {
            let error = check_configured(&map(&[(name, value)]), &used).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        check_configured(&used, &used).unwrap();
        // Not used, which is told, and no guard.
        check_configured(&map(&[("platform_url", "http://x")]), &used).unwrap();
    }
}
