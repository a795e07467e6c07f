//! Whether a component that has a database says so when it has none.

use super::{DatabaseFault, TestApp};

/// Asks for its health with the database there, gone, silent, and there again.
#[track_caller]
pub fn check_health(app: &TestApp) {
    let name = app.component.name;
    let ask = |fault| {
        app.host.database_fault.set(fault);
        app.host.logged.borrow_mut().clear();
        app.get(&format!("/api/v1/{name}/health")).send()
    };
    for (fault, status, word) in [
        (None, 200, "ok"),
        (Some(DatabaseFault::Opening), 503, "unavailable"),
        (
            Some(DatabaseFault::Statement("SELECT 1")),
            503,
            "unavailable",
        ),
        (None, 200, "ok"),
    ] {
        let health = ask(fault).expect(status);
        assert_eq!(
            (&health["status"], &health["service"]),
            (&word.into(), &name.into())
        );
        let logged = app.host.logged.borrow();
        assert_eq!(logged.len(), usize::from(fault.is_some()), "{logged:?}");
        assert!(
            logged.iter().all(|line| line.contains("the test's fault")),
            "{logged:?}"
        );
    }
}
