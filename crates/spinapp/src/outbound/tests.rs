//! Patterns of outbound hosts.

use proptest::prelude::*;

use super::*;

fn allowed(entries: &[&str]) -> AllowedHosts {
    AllowedHosts::parse(entries, |_| None::<String>, &["first", "second"]).unwrap()
}

#[test]
fn nothing_is_allowed_by_default() {
    assert!(!AllowedHosts::default().allows("https", "example.com", None));
}

#[test]
fn a_host_is_allowed_on_its_scheme_and_port_only() {
    let hosts = allowed(&["https://example.com", "http://example.com:8080"]);
    assert!(hosts.allows("https", "example.com", None));
    assert!(hosts.allows("https", "EXAMPLE.com", Some(443)));
    assert!(hosts.allows("http", "example.com", Some(8080)));
    assert!(!hosts.allows("http", "example.com", None));
    assert!(!hosts.allows("https", "example.com", Some(8443)));
    assert!(!hosts.allows("https", "a.example.com", None));
    assert!(!hosts.allows("https", "example.com.evil.org", None));
}

#[test]
fn wildcards_stand_for_scheme_host_port_and_subdomains() {
    assert!(allowed(&["*://*:*"]).allows("redis", "anything", Some(1)));
    let hosts = allowed(&["http://*.Example.com:8000..9000"]);
    assert!(hosts.allows("http", "a.b.example.com", Some(8999)));
    assert!(!hosts.allows("http", "a.example.com", Some(9000)));
    assert!(!hosts.allows("http", "example.com", Some(8000)));
    assert!(!hosts.allows("http", "notexample.com", Some(8000)));
}

#[test]
fn address_ranges_match_addresses_only() {
    let hosts = allowed(&[
        "*://10.1.2.3/16:80",
        "http://2001:db8::/32",
        "http://0.0.0.0/0:1",
    ]);
    assert!(hosts.allows("http", "10.1.255.1", Some(80)));
    assert!(!hosts.allows("http", "10.2.0.1", Some(80)));
    assert!(hosts.allows("http", "[2001:db8:1::1]", None));
    assert!(!hosts.allows("http", "[2001:db9::1]", None));
    assert!(hosts.allows("http", "200.1.1.1", Some(1)));
    assert!(!hosts.allows("http", "example.com", Some(1)));
}

#[test]
fn self_is_the_application() {
    for entry in ["http://self", "http://self.alt", "http://*"] {
        assert!(allowed(&[entry]).allows_self("http"), "{entry}");
        assert!(!allowed(&[entry]).allows_self("https"), "{entry}");
    }
    assert!(!allowed(&["http://self"]).allows("http", "self", None));
}

#[test]
fn chaining_wildcards_stand_for_the_components() {
    let hosts = allowed(&["http://*.spin.internal"]);
    assert!(hosts.allows("http", "first.spin.internal", None));
    assert!(!hosts.allows("http", "third.spin.internal", None));
    assert!(
        hosts
            .patterns()
            .iter()
            .all(HostPattern::is_for_service_chaining)
    );
    assert_eq!(service_chaining_component("api.spin.internal"), Some("api"));
    assert_eq!(
        service_chaining_component("api.spin.internal:80"),
        Some("api")
    );
    assert_eq!(service_chaining_component("a.b.spin.internal"), None);
    assert_eq!(service_chaining_component("spin.internal"), None);
}

#[test]
fn templates_are_filled_in_and_may_become_nothing() {
    let value = |name: &str| match name {
        "host" => Some("db.example.com"),
        "none" => Some(""),
        _ => None,
    };
    let entries = ["postgres://{{ host }}", "https://{{ none }}", "{{ none }}"];
    let hosts = AllowedHosts::parse(&entries, value, &[]).unwrap();
    assert_eq!(hosts.patterns().len(), 1);
    assert!(hosts.allows("postgres", "db.example.com", Some(5432)));
    let missing = AllowedHosts::parse(&["http://{{ other }}"], value, &[]);
    assert!(matches!(missing, Err(HostError::Template(_))));
}

#[test]
fn templates_are_checked_with_the_defaults() {
    let default = |name: &str| match name {
        "good" => Some(Some("example.com")),
        "bad" => Some(Some("no host!")),
        "required" => Some(None),
        _ => None,
    };
    assert!(check_host_template("http://{{ good }}", default).is_ok());
    assert!(check_host_template("http://{{ bad }}", default).is_err());
    assert!(check_host_template("http://{{ required }}", default).is_ok());
    assert!(check_host_template("http://{{ unknown }}", default).is_err());
}

#[test]
fn entries_that_spin_refuses_are_refused() {
    for bad in [
        "",
        "*",
        ":",
        "example.com",
        "example.com:80",
        "://example.com",
        "h2c-x://example.com",
        "tcp://example.com",
        "http://example.com/path",
        "http://example.com:80/path",
        "http://example.com//",
        "http://example.com:notaport",
        "http://example.com:99999",
        "http://example.com:80..",
        "http://example.com:80:90",
        "http://*.",
        "http://*.*.example.com",
        "http://a*.example.com",
        "http://*.127.0.0.1",
        "http://[::1",
        "http://[::1]/foo",
        "http://{a,b}",
        "http://127.0.0.0/24/p",
        "insecure:allow-all",
    ] {
        assert!(HostPattern::parse(bad).is_err(), "{bad}");
    }
    for good in [
        "https://my.api.com/",
        "http://[::1]",
        "http://[::1]:8080/",
        "http://2001:db8::/32:443",
        "*://localhost:*",
        " http://example.com ",
    ] {
        assert!(HostPattern::parse(good).is_ok(), "{good}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,40}") {
        let _ = HostPattern::parse(&text);
    }

    #[test]
    fn an_exact_host_allows_itself_and_no_other(
        host in "[a-z]{1,8}\\.[a-z]{2,5}",
        other in "[a-z]{1,8}\\.[a-z]{2,5}",
        port in 1u16..,
        other_port in 1u16..,
    ) {
        let pattern = HostPattern::parse(&format!("http://{host}:{port}")).unwrap();
        prop_assert!(pattern.allows("http", &host, Some(port)));
        prop_assert_eq!(pattern.allows("http", &other, Some(port)), host == other);
        prop_assert_eq!(pattern.allows("http", &host, Some(other_port)), port == other_port);
    }

    #[test]
    fn a_range_holds_what_shares_its_prefix(address: u32, other: u32, prefix in 0u8..=32) {
        let own = std::net::Ipv4Addr::from_bits(address);
        let ip = std::net::Ipv4Addr::from_bits(other);
        let pattern = HostPattern::parse(&format!("http://{own}/{prefix}")).unwrap();
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        prop_assert_eq!(
            pattern.allows("http", &ip.to_string(), None),
            address & mask == other & mask
        );
    }
}
