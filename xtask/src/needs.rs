//! What tests need and a machine may lack, programs and rights: the one place that knows it, says it, and decides what
//! then.
//!
//! What is missing is said before the run and after it, where it is seen. Tests of a program that may be missing leave
//! themselves out only when it is named to them in `NOKUBE_TESTS_WITHOUT`; else they fail, so that none passes without
//! having tested anything.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::bail;

use crate::layout::Layout;
use crate::process::find_program;
use crate::report::note;

/// Names to tests what they may do without, separated by commas.
pub(crate) const WITHOUT: &str = "NOKUBE_TESTS_WITHOUT";

/// A program that tests start, or something else that they cannot do without.
struct Need {
    program: &'static str,
    /// Tells whether it is there when it is no program.
    ability: Option<fn() -> bool>,
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
            Kind::Extra | Kind::Rare if self.ability.is_some() => {
                format!("not run: {tests} ({source})")
            }
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
    /// Its tests are left out without it, unless everything was asked for: Debian does not have it.
    Rare,
}

static NEEDS: [Need; 11] = [
    Need {
        program: "git",
        ability: None,
        variable: None,
        tests: "builds from Git",
        source: "the Debian package git",
        kind: Kind::Usual,
    },
    Need {
        program: "bwrap",
        ability: None,
        variable: None,
        tests: "builds that run a command, and what their sandbox holds back",
        source: "the Debian package bubblewrap",
        kind: Kind::Usual,
    },
    Need {
        program: "node",
        ability: None,
        variable: None,
        tests: "builds of npm sites",
        source: "the Debian package nodejs",
        kind: Kind::Usual,
    },
    Need {
        program: "docker-registry",
        ability: None,
        variable: None,
        tests: "pushing artifacts to a real registry",
        source: "the Debian package docker-registry",
        kind: Kind::Extra,
    },
    Need {
        program: SCHEMATHESIS,
        ability: None,
        variable: Some(crate::schemathesis::VARIABLE),
        tests: "made-up requests against the document of the API",
        source: "PyPI, by the Debian package python3-venv",
        kind: Kind::Rare,
    },
    Need {
        program: "spin",
        ability: None,
        variable: Some("NOKUBE_SPIN"),
        tests: "the platform under Spin itself",
        source: "https://github.com/spinframework/spin/releases",
        kind: Kind::Rare,
    },
    Need {
        program: crate::control_plane::NEED,
        // Only one that was prepared will do.
        ability: Some(|| false),
        variable: None,
        tests: "the cluster target on a real control plane",
        source: "`cargo xtask test --cluster` builds one, where Go is installed and its module proxy answers",
        kind: Kind::Rare,
    },
    Need {
        program: "mounts",
        ability: Some(may_mount),
        variable: None,
        tests: "a platform whose disk is full or read-only",
        source: "bubblewrap may mount no file system in memory here",
        kind: Kind::Extra,
    },
    Need {
        program: "remounts",
        ability: Some(may_enter_mounts),
        variable: None,
        tests: "a platform whose disk turns read-only",
        source: "it takes root to change what another process has mounted",
        kind: Kind::Rare,
    },
    Need {
        program: "control-groups",
        ability: Some(may_make_groups),
        variable: None,
        tests: "build commands in control groups",
        source: "this user may make none here",
        kind: Kind::Rare,
    },
    Need {
        program: "debians-wasm-toolchain",
        ability: Some(has_debians_toolchain),
        variable: None,
        tests: "builds with Debian's WebAssembly toolchain",
        source: "`NOKUBE_WASM_TOOLCHAIN=debian cargo xtask toolchain` installs it",
        kind: Kind::Rare,
    },
];

fn may_mount() -> bool {
    succeeds(&["bwrap", "--dev-bind", "/", "/", "--tmpfs", "/mnt", "true"])
}

fn may_enter_mounts() -> bool {
    let own = std::process::id().to_string();
    succeeds(&["nsenter", "--target", &own, "--mount", "--", "true"])
}

/// Where the runner makes them (`crates/runner/src/sandbox/cgroup.rs`), as far as a folder tells.
fn may_make_groups() -> bool {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of = |controller: &str| {
        let is_of = |line: &&str| {
            let controllers = line.split(':').nth(1).unwrap_or_default();
            controllers.split(',').any(|name| name == controller)
        };
        let path = own.lines().find(is_of)?.splitn(3, ':').nth(2)?;
        Some(path.trim_start_matches('/').to_owned())
    };
    let mount = Path::new("/sys/fs/cgroup");
    let parent = if mount.join("cgroup.controllers").exists() {
        // Beside our own.
        let own = of("").map(|path| mount.join(path)).unwrap_or_default();
        let above = own.parent().filter(|above| above.starts_with(mount));
        above.unwrap_or(mount).to_owned()
    } else {
        let memory = mount.join("memory");
        let own = of("memory").map(|path| memory.join(path));
        own.filter(|own| own.is_dir()).unwrap_or(memory)
    };
    let group = parent.join(format!("nokube-needs-{}", std::process::id()));
    fs::create_dir(&group).is_ok() && fs::remove_dir(&group).is_ok()
}

fn has_debians_toolchain() -> bool {
    let Ok(layout) = Layout::find() else {
        return false;
    };
    let entries = fs::read_dir(layout.cache).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("sysroot-"))
        .any(|entry| entry.path().join("bin/cargo").exists())
}

fn succeeds(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// What this machine lacks.
pub(crate) struct Missing {
    needs: Vec<&'static Need>,
}

/// The one that is installed for our use, when that is possible.
pub(crate) const SCHEMATHESIS: &str = "schemathesis";

/// Looks for all of them but those that were `prepared` for our use.
pub(crate) fn look(prepared: &[&str]) -> Missing {
    missing(|need| {
        if prepared.contains(&need.program) {
            return true;
        }
        if let Some(is_there) = need.ability {
            return is_there();
        }
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
        let disk = without(&["remounts"]);
        assert_eq!(disk.left_out(), "remounts");
        let told = disk.needs[0].told();
        assert!(told.starts_with("not run: a platform whose disk"), "{told}");
        assert!(!told.contains("installed"), "{told}");
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
