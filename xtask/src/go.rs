//! Programs and files that are had as Go modules, from their proxy and into the user's cache. Go holds what it fetches
//! against its checksum database.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;

use crate::layout::Layout;
use crate::machine;
use crate::process::{self, find_program};
use crate::report::{note, timed};

/// Where Go's own archive is unpacked to, when that is not in the search path.
const USUAL: &str = "/usr/local/go/bin/go";

/// The oldest release that is good enough, and what an older one is told to fetch, which any can: it is a module too.
const RELEASE: (u32, u32) = (1, 26);
const TOOLCHAIN: &str = "golang.org/toolchain@v0.0.1-go1.26.8";

/// What only a proxy can tell, since no cache holds the versions that a module has.
const QUESTION: &str = "sigs.k8s.io/kwok";

/// Said of everything that is compiled: nothing that a debugger needs is made, and no machine's paths are in it. What
/// programs have in common is found again only when it was compiled alike.
const FLAGS: [&str; 3] = ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false"];
const LINKER_FLAGS: &str = "-s -w";

/// The compiler is many processes that live for seconds: they need not tidy up as often as a program that stays.
const COLLECT_AT_PERCENT: &str = "400";

/// This machine has no Go, or no module proxy answers: no fault of what was to be had.
#[derive(Debug)]
struct Unavailable(&'static str);

impl fmt::Display for Unavailable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for Unavailable {}

/// Nothing when this machine cannot have it, which is said as `without`. Any other failure remains one.
pub(crate) fn unless_unavailable<T>(
    had: anyhow::Result<T>,
    without: &str,
) -> anyhow::Result<Option<T>> {
    match had {
        Ok(had) => Ok(Some(had)),
        Err(error) if error.is::<Unavailable>() => {
            note(&format!("{without}: {error:#}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The `go` program. There is one at a time in this cache: whoever is done may remove what was compiled.
pub(crate) struct Go {
    program: PathBuf,
    compiled: PathBuf,
    _alone: File,
}

/// What `go mod download -json` says.
#[derive(Deserialize)]
struct Downloaded {
    #[serde(rename = "Dir")]
    dir: PathBuf,
}

impl Go {
    /// Finds it; where it is too old, fetches another with it. Waits for whoever else in this cache has it.
    pub(crate) fn find(layout: &Layout) -> anyhow::Result<Self> {
        let found = find_program("go")
            .or_else(|| Some(PathBuf::from(USUAL)).filter(|path| path.is_file()))
            .ok_or(Unavailable("Go is not installed (https://go.dev/dl)"))?;
        machine::make_folder(&layout.tools())?;
        let compiled = layout.tools().join("go-build");
        let lock = File::create(compiled.with_extension("lock")).context("making a lock")?;
        if lock.try_lock().is_err() {
            note("waiting for another build of Go programs");
            lock.lock().context("waiting for another build")?;
        }
        let mut go = Self {
            program: found,
            compiled,
            _alone: lock,
        };
        if !is_new_enough(&go.asked_for("GOVERSION")?) {
            go.program = go.fetch_newer()?;
        }
        Ok(go)
    }

    fn asked_for(&self, variable: &str) -> anyhow::Result<String> {
        process::read(self.command(&std::env::temp_dir()).args(["env", variable]))
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = process::command(&self.program);
        command
            .current_dir(folder)
            .env("GOCACHE", &self.compiled)
            // What this program asks for is no matter of the user's workspace, flags or other Go.
            .env_remove("GOROOT")
            .env("GOTOOLCHAIN", "local")
            .env("GOWORK", "off")
            .env("GOFLAGS", "-mod=mod")
            .env("CGO_ENABLED", "0")
            .env("GOGC", COLLECT_AT_PERCENT);
        command
    }

    fn fetch_newer(&self) -> anyhow::Result<PathBuf> {
        let architecture = self.asked_for("GOARCH")?;
        let name = format!("{TOOLCHAIN}.linux-{architecture}");
        let folder = timed("fetching a newer Go, once", || self.module(&name))?;
        // A module has no programs, only files.
        for below in ["bin".to_owned(), format!("pkg/tool/linux_{architecture}")] {
            for entry in fs::read_dir(folder.join(below)).context("looking into what is Go")? {
                fs::set_permissions(entry?.path(), Permissions::from_mode(0o555))?;
            }
        }
        Ok(folder.join("bin/go"))
    }

    /// Builds programs of the module in `source` into `folder`, by the names that Go gives them, with nothing but what
    /// `go.sum` knows. What they share is compiled once, and one is linked while another is compiled.
    pub(crate) fn build(
        &self,
        source: &Path,
        packages: &[&str],
        linked: &[&str],
        folder: &Path,
    ) -> anyhow::Result<()> {
        let mut fetch = self.command(source);
        fetch
            .args(["list", "-mod=readonly", "-deps", "--"])
            .args(packages);
        self.with_proxy(&mut fetch)
            .context("fetching what is built")?;
        let mut flags = LINKER_FLAGS.to_owned();
        for variable in linked {
            flags.push_str(" -X ");
            flags.push_str(variable);
        }
        let mut build = self.command(source);
        build
            // All of it is there: what fails now is not for want of a network.
            .env("GOPROXY", "off")
            .args(["build", "-mod=readonly"])
            .args(FLAGS)
            .arg(format!("-ldflags={flags}"))
            .arg("-o")
            // With a slash at its end, it is a folder.
            .arg(folder.join(""))
            .arg("--")
            .args(packages);
        process::run(&mut build)
    }

    fn install(&self, program: &Program, folder: &Path) -> anyhow::Result<()> {
        let mut command = self.command(folder);
        command
            .env("GOBIN", folder)
            .arg("install")
            .args(FLAGS)
            .arg(format!("-ldflags={LINKER_FLAGS}"))
            .arg("--")
            .arg(format!("{}@{}", program.package, program.version));
        self.with_proxy(&mut command).map(drop)
    }

    /// Where a module's files are, fetched when they are not there: `path@version`.
    pub(crate) fn module(&self, module: &str) -> anyhow::Result<PathBuf> {
        // No module of ours: what is asked for is all there is.
        let mut command = self.command(&std::env::temp_dir());
        command.args(["mod", "download", "-json", "--", module]);
        let told = self
            .with_proxy(&mut command)
            .with_context(|| format!("fetching {module}"))?;
        let downloaded: Downloaded =
            serde_json::from_str(&told).with_context(|| format!("what Go says of {module}"))?;
        Ok(downloaded.dir)
    }

    /// Runs what may need the proxy. Its failure is not its own where none answers.
    fn with_proxy(&self, command: &mut Command) -> anyhow::Result<String> {
        process::read(command).map_err(|error| {
            if self.proxy_answers() {
                error
            } else {
                error.context(Unavailable("the Go module proxy does not answer"))
            }
        })
    }

    fn proxy_answers(&self) -> bool {
        let mut command = self.command(&std::env::temp_dir());
        command.args(["list", "-m", "-versions", "--", QUESTION]);
        process::read(&mut command).is_ok()
    }

    /// Removes what was compiled on the way to programs: gigabytes, and of no use until there is another version.
    pub(crate) fn remove_compiled(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.compiled)
            .with_context(|| format!("removing {}", self.compiled.display()))
    }
}

/// A program, of one version.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
    pub(crate) version: &'static str,
}

impl Program {
    /// Where it is; built when it is not there.
    pub(crate) fn prepare(&self, layout: &Layout) -> anyhow::Result<PathBuf> {
        let name = format!("{}-{}", self.name, self.version);
        let folder = layout.tools().join("go").join(name);
        let program = folder.join(self.name);
        if program.is_file() {
            return Ok(program);
        }
        let go = Go::find(layout)?;
        // Whoever was waited for may have built it.
        if !program.is_file() {
            machine::make_folder(&folder)?;
            timed(&format!("building {}, once", self.name), || {
                go.install(self, &folder)
            })?;
        }
        Ok(program)
    }
}

/// Whether a release such as `go1.26.8` will do; one without a number was built from newer sources than all that have one.
fn is_new_enough(version: &str) -> bool {
    let Some(numbers) = version.strip_prefix("go") else {
        return true;
    };
    let mut parts = numbers.splitn(3, '.').map(|part| {
        let end = part.find(|letter: char| !letter.is_ascii_digit());
        part[..end.unwrap_or(part.len())].parse().unwrap_or(0)
    });
    let release = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    release >= RELEASE
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn an_older_go_is_not_enough() {
        for version in ["go1.19.8", "go1.25.12", "go1"] {
            assert!(!is_new_enough(version), "{version}");
        }
        for version in [
            "go1.26.0",
            "go1.26rc1",
            "go1.27 X:something",
            "go2.0",
            "devel +1",
        ] {
            assert!(is_new_enough(version), "{version}");
        }
        let (_, fetched) = TOOLCHAIN.rsplit_once('-').unwrap();
        assert!(is_new_enough(fetched), "{fetched}");
    }

    #[test]
    fn only_what_a_machine_cannot_have_is_done_without() {
        assert_eq!(unless_unavailable(Ok(1), "nothing").unwrap(), Some(1));
        let unavailable = anyhow!("no route").context(Unavailable("nobody answers"));
        let told = unless_unavailable::<()>(Err(unavailable.context("fetching")), "not run");
        assert_eq!(told.unwrap(), None);
        let failed = unless_unavailable::<()>(Err(anyhow!("does not compile")), "not run");
        assert!(failed.is_err());
    }
}
