//! What tests need and a machine may lack: the one place that knows it, says it, and decides what then.
//!
//! What is missing is said before the run and after it, where it is seen. Tests of a program that may be missing leave
//! themselves out only when it is named to them in `NOKUBE_TESTS_WITHOUT`; else they fail, so that none passes without
//! having tested anything.

use std::env;

use anyhow::bail;

use crate::process::find_program;
use crate::report::note;

/// Names to tests what they may do without, separated by commas.
pub(crate) const WITHOUT: &str = "NOKUBE_TESTS_WITHOUT";

/// A program that tests start.
struct Need {
    program: &'static str,
    /// Says where it is when it is not in the search path.
    variable: Option<&'static str>,
    /// What is not known without it.
    tests: &'static str,
    /// Where it comes from.
    source: &'static str,
    kind: Kind,
}

impl Need {
    /// What its absence means.
    fn told(&self) -> String {
        let Self {
            program,
            tests,
            source,
            ..
        } = self;
        match self.kind {
            Kind::Usual => format!("missing: {program}, so tests fail: {tests} ({source})"),
            Kind::Extra | Kind::Rare => {
                format!("not run: {tests}, since {program} is not installed ({source})")
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Its tests fail without it: a machine that builds applications has it.
    Usual,
    /// Its tests are left out without it, but in continuous integration.
    Extra,
    /// Its tests are left out without it, unless everything was asked for: no package registry has it.
    Rare,
}

static NEEDS: [Need; 5] = [
    Need {
        program: "git",
        variable: None,
        tests: "builds from Git",
        source: "the Debian package git",
        kind: Kind::Usual,
    },
    Need {
        program: "bwrap",
        variable: None,
        tests: "builds that run a command, and what their sandbox holds back",
        source: "the Debian package bubblewrap",
        kind: Kind::Usual,
    },
    Need {
        program: "node",
        variable: None,
        tests: "builds of npm sites",
        source: "the Debian package nodejs",
        kind: Kind::Usual,
    },
    Need {
        program: "docker-registry",
        variable: None,
        tests: "pushing artifacts to a real registry",
        source: "the Debian package docker-registry",
        kind: Kind::Extra,
    },
    Need {
        program: "spin",
        variable: Some("NOKUBE_SPIN"),
        tests: "the platform under Spin itself",
        source: "https://github.com/spinframework/spin/releases",
        kind: Kind::Rare,
    },
];

/// What this machine lacks.
pub(crate) struct Missing {
    needs: Vec<&'static Need>,
}

/// Looks for all of them.
pub(crate) fn look() -> Missing {
    missing(|need| {
        need.variable
            .is_some_and(|name| env::var_os(name).is_some())
            || find_program(need.program).is_some()
    })
}

fn missing(is_there: impl Fn(&Need) -> bool) -> Missing {
    Missing {
        needs: NEEDS.iter().filter(|need| !is_there(need)).collect(),
    }
}

impl Missing {
    /// Says what will not be known. Continuous integration looks for these lines.
    pub(crate) fn tell(&self) {
        for need in &self.needs {
            note(&need.told());
        }
    }

    /// What tests may do without, for [`WITHOUT`].
    pub(crate) fn left_out(&self) -> String {
        let left_out = self.needs.iter().filter(|need| need.kind != Kind::Usual);
        let names: Vec<_> = left_out.map(|need| need.program).collect();
        names.join(",")
    }

    /// Fails when continuous integration, or whoever asked for every test, would be told less than it takes for granted.
    pub(crate) fn check(&self, everything: bool) -> anyhow::Result<()> {
        let in_ci = env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
        match self.refused(everything, in_ci).as_slice() {
            [] => Ok(()),
            refused => bail!("tests cannot do without: {}", refused.join(", ")),
        }
    }

    fn refused(&self, everything: bool, in_ci: bool) -> Vec<&'static str> {
        let refused = self
            .needs
            .iter()
            .filter(|need| everything || (in_ci && need.kind != Kind::Rare));
        refused.map(|need| need.program).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(programs: &[&str]) -> Missing {
        missing(|need| !programs.contains(&need.program))
    }

    #[test]
    fn what_is_left_out_is_said_so_that_continuous_integration_finds_it() {
        let missing = without(&["docker-registry", "spin", "node"]);
        assert_eq!(missing.left_out(), "docker-registry,spin");
        let told: Vec<_> = missing.needs.iter().map(|need| need.told()).collect();
        assert!(told[0].starts_with("missing: node"), "{told:?}");
        assert!(
            told[1].starts_with("not run: pushing artifacts"),
            "{told:?}"
        );
        assert!(
            told[2].starts_with("not run: the platform under Spin"),
            "{told:?}"
        );
        assert_eq!(without(&[]).left_out(), "");
    }

    #[test]
    fn continuous_integration_refuses_what_any_machine_can_have() {
        let missing = without(&["bwrap", "docker-registry", "spin"]);
        assert_eq!(missing.refused(false, false), Vec::<&str>::new());
        assert_eq!(missing.refused(false, true), ["bwrap", "docker-registry"]);
        assert_eq!(
            missing.refused(true, false),
            ["bwrap", "docker-registry", "spin"]
        );
    }
}
