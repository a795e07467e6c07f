//! Addresses, branches and commits: what is taken, and what could be mistaken for an option.

use super::*;

const LOCAL: AddressPolicy<'static> = AddressPolicy {
    access: GitAccess::Local,
    denied_ports: &[3000, 3001],
};
const PUBLIC: AddressPolicy<'static> = AddressPolicy {
    access: GitAccess::Public,
    denied_ports: &[3000],
};

fn refused(text: &str, policy: &AddressPolicy<'_>) -> RepositoryUrlError {
    RepositoryUrl::parse(text, policy).expect_err(text)
}

#[test]
fn ordinary_addresses_are_accepted_and_normalised() {
    for (given, kept) in [
        (
            "https://git.example.org/team/app.git",
            "https://git.example.org/team/app.git",
        ),
        (
            " HTTPS://Git.Example.ORG:443/app ",
            "https://git.example.org/app",
        ),
        ("http://203.0.113.80/x.git", "http://203.0.113.80/x.git"),
    ] {
        assert_eq!(
            RepositoryUrl::parse(given, &PUBLIC).expect(given).as_str(),
            kept
        );
    }
    assert!(
        RepositoryUrl::parse("file:///srv/git/app.git", &LOCAL)
            .expect("local")
            .is_file()
    );
    assert!(RepositoryUrl::parse("http://127.0.0.1:8080/x.git", &LOCAL).is_ok());
    assert!(RepositoryUrl::parse("http://localhost:8080/x.git", &LOCAL).is_ok());
}

#[test]
fn options_and_other_transports_are_refused() {
    use RepositoryUrlError as E;
    assert_eq!(refused("--upload-pack=touch /tmp/x", &LOCAL), E::Option);
    assert_eq!(refused("ext::sh -c id", &LOCAL), E::Characters);
    assert_eq!(refused("ext::sh", &LOCAL), E::TransportHelper);
    assert_eq!(refused("ext::http://x/y", &LOCAL), E::TransportHelper);
    assert_eq!(refused("git@github.com:a/b.git", &LOCAL), E::ScpForm);
    assert_eq!(refused("ssh://git@host/x", &LOCAL), E::Scheme("ssh".into()));
    assert_eq!(refused("git://host/x", &LOCAL), E::Scheme("git".into()));
    assert_eq!(refused("/srv/git/app.git", &LOCAL), E::NoScheme);
    assert_eq!(
        refused("file:///srv/git/app.git", &PUBLIC),
        E::FileNotAllowed
    );
    assert_eq!(refused("file://host/srv", &LOCAL), E::FilePath);
    assert_eq!(refused("https://u:p@host/x", &LOCAL), E::UserInfo);
    assert_eq!(refused("https://host/x?y", &LOCAL), E::QueryOrFragment);
    assert_eq!(refused("https://host/a\nb", &LOCAL), E::Characters);
    assert_eq!(refused("", &LOCAL), E::Empty);
}

#[test]
fn own_ports_link_local_and_metadata_addresses_are_refused_everywhere() {
    for text in [
        "http://127.0.0.1:3000/x",
        "http://localhost:3001/x",
        "http://a.localhost:3000/x",
        "http://[::1]:3000/x",
        "http://0x7f.1:3000/x",
        "http://2130706433:3000/x",
        "http://[::ffff:127.0.0.1]:3000/x",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/x",
        "http://[fd00:ec2::254]/x",
        "http://[::ffff:169.254.169.254]/x",
        "http://[64:ff9b::a9fe:a9fe]/x",
        "http://[::ffff:0:a9fe:a9fe]/x",
        "http://0.0.0.0/x",
        "http://[::]/x",
        "http://224.0.0.1/x",
        "http://255.255.255.255/x",
        "http://100.100.100.200/x",
    ] {
        assert!(
            matches!(refused(text, &LOCAL), RepositoryUrlError::Address(_)),
            "{text}"
        );
    }
}

#[test]
fn private_addresses_are_refused_on_a_public_platform_only() {
    for text in [
        "http://10.1.2.3/x",
        "http://192.168.1.1/x",
        "http://172.31.0.1/x",
        "http://127.0.0.1:8080/x",
        "http://[fd12::1]/x",
        "http://localhost/x",
    ] {
        assert!(
            matches!(
                refused(text, &PUBLIC),
                RepositoryUrlError::Address(AddressRefusal::Private(_))
            ),
            "{text}"
        );
        assert!(RepositoryUrl::parse(text, &LOCAL).is_ok(), "{text}");
    }
}

#[test]
fn addresses_are_public_or_not_as_the_common_table_says() {
    for line in include_str!("addresses.txt").lines() {
        let Some((kind, address)) = line.split_once(' ').filter(|(kind, _)| *kind != "#") else {
            continue;
        };
        let address: IpAddr = address.parse().expect(line);
        let is_public = classify(address) == AddressKind::Public;
        assert_eq!(is_public, kind == "public", "{line}");
        assert_eq!(
            PUBLIC.check(address, 443, false).is_ok(),
            is_public,
            "{line}"
        );
    }
}

#[test]
fn a_denied_port_matters_on_own_addresses_alone() {
    let address = IpAddr::from([203, 0, 113, 9]);
    assert!(LOCAL.check(address, 3000, false).is_ok());
    assert_eq!(
        LOCAL.check(address, 3000, true),
        Err(AddressRefusal::OwnPort(address, 3000))
    );
}

#[test]
fn branch_names_follow_gits_rules() {
    for good in ["main", "feature/x-1", "v1.2.3", "é"] {
        assert!(BranchName::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "", "-x", "a..b", "a b", "a~1", "a^", "a:b", ".a", "a/.b", "a.lock", "a.lock/b", "a/",
        "/a", "a//b", "@", "HEAD", "a@{1}", "a\\b", "x\u{7}",
    ] {
        assert!(BranchName::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn commit_ids_are_full_and_lower_case() {
    assert_eq!(
        CommitId::parse(&"A".repeat(40)).expect("40").as_str(),
        "a".repeat(40)
    );
    assert!(CommitId::parse(&"a".repeat(64)).is_ok());
    for bad in ["abc", "HEAD", &"g".repeat(40), &"a".repeat(41)] {
        assert!(CommitId::parse(bad).is_err(), "{bad}");
    }
}
