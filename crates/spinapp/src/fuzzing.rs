//! What must hold whatever strangers send: for `cargo xtask fuzz`, and for its corpora as ordinary tests.

use crate::LockedApp;
use crate::fault::Faults;
use crate::locked::ContentRef;
use crate::manifest::{ComponentContent, Manifest};
use crate::outbound::HostPattern;
use crate::routes::{Route, Router};
use crate::runtime_config::RuntimeConfig;
use crate::variables::{Template, parse_dotenv};

/// `spin.toml`; the first byte says how deep it stands.
pub fn manifests(data: &[u8]) {
    let Some((depth, text)) = data.split_first() else {
        return;
    };
    let text = &*String::from_utf8_lossy(text);
    match Manifest::parse_at_depth(text, usize::from(depth % 4)) {
        Err(faults) => check_faults(&faults, text),
        Ok(manifest) => {
            let app = manifest.lock(|_| ComponentContent {
                source: ContentRef {
                    digest: Some(format!("sha256:{}", "0".repeat(64))),
                    ..ContentRef::default()
                },
                files: Vec::new(),
            });
            assert_eq!(app.check(), Ok(()), "what is accepted can be packed");
            check_locked(&app);
        }
    }
}

/// Whoever wrote it is told where each fault is and what to do about it.
fn check_faults(faults: &Faults, text: &str) {
    assert!(!faults.0.is_empty());
    let lines = text.lines().count() + 1;
    for fault in &faults.0 {
        assert!(fault.line <= lines, "{fault}");
        assert!(
            !fault.message.is_empty() && !fault.remedy.is_empty(),
            "{fault}"
        );
    }
}

/// The locked application that an artifact carries.
pub fn locked_apps(data: &[u8]) {
    if let Ok(app) = LockedApp::from_json(data) {
        check_locked(&app);
    }
}

fn check_locked(app: &LockedApp) {
    let again = LockedApp::from_json(&app.to_json());
    assert_eq!(again.as_ref().ok(), Some(app), "{:?}", again.as_ref().err());
    let routes = app.triggers.iter().map(|trigger| {
        let route = trigger.route().expect("it was checked");
        (trigger.component().to_owned(), route)
    });
    let (router, _) = Router::new(routes);
    for path in ["/", "/a/b", "//", "/%2e%2e/x"] {
        let _ = router.find(path);
    }
    for component in &app.components {
        let _ = component.reuse();
        for file in &component.files {
            assert!(
                !file.path.split('/').any(|part| part == ".."),
                "{}",
                file.path
            );
            assert!(!file.path.starts_with('/'), "{}", file.path);
        }
    }
}

/// Runtime configurations, dotenv files, templates, patterns of hosts, routes.
pub fn configurations(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    if let Err(faults) = RuntimeConfig::parse(text) {
        assert!(!faults.0.is_empty());
    }
    let _ = parse_dotenv(text);
    if let Ok(template) = Template::parse(text) {
        assert_eq!(template.is_literal(), template.variables().next().is_none());
    }
    if let Ok(pattern) = HostPattern::parse(text) {
        let _ = pattern.allows("https", text, Some(443));
        let _ = pattern.allows_self("http");
    }
    if let Ok(route) = Route::parse(text) {
        assert_eq!(Route::from_json(&route.to_json()).as_ref(), Ok(&route));
        let (router, _) = Router::new([("c".to_owned(), route)]);
        let _ = router.find(text);
    }
}

#[cfg(test)]
mod tests {
    use nokube_corpus::replay;

    #[test]
    fn the_corpus_of_manifests_holds() {
        replay("manifests", super::manifests);
    }

    #[test]
    fn the_corpus_of_locked_applications_holds() {
        replay("locked_apps", super::locked_apps);
    }

    #[test]
    fn the_corpus_of_configurations_holds() {
        replay("configurations", super::configurations);
    }
}
