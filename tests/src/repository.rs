//! Git repositories made for a test.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A working copy and the bare repository it pushes to.
pub struct Repository {
    folder: TempDir,
    name: String,
}

impl Repository {
    /// A bare repository `<name>.git` whose `main` holds a copy of `source`.
    #[must_use]
    pub fn of_folder(name: &str, source: &Path) -> Self {
        let repository = Self::empty(name);
        copy(source, &repository.work());
        repository.push("first");
        repository
    }

    /// A bare repository whose `main` holds these files.
    #[must_use]
    pub fn of_files(name: &str, files: &[(&str, &[u8])]) -> Self {
        let repository = Self::empty(name);
        for (path, bytes) in files {
            repository.write(path, bytes);
        }
        repository.push("first");
        repository
    }

    /// A Spin application with this build command, which has to make `a.wasm` unless it is among the `files`. `fields` are
    /// more lines of its component.
    #[must_use]
    pub fn of_command(command: &str, fields: &str, files: &[(&str, &[u8])]) -> Self {
        let manifest = format!(
            "spin_manifest_version = 2\n[application]\nname = \"app\"\n[[trigger.http]]\nroute = \"/...\"\n\
             component = \"a\"\n[component.a]\nsource = \"a.wasm\"\n{fields}\n[component.a.build]\n\
             command = '''{command}'''\n"
        );
        let manifest = ("spin.toml", manifest.as_bytes());
        Self::of_files("app", &[&[manifest], files].concat())
    }

    fn empty(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for a repository");
        let repository = Self {
            folder,
            name: name.to_owned(),
        };
        let bare = repository.bare();
        git(
            repository.folder.path(),
            &[
                "init",
                "-q",
                "--bare",
                "-b",
                "main",
                &bare.display().to_string(),
            ],
        );
        git(&bare, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        git(
            repository.folder.path(),
            &["init", "-q", "-b", "main", "work"],
        );
        repository
    }

    /// Writes a file of the working copy.
    pub fn write(&self, path: &str, bytes: &[u8]) {
        let target = self.work().join(path);
        std::fs::create_dir_all(target.parent().expect("a file has a folder"))
            .expect("a folder can be made");
        std::fs::write(target, bytes).expect("a file can be written");
    }

    /// Commits everything, pushes it, and gives the commit.
    #[must_use = "the commit says which build is which"]
    pub fn commit(&self, message: &str) -> String {
        self.push(message);
        let output = Command::new("git")
            .args(["rev-parse", "HEAD"])
            .current_dir(self.work())
            .output();
        String::from_utf8(output.expect("git runs").stdout)
            .expect("a commit id is ASCII")
            .trim()
            .to_owned()
    }

    fn push(&self, message: &str) {
        git(&self.work(), &["add", "-A", "-f"]);
        git(
            &self.work(),
            &[
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.org",
                "commit",
                "-q",
                "-m",
                message,
            ],
        );
        git(
            &self.work(),
            &["push", "-q", &self.bare().display().to_string(), "main"],
        );
    }

    /// The working copy.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// The bare repository.
    #[must_use]
    pub fn bare(&self) -> PathBuf {
        self.folder.path().join(format!("{}.git", self.name))
    }

    /// The folder that holds it, to be served.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// As a `file://` address.
    #[must_use]
    pub fn file_url(&self) -> String {
        format!("file://{}", self.bare().display())
    }
}

fn git(folder: &Path, args: &[&str]) {
    let output = Command::new("git")
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is installed");
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Copies a source folder without what was built in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("the source folder is there") {
        let entry = entry.expect("the source folder can be read");
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        if name == "target" || name == ".git" {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}
