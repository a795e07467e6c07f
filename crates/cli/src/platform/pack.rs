//! `nokube pack`: a Spin application becomes an OCI artifact, as `spin registry push` writes it, and is pushed.
//!
//! It is how the platform itself comes to a cluster, and needs neither Spin nor a platform that runs.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use nokube_artifact::Digest;
use nokube_artifact::layout::Layout;
use nokube_artifact::pack::{PackLimits, Source, pack};
use nokube_artifact::push::{Credentials, PushOptions, push};
use nokube_spinapp::manifest::Manifest;

use super::runner::{REGISTRY_PASSWORD, REGISTRY_USERNAME};
use crate::args::PackArgs;

/// Packs, pushes, and says under which digest.
pub(crate) fn run(args: &PackArgs, json: bool) -> anyhow::Result<()> {
    let kept = tempfile::tempdir().context("no temporary folder can be made")?;
    let layout = Layout::open(kept.path())?;
    let digest = packed(&layout, args)?;
    let reference = &args.push;
    let options = PushOptions {
        credentials: credentials(
            std::env::var(REGISTRY_USERNAME).ok(),
            std::env::var(REGISTRY_PASSWORD).ok(),
        )?,
        plain_http: args.plain_http,
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(push(&layout, &digest, reference, &options))
        .with_context(|| format!("cannot push to {}", reference.registry()))?;
    let by_digest = format!(
        "{}/{}@{digest}",
        reference.registry(),
        reference.repository()
    );
    say(
        json,
        &serde_json::json!({
            "digest": digest.to_string(),
            "reference": reference.to_string(),
            "by_digest": by_digest,
        }),
        &by_digest,
    );
    Ok(())
}

fn packed(layout: &Layout, args: &PackArgs) -> anyhow::Result<Digest> {
    let path = &args.manifest;
    let text =
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let manifest =
        Manifest::parse(&text).with_context(|| format!("{} has faults", path.display()))?;
    let root = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let source = Source {
        root,
        manifest_dir: Path::new(""),
    };
    let packed = pack(
        layout,
        &manifest,
        source,
        &args.created,
        PackLimits::default(),
    )
    .with_context(|| format!("{} cannot be packed", path.display()))?;
    Ok(packed.digest)
}

/// Both or none: half of them is a mistake that a registry would only call unauthorized.
fn credentials(
    username: Option<String>,
    password: Option<String>,
) -> anyhow::Result<Option<Credentials>> {
    match (username, password) {
        (Some(username), Some(password)) => Ok(Some(Credentials { username, password })),
        (None, None) => Ok(None),
        _ => bail!("give both {REGISTRY_USERNAME} and {REGISTRY_PASSWORD}, or neither"),
    }
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn say(json: bool, value: &serde_json::Value, words: &str) {
    if json {
        println!("{value}");
    } else {
        println!("{words}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Words {
        #[command(flatten)]
        pack: PackArgs,
    }

    fn component() -> Vec<u8> {
        wat::parse_str(
            r#"(component
                (instance $handler)
                (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#,
        )
        .unwrap()
    }

    fn application(dir: &Path) -> PackArgs {
        let manifest = dir.join("spin.toml");
        let text = "spin_manifest_version = 2\n[application]\nname = \"one\"\n\
            [[trigger.http]]\nroute = \"/...\"\ncomponent = \"one\"\n\
            [component.one]\nsource = \"one.wasm\"\n";
        fs::write(&manifest, text).unwrap();
        let words = [
            "pack",
            "--manifest",
            manifest.to_str().unwrap(),
            "--push",
            "registry.example.org/nokube/platform:1",
        ];
        Words::parse_from(words).pack
    }

    #[test]
    fn the_same_files_have_the_same_digest_at_any_time() {
        let (dir, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let args = application(dir.path());
        fs::write(dir.path().join("one.wasm"), component()).unwrap();
        let layout = |name| Layout::open(kept.path().join(name)).unwrap();
        let first = packed(&layout("a"), &args).unwrap();
        assert_eq!(packed(&layout("b"), &args).unwrap(), first);
    }

    #[test]
    fn a_component_that_was_not_built_is_named() {
        let (dir, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let args = application(dir.path());
        let error = packed(&Layout::open(kept.path()).unwrap(), &args).unwrap_err();
        assert!(format!("{error:#}").contains("one.wasm"), "{error:#}");
    }

    #[test]
    fn half_of_the_credentials_are_refused() {
        let some = |text: &str| Some(text.to_owned());
        assert!(credentials(None, None).unwrap().is_none());
        assert!(credentials(some("ada"), some("secret")).unwrap().is_some());
        assert!(credentials(some("ada"), None).is_err());
        assert!(credentials(None, some("secret")).is_err());
    }
}
