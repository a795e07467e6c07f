//! cargo-deny: licences, sources, bans, and known vulnerabilities (`deny.toml`).

use crate::layout::Layout;
use crate::process;
use crate::report::{note, timed};

/// Checks the dependencies. Without the advisory database, which is fetched, says so and checks the rest.
pub(super) fn run(layout: &Layout) -> anyhow::Result<()> {
    timed("dependencies", || {
        let program = super::tool(layout, "cargo-deny")?;
        process::run(process::cargo_program(&program, &layout.root).args([
            "--log-level",
            "error",
            "check",
            "bans",
            "licenses",
            "sources",
        ]))?;
        let database = process::read(process::cargo_program(&program, &layout.root).args([
            "--log-level",
            "error",
            "fetch",
            "db",
        ]));
        if let Err(reason) = database {
            note(
                "not checked: known vulnerabilities, since the advisory database could not be fetched",
            );
            note(reason_of(&format!("{reason:#}")));
            return Ok(());
        }
        process::run(process::cargo_program(&program, &layout.root).args([
            "--log-level",
            "error",
            "check",
            "--disable-fetch",
            "advisories",
        ]))
    })
}

/// What git said at last; the rest is the command it was started with.
fn reason_of(text: &str) -> &str {
    text.lines()
        .rev()
        .find(|line| line.starts_with("fatal: "))
        .or_else(|| text.lines().next())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_failed_fetch_the_reason_is_shown() {
        assert_eq!(
            reason_of("fetch failed\nCloning\nfatal: no such host\n\n"),
            "fatal: no such host"
        );
        assert_eq!(reason_of("offline"), "offline");
    }
}
