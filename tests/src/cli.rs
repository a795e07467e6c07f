//! The `nokube` command as a user's terminal runs it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::platform::{Platform, nokube};

/// The command line with a home of its own.
pub struct Cli<'a> {
    platform: &'a Platform,
    home: TempDir,
    password: String,
}

impl<'a> Cli<'a> {
    /// Of somebody who has no account yet.
    #[must_use]
    pub fn new(platform: &'a Platform) -> Self {
        Self::with_password(platform, "correct horse battery")
    }

    /// Of somebody whom [`crate::api::Api::register`] has registered, signed in.
    #[must_use]
    pub fn signed_in(platform: &'a Platform, username: &str) -> Self {
        let cli = Self::with_password(platform, &format!("correct horse {username}"));
        cli.succeeds(&["login", "--username", username]);
        cli
    }

    fn with_password(platform: &'a Platform, password: &str) -> Self {
        Self {
            platform,
            home: tempfile::tempdir().expect("a home"),
            password: password.to_owned(),
        }
    }

    /// The user's own folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs a command at home.
    pub fn run(&self, args: &[&str]) -> Output {
        self.run_in(self.home(), args)
    }

    /// Runs a command in a folder.
    pub fn run_in(&self, folder: &Path, args: &[&str]) -> Output {
        self.command(folder, args).output().expect("nokube runs")
    }

    /// Runs a command at home with more variables.
    pub fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Output {
        self.command(self.home(), args)
            .envs(environment.iter().copied())
            .output()
            .expect("nokube runs")
    }

    /// Runs a command at home that reads this.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Output {
        let mut child = self
            .command(self.home(), args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nokube runs");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).expect("nokube reads it");
        drop(stdin);
        child.wait_with_output().expect("nokube ends")
    }

    fn command(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(nokube());
        command
            .args(args)
            .current_dir(folder)
            .env("HOME", self.home())
            .env_remove("XDG_CONFIG_HOME")
            .env("NOKUBE_URL", self.platform.url())
            .env("NOKUBE_PASSWORD", &self.password);
        command
    }

    /// What a command prints.
    ///
    /// # Panics
    /// With what it says when it fails.
    pub fn succeeds(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            output.status.success(),
            "nokube {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What a command prints with `--json`.
    pub fn json(&self, args: &[&str]) -> Value {
        let printed = self.succeeds(&[&["--json"][..], args].concat());
        serde_json::from_str(&printed).expect("one JSON value")
    }

    /// What a log prints with `--json`: a line for each.
    pub fn json_lines(&self, args: &[&str]) -> Vec<Value> {
        let printed = self.succeeds(&[&["--json"][..], args].concat());
        let lines = printed.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().expect("JSON in each line")
    }

    /// What a command says when it fails.
    ///
    /// # Panics
    /// When it does not.
    pub fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(
            !output.status.success(),
            "nokube {args:?} was to be refused"
        );
        String::from_utf8(output.stderr).expect("UTF-8")
    }
}
