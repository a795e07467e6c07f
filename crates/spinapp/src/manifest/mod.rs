//! `spin.toml`, manifest version 2.
//!
//! [`Manifest::parse`] accepts what this platform runs and nothing that Spin would refuse. What Spin
//! knows and we do not run (other triggers, component dependencies, AI models, sources from
//! registries, …) is refused by its name, with its line and what to do instead, every fault at once.

mod application;
mod component;
mod trigger;

use std::collections::BTreeMap;

use crate::fault::{Fault, Faults};
use crate::locked::{ContentPath, ContentRef, LockedApp};
use crate::reuse::Reuse;
use crate::routes::Route;
use crate::tree::{Node, Reader, entries};

/// A parsed and checked `spin.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// `[application]`.
    pub application: Application,
    /// `[variables]`, by name.
    pub variables: BTreeMap<String, Variable>,
    /// `[[trigger.http]]`, in the order of the file, each with an id.
    pub triggers: Vec<HttpTrigger>,
    /// `[component.<id>]`, in the order of the file.
    pub components: Vec<Component>,
}

/// `[application]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Application {
    /// The application's name.
    pub name: String,
    /// Its version; empty when there is none.
    pub version: String,
    /// What it is, for people; empty when there is none.
    pub description: String,
    /// Who made it.
    pub authors: Vec<String>,
    /// `[application.trigger.http] base`, when written. Only `/` is accepted: Spin 3 took it away.
    pub http_base: Option<String>,
}

/// One of `[variables]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variable {
    /// For people.
    pub description: Option<String>,
    /// The value when no provider has one. Without it a value is required.
    pub default: Option<String>,
    /// The value is not to be shown.
    pub secret: bool,
}

/// One `[[trigger.http]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTrigger {
    /// Unique in the application; made from the component when the file has none.
    pub id: String,
    /// The component that answers.
    pub component: String,
    /// Which paths it answers.
    pub route: Route,
    /// `executor.type` as written (`http`, or its older name `spin`).
    pub executor: Option<String>,
}

/// One `[component.<id>]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Component {
    /// Unique in the application.
    pub id: String,
    /// The WebAssembly file, relative to the manifest's folder.
    pub source: String,
    /// The line of `source`, for messages about the file.
    pub source_line: usize,
    /// For people; empty when there is none.
    pub description: String,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Files the component may read.
    pub files: Vec<FileMount>,
    /// The line of `files`, for messages about them; 0 without.
    pub files_line: usize,
    /// Glob patterns, relative to the manifest's folder, of what is left out of `files`.
    pub exclude_files: Vec<String>,
    /// Where it may connect to; may hold templates.
    pub allowed_outbound_hosts: Vec<String>,
    /// Labels of databases.
    pub sqlite_databases: Vec<String>,
    /// Labels of key-value stores.
    pub key_value_stores: Vec<String>,
    /// Variables by name; values are templates.
    pub variables: BTreeMap<String, String>,
    /// How it is built.
    pub build: Option<Build>,
    /// Whether its instances serve more than one request.
    pub reuse: Option<Reuse>,
}

/// One of `files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileMount {
    /// A file, a folder or a glob pattern, relative to the manifest's folder; keeps its path.
    Pattern(String),
    /// A file or folder and where it appears.
    Placement {
        /// Relative to the manifest's folder.
        source: String,
        /// Absolute, in the guest.
        destination: String,
    },
}

/// `[component.<id>.build]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Command lines, run one after another.
    pub command: Commands,
    /// The folder to run them in, relative to the manifest's folder.
    pub workdir: Option<String>,
    /// What `spin watch` watches.
    pub watch: Vec<String>,
}

/// `command`, as a string or as a list: the locked application keeps the difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commands {
    /// One command line.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Commands {
    /// The command lines in turn.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(line) => std::slice::from_ref(line),
            Self::Many(lines) => lines.as_slice(),
        }
        .iter()
        .map(String::as_str)
    }
}

/// What a component's `source` and `files` have become: see [`Manifest::lock`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComponentContent {
    /// The WebAssembly component.
    pub source: ContentRef,
    /// Its files.
    pub files: Vec<ContentPath>,
}

impl Manifest {
    /// Parses a manifest that stands at the top of its source: no path may leave its folder.
    ///
    /// # Errors
    /// Every fault, with its line.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        Self::parse_at_depth(text, 0)
    }

    /// Parses a manifest that stands `depth` folders below the top of its source, so that
    /// `source` and `workdir` may begin with so many `..` (a workspace's shared `target/`).
    ///
    /// # Errors
    /// Every fault, with its line.
    pub fn parse_at_depth(text: &str, depth: usize) -> Result<Self, Faults> {
        let (mut reader, root) = Reader::parse(text);
        if reader.has_faults() {
            return Err(Faults(reader.into_faults()));
        }
        let mut manifest = Self {
            application: Application::default(),
            variables: BTreeMap::new(),
            triggers: Vec::new(),
            components: Vec::new(),
        };
        let (mut versioned, mut applied, mut triggered) = (false, false, false);
        let mut components = None;
        for entry in entries(root.get_ref(), "") {
            let node = &entry.node;
            match entry.key {
                "spin_manifest_version" => {
                    versioned = true;
                    check_version(&mut reader, node);
                }
                "application" => {
                    applied = true;
                    manifest.application = application::read(&mut reader, node);
                }
                "variables" => {
                    manifest.variables = application::read_variables(&mut reader, node);
                }
                "trigger" => {
                    triggered = true;
                    manifest.triggers = trigger::read(&mut reader, node);
                }
                "component" => components = Some(entry.node.clone()),
                other => reader.fault(
                    node,
                    format!("`{other}` is not part of a Spin manifest of version 2"),
                    "known are spin_manifest_version, application, variables, trigger, component",
                ),
            }
        }
        if let Some(node) = &components {
            let names = &manifest.variables;
            manifest.components = component::read_all(&mut reader, node, names, depth);
        }
        for (present, key, remedy) in [
            (
                versioned,
                "spin_manifest_version",
                "add `spin_manifest_version = 2`",
            ),
            (applied, "application", "add `[application]` with a `name`"),
            (
                triggered,
                "trigger",
                "add `[[trigger.http]]` with `route` and `component`",
            ),
        ] {
            if !present {
                reader.fault_at(&(0..0), key, "is missing", remedy);
            }
        }
        let mut faults = reader.into_faults();
        trigger::check_references(text, &manifest, &mut faults);
        Faults::none_or(faults, manifest)
    }

    /// The locked application, with what `content` says of each component's source and files.
    pub fn lock(&self, content: impl FnMut(&Component) -> ComponentContent) -> LockedApp {
        crate::locked::from_manifest(self, content)
    }

    /// The component with this id.
    #[must_use]
    pub fn component(&self, id: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.id == id)
    }
}

fn check_version(reader: &mut Reader<'_>, node: &Node<'_, '_>) {
    if node.value.as_str() == Some("1") {
        reader.fault(
            node,
            "manifests of version 1 are not supported",
            "`spin doctor` rewrites them to version 2",
        );
    } else if node
        .value
        .as_integer()
        .is_none_or(|version| version.as_str() != "2")
    {
        reader.fault(node, "must be 2", "write `spin_manifest_version = 2`");
    }
}

/// What is wrong with a path of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathFault {
    Empty,
    ZeroByte,
    Absolute,
    Leaves,
}

impl PathFault {
    /// What is wrong, as the rest of a sentence about the path.
    fn message(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::ZeroByte => "has a zero byte",
            Self::Absolute => "must be relative to the manifest's folder",
            Self::Leaves => "leaves the application's source",
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::Empty => "write a path relative to the manifest's folder, such as \"assets\"",
            Self::ZeroByte => "remove it: no file has a name with one",
            Self::Absolute => "leave the `/` in front out, and keep the file in the repository",
            Self::Leaves => {
                "keep the file in the repository, and write no more `..` than there are folders above the manifest"
            }
        }
    }
}

/// Checks a path of the manifest: relative, not leaving the source. `climb` is how many leading
/// `..` stay inside it.
pub(crate) fn check_relative(path: &str, climb: usize) -> Result<(), PathFault> {
    if path.is_empty() {
        return Err(PathFault::Empty);
    }
    if path.contains('\0') {
        return Err(PathFault::ZeroByte);
    }
    if path.starts_with('/') {
        return Err(PathFault::Absolute);
    }
    let mut depth = climb;
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => depth = depth.checked_sub(1).ok_or(PathFault::Leaves)?,
            _ => depth += 1,
        }
    }
    Ok(())
}

impl Component {
    /// A fault in `source` that shows only when the file is looked at.
    #[must_use]
    pub fn source_fault(&self, message: impl Into<String>, remedy: &str) -> Fault {
        self.fault(self.source_line, "source", message.into(), remedy)
    }

    /// A fault in `files` or `exclude_files` (`field`) that shows only when the files are looked at.
    #[must_use]
    pub fn files_fault(&self, field: &str, message: impl Into<String>) -> Fault {
        let remedy = "name files of the repository, relative to the manifest's folder";
        self.fault(self.files_line, field, message.into(), remedy)
    }

    fn fault(&self, line: usize, field: &str, message: String, remedy: &str) -> Fault {
        Fault {
            line,
            column: line.min(1),
            path: format!("component.{}.{field}", self.id),
            message,
            remedy: remedy.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
