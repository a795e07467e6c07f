//! Every route of events, and signing in and refreshing, is specified in `tests/features`: what it does, and each refusal
//! that the document tells of.
//!
//! A scenario names the operations it is about by tags, and by a status such as `@404` what they are refused with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nokube_contract::Document;
use nokube_tests::platform::repository_root;

/// What no scenario is about: `rules_of_every_route` sends every operation bodies that are none, of another type, too large
/// or too slow, and the components' tests try scopes.
const OF_EVERY_ROUTE: [&str; 5] = ["400", "403", "408", "413", "415"];

/// Refusals that no scenario reaches, and what does.
const ELSEWHERE: [(&str, &str, &str); 4] = [
    (
        "create_event",
        "409",
        "the 10,001st event: components/events/src/tests",
    ),
    (
        "refresh_tokens",
        "429",
        "3,000 an address: components/auth/src/tests/limits.rs",
    ),
    (
        "get_calendar",
        "429",
        "it would hold for all scenarios, which have one address: rules_of_every_route",
    ),
    (
        "get_calendar",
        "422",
        "any token may be asked with: what is none is 404",
    ),
];

/// Steps that stand for a status.
const MEANT: [(&str, &str); 2] = [
    (
        "I receive an error message indicating invalid credentials",
        "401",
    ),
    ("nothing is at the", "404"),
];

/// What a scenario is about, and what it says.
#[derive(Default)]
struct Scenario {
    tags: BTreeSet<String>,
    steps: String,
}

impl Scenario {
    /// The statuses that it is tagged with.
    fn refusals(&self) -> impl Iterator<Item = &String> {
        let is_status = |tag: &&String| tag.bytes().all(|byte| byte.is_ascii_digit());
        self.tags.iter().filter(is_status)
    }

    fn says(&self, status: &str) -> bool {
        let in_words = MEANT
            .iter()
            .any(|(step, meant)| *meant == status && self.steps.contains(step));
        in_words || self.steps.contains(&format!("refused with {status}"))
    }
}

fn scenarios() -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for entry in fs::read_dir(repository_root().join("tests/features")).expect("the features") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("a feature");
        let mut tags = BTreeSet::new();
        for line in text.lines().map(str::trim) {
            if line.starts_with('@') {
                tags.extend(line.split_whitespace().map(|tag| tag[1..].to_owned()));
            } else if line.starts_with("Scenario") {
                scenarios.push(Scenario {
                    tags: std::mem::take(&mut tags),
                    steps: String::new(),
                });
            } else if let Some(scenario) = scenarios.last_mut() {
                scenario.steps.push_str(line);
                scenario.steps.push('\n');
            }
        }
    }
    scenarios
}

/// The operations that features are about, each with the 4xx that the document tells of.
fn operations() -> BTreeMap<String, BTreeSet<String>> {
    let file = repository_root().join("docs/openapi.json");
    let text = fs::read_to_string(file).expect("the document is there");
    let document = Document::from_json(&text).expect("the document is JSON");
    let mut operations = BTreeMap::new();
    for (_, template, described) in document.operations() {
        let is_specified = template.starts_with("/api/v1/events")
            || matches!(template, "/api/v1/auth/login" | "/api/v1/auth/refresh");
        if !is_specified {
            continue;
        }
        let id = described["operationId"].as_str().expect("an id");
        let responses = described["responses"].as_object().expect("responses");
        let refusals = responses.keys().filter(|status| status.starts_with('4'));
        operations.insert(id.to_owned(), refusals.cloned().collect());
    }
    operations
}

#[test]
fn every_operation_has_a_scenario_and_one_for_each_refusal() {
    let (scenarios, operations) = (scenarios(), operations());
    assert!(
        operations.len() >= 13,
        "the search is broken: {operations:?}"
    );
    let mut missing = Vec::new();
    for (operation, refusals) in &operations {
        let of_it = || {
            scenarios
                .iter()
                .filter(|scenario| scenario.tags.contains(operation))
        };
        if !of_it().any(|scenario| scenario.refusals().next().is_none()) {
            missing.push(format!("@{operation}"));
        }
        for status in refusals {
            let is_elsewhere = ELSEWHERE
                .iter()
                .any(|(known, refusal, _)| known == operation && refusal == status);
            let is_there = of_it().any(|scenario| scenario.tags.contains(status));
            if OF_EVERY_ROUTE.contains(&status.as_str()) {
                continue;
            }
            if is_elsewhere == is_there {
                missing.push(format!("@{operation} @{status}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "no scenario has these tags, or one has what is said to be elsewhere: {missing:?}"
    );
}

#[test]
fn a_refusal_is_tagged_with_what_its_steps_say() {
    for scenario in scenarios() {
        for status in scenario.refusals() {
            assert!(scenario.says(status), "@{status}: {}", scenario.steps);
        }
    }
}

#[test]
fn every_tag_is_an_operation_or_a_status() {
    let known = operations();
    for scenario in scenarios() {
        let statuses: BTreeSet<&String> = scenario.refusals().collect();
        for tag in &scenario.tags {
            assert!(
                known.contains_key(tag) || statuses.contains(tag),
                "@{tag} is neither"
            );
        }
    }
}
