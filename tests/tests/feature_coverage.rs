//! Every route of events, and signing in and refreshing, is specified in `tests/features`: what it does, and when it refuses.
//!
//! A scenario names the operations it is about by tags, and `@refused` when it is about a refusal.

use std::collections::BTreeSet;
use std::fs;

use nokube_tests::platform::repository_root;

/// The tags of each scenario.
fn scenarios() -> Vec<BTreeSet<String>> {
    let mut scenarios = Vec::new();
    for entry in fs::read_dir(repository_root().join("tests/features")).expect("the features") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("a feature");
        let mut tags = BTreeSet::new();
        for line in text.lines().map(str::trim) {
            if line.starts_with('@') {
                tags.extend(line.split_whitespace().map(|tag| tag[1..].to_owned()));
            } else if line.starts_with("Scenario") {
                scenarios.push(std::mem::take(&mut tags));
            }
        }
    }
    scenarios
}

/// The operations of a component and whether they are for users: the rows of its route table.
fn operations(component: &str) -> Vec<(String, bool)> {
    let path = repository_root().join(format!("components/{component}/src/lib.rs"));
    let source = fs::read_to_string(path).expect("the component");
    let mut is_public = false;
    let mut operations = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some(group) = line.strip_suffix(" {") {
            is_public = group == "public";
        } else if let Some((_, handler)) = line.split_once("\" => handlers::") {
            let name = handler.trim_end_matches(';').rsplit("::").next();
            operations.push((name.expect("a name").to_owned(), is_public));
        }
    }
    operations
}

#[test]
fn every_operation_has_a_scenario_and_every_users_operation_a_refusal() {
    let scenarios = scenarios();
    let has = |operation: &str, is_refusal: bool| {
        scenarios
            .iter()
            .any(|tags| tags.contains(operation) && tags.contains("refused") == is_refusal)
    };
    let events = operations("events");
    assert!(events.len() >= 11, "the search is broken: {events:?}");
    for (operation, is_public) in &events {
        let is_refused_too = !is_public || operation == "get_calendar";
        assert!(has(operation, false), "no scenario is tagged @{operation}");
        assert!(
            !is_refused_too || has(operation, true),
            "no scenario is tagged @{operation} @refused"
        );
    }
    for operation in ["login", "refresh_tokens"] {
        assert!(
            has(operation, false) && has(operation, true),
            "@{operation}"
        );
    }
}

#[test]
fn every_tag_is_an_operation() {
    let known: BTreeSet<String> = ["events", "auth"]
        .into_iter()
        .flat_map(operations)
        .map(|(name, _)| name)
        .chain(["refused".to_owned()])
        .collect();
    for tag in scenarios().into_iter().flatten() {
        assert!(known.contains(&tag), "@{tag} is no operation");
    }
}
