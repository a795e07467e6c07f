//! The life of a build and the names of what it makes, by example and by chance.

use proptest::prelude::*;

use super::*;

#[test]
fn a_finished_build_never_changes() {
    for from in BuildStatus::ALL.into_iter().filter(|s| s.is_terminal()) {
        for to in BuildStatus::ALL {
            assert!(!from.may_become(to), "{from} -> {to}");
        }
    }
}

#[test]
fn every_unfinished_build_can_be_cancelled_and_can_fail() {
    for from in [BuildStatus::Pending, BuildStatus::Building] {
        assert!(from.may_become(BuildStatus::Cancelled));
        assert!(from.may_become(BuildStatus::Failed));
    }
}

#[test]
fn a_build_succeeds_only_from_building() {
    assert!(!BuildStatus::Pending.may_become(BuildStatus::Success));
    assert!(BuildStatus::Building.may_become(BuildStatus::Success));
}

#[test]
fn status_names_read_back() {
    for status in BuildStatus::ALL {
        assert_eq!(BuildStatus::parse(status.as_str()), Some(status));
    }
    assert_eq!(BuildStatus::parse("Success"), None);
}

#[test]
fn builders_of_other_targets_are_named_as_not_available() {
    assert_eq!(
        Builder::parse("kubernetes"),
        Err(BuilderFault::NotAvailable)
    );
    assert_eq!(
        Builder::parse("github-actions"),
        Err(BuilderFault::NotAvailable)
    );
    assert_eq!(Builder::parse("make"), Err(BuilderFault::Unknown));
    assert_eq!(Builder::parse("simulated"), Ok(Builder::Simulated));
}

#[test]
fn the_third_loss_ends_a_build() {
    assert_eq!(after_loss(0), AfterLoss::Requeue);
    assert_eq!(after_loss(2), AfterLoss::Requeue);
    assert_eq!(after_loss(3), AfterLoss::Fail);
}

#[test]
fn the_default_tag_is_the_random_end_of_the_id() {
    assert_eq!(
        default_tag("0199a1b2-c3d4-7e5f-8a6b-112233445566"),
        "112233445566"
    );
}

#[test]
fn an_image_name_is_one_clean_component() {
    for good in ["api", "my-api", "my.api_2", "0"] {
        assert_eq!(check_image_name(good), Ok(()), "{good}");
    }
    for bad in [
        "",
        "-a",
        "a-",
        "a--b",
        "A",
        "a/b",
        "a:b",
        "é",
        &"a".repeat(64),
    ] {
        assert_eq!(check_image_name(bad), Err(ImageFault::Name), "{bad}");
    }
}

#[test]
fn a_reference_is_split_at_its_own_colon_and_not_at_the_ports() {
    let read = |text| ImageReference::parse(text).unwrap();
    assert_eq!(read("localhost:5000/a").repository, "localhost:5000/a");
    assert_eq!(read("localhost:5000/a").version, ImageVersion::Latest);
    assert_eq!(read("r/a:latest").version, ImageVersion::Latest);
    assert_eq!(read("r/a:v1").version, ImageVersion::Tag("v1".into()));
    let digest = format!("sha256:{}", "ab".repeat(32));
    assert_eq!(
        read(&format!("r/a:v1@{digest}")),
        ImageReference {
            repository: "r/a".into(),
            version: ImageVersion::Digest(digest),
        }
    );
}

#[test]
fn a_subdirectory_stays_inside_the_source() {
    for (given, kept) in [
        ("apps/api", Some("apps/api")),
        ("./apps/", Some("apps")),
        (".", None),
        ("./", None),
        ("-x", Some("-x")),
    ] {
        assert_eq!(
            parse_subdirectory(given).map(|p| p.as_deref() == kept),
            Ok(true),
            "{given}"
        );
    }
    for bad in [
        "",
        "/etc",
        "../..",
        "a/../../b",
        "a//b",
        ".git",
        "a/.Git/b",
        "a\\b",
        "a\nb",
    ] {
        assert!(parse_subdirectory(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn bad_references_are_refused() {
    for bad in ["", ":tag", "a b", "r/a:", "r/a:-x", "r/a@sha256:12", "@"] {
        assert!(ImageReference::parse(bad).is_err(), "{bad:?}");
    }
}

/// What happens to a build, by chance.
#[derive(Debug, Clone, Copy)]
enum Event {
    Start,
    Lose,
    Succeed,
    Fail,
    Cancel,
}

fn event() -> impl Strategy<Value = Event> {
    use Event::{Cancel, Fail, Lose, Start, Succeed};
    // The end is put off: what matters is what comes before it.
    prop::sample::select(vec![
        Start, Start, Start, Start, Lose, Lose, Lose, Succeed, Fail, Cancel,
    ])
}

/// The status after an event, as the store's statements make it; none when it does not apply.
fn after(status: BuildStatus, attempts: &mut u32, event: Event) -> Option<BuildStatus> {
    use BuildStatus::{Building, Cancelled, Failed, Pending, Success};
    match (status, event) {
        (Pending, Event::Start) => {
            *attempts += 1;
            Some(Building)
        }
        (Building, Event::Lose) => Some(match after_loss(*attempts) {
            AfterLoss::Requeue => Pending,
            AfterLoss::Fail => Failed,
        }),
        (Building, Event::Succeed) => Some(Success),
        (Building, Event::Fail) => Some(Failed),
        (Pending | Building, Event::Cancel) => Some(Cancelled),
        _ => None,
    }
}

proptest! {
    #[test]
    fn whatever_happens_to_a_build_it_ends_once_and_after_few_attempts(
        events in prop::collection::vec(event(), 0..40),
    ) {
        let (mut status, mut attempts, mut losses) = (BuildStatus::Pending, 0, 0);
        for event in events {
            let Some(next) = after(status, &mut attempts, event) else {
                continue;
            };
            prop_assert!(status.may_become(next), "{status} -> {next}");
            losses += u32::from(matches!(event, Event::Lose));
            status = next;
        }
        prop_assert!(attempts <= MAX_ATTEMPTS);
        prop_assert!(losses < MAX_ATTEMPTS || status.is_terminal(), "{status}");
        if !status.is_terminal() {
            // However far it got, lost runners alone bring it to its end.
            for _ in 0..=MAX_ATTEMPTS {
                for event in [Event::Start, Event::Lose] {
                    status = after(status, &mut attempts, event).unwrap_or(status);
                }
            }
            prop_assert_eq!(status, BuildStatus::Failed);
        }
    }

    #[test]
    fn a_folder_of_the_source_stays_in_it(text in "[a./\\\\-]{0,12}|.{0,40}") {
        if let Ok(Some(folder)) = parse_subdirectory(&text) {
            prop_assert!(!folder.starts_with('/'));
            prop_assert!(folder.split('/').all(|part| !matches!(part, "" | "." | "..")));
            prop_assert_eq!(parse_subdirectory(&folder), Ok(Some(folder.clone())));
        }
    }

    #[test]
    fn any_text_is_a_reference_or_refused_without_panic(text in ".{0,80}") {
        let _ = ImageReference::parse(&text);
        let _ = check_image_tag(&text);
        let _ = check_image_name(&text);
    }

    #[test]
    fn a_cleaned_log_line_is_one_short_line(text in "\\PC*|(.|\n|\r){0,200}") {
        let clean = clean_log_text(&text);
        prop_assert!(clean.len() <= MAX_LINE_BYTES);
        prop_assert!(!clean.contains(['\n', '\r', '\0']));
    }

    #[test]
    fn what_our_builds_are_called_reads_back(
        owner in "[a-z0-9]{2,8}", project in "[a-z][a-z0-9]{0,8}", service in "[a-z][a-z0-9]{0,8}",
    ) {
        let repository = image_repository("registry.localhost/nokube", &owner, &project, &service);
        let tag = default_tag("0199a1b2-c3d4-7e5f-8a6b-112233445566");
        let read = ImageReference::parse(&format!("{repository}:{tag}")).unwrap();
        prop_assert_eq!(read.repository, repository);
        prop_assert_eq!(read.version, ImageVersion::Tag(tag));
    }
}
