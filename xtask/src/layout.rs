//! Where things are: in the checkout, and in the cache folder outside of it.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The folders every command works in.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The top of the checkout.
    pub(crate) root: PathBuf,
    /// What is worth keeping over checkouts: a toolchain, tools. Never inside the repository.
    pub(crate) cache: PathBuf,
}

impl Layout {
    /// Takes the checkout from Cargo and the cache folder from the XDG base directory specification.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package
            .parent()
            .context("the xtask package has no parent folder")?
            .to_path_buf();
        if !root.join("spin.toml").exists() && !root.join("Cargo.lock").exists() {
            bail!("{} does not look like a checkout", root.display());
        }
        let cache = match (env::var_os("XDG_CACHE_HOME"), env::var_os("HOME")) {
            (Some(cache), _) if Path::new(&cache).is_absolute() => PathBuf::from(cache),
            (_, Some(home)) => PathBuf::from(home).join(".cache"),
            _ => bail!("neither XDG_CACHE_HOME nor HOME says where a cache folder may be"),
        };
        Ok(Self {
            root,
            cache: cache.join("nokube"),
        })
    }

    /// Where components and other guests are built to, apart from native code.
    pub(crate) fn guest_target(&self) -> PathBuf {
        self.root.join("target/guest")
    }

    /// Where guests with a workspace of their own are compiled to: the examples, and programs for tests.
    pub(crate) fn standalone_target(&self) -> PathBuf {
        self.root.join("target/guest-tests")
    }

    /// A native program of this workspace.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.root.join("target/release").join(name)
    }

    /// What the toolchain search found, for this program and for `nokube up --toolchain`.
    pub(crate) fn toolchain_file(&self) -> PathBuf {
        self.cache.join("toolchain.json")
    }

    /// Where tools installed by Cargo for our use are.
    pub(crate) fn tools(&self) -> PathBuf {
        self.cache.join("tools")
    }
}
