//! `cargo xtask up`: everything a new user needs, then the platform in the place of this process.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use anyhow::Context;

use crate::args::UpArguments;
use crate::layout::Layout;
use crate::report::step;
use crate::{build, machine, process, toolchain};

/// Prepares, builds, and becomes `nokube up`, so that Ctrl-C and signals reach it and nothing stands between.
pub(crate) fn run(layout: &Layout, arguments: &UpArguments) -> anyhow::Result<()> {
    let toolchain = toolchain::prepare(layout)?;
    machine::prepare_sandbox();
    build::guests(layout, &toolchain)?;
    build::native(layout)?;
    step("starting nokube");
    let mut command = process::command(layout.program("nokube"));
    command
        .current_dir(&layout.root)
        .args(up_arguments(layout, arguments)?);
    let error = command.exec();
    Err(error).context("starting nokube")
}

/// What `nokube up` is told. It starts in the checkout; a data folder that was named is meant from where the user is.
/// What was not named is left to `nokube` and its own variables.
fn up_arguments(layout: &Layout, arguments: &UpArguments) -> anyhow::Result<Vec<OsString>> {
    let mut all: Vec<OsString> = ["up", "--manifest", "spin.toml", "--toolchain"]
        .map(OsString::from)
        .into();
    all.push(layout.toolchain_file().into());
    let data_dir = match &arguments.data_dir {
        Some(path) => Some(std::path::absolute(path).context("finding the data folder")?),
        None => None,
    };
    let named = [
        ("--listen", arguments.listen.clone().map(OsString::from)),
        ("--data-dir", data_dir.map(OsString::from)),
        (
            "--base-domain",
            arguments.base_domain.clone().map(OsString::from),
        ),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            all.extend([name.into(), value]);
        }
    }
    all.extend(arguments.rest.iter().map(OsString::from));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(arguments: &UpArguments) -> Vec<String> {
        let layout = Layout {
            root: "/checkout".into(),
            cache: "/cache".into(),
        };
        let all = up_arguments(&layout, arguments).unwrap();
        all.into_iter()
            .map(|argument| argument.into_string().unwrap())
            .collect()
    }

    #[test]
    fn what_was_not_named_is_left_to_nokube_and_its_variables() {
        let none = UpArguments {
            listen: None,
            data_dir: None,
            base_domain: None,
            rest: Vec::new(),
        };
        let always = [
            "up",
            "--manifest",
            "spin.toml",
            "--toolchain",
            "/cache/toolchain.json",
        ];
        assert_eq!(told(&none), always);
    }

    #[test]
    fn a_relative_data_folder_is_meant_from_where_the_user_is() {
        let arguments = UpArguments {
            listen: Some("[::1]:80".to_owned()),
            data_dir: Some("here".into()),
            base_domain: Some("apps.test".to_owned()),
            rest: vec!["--no-runner".to_owned()],
        };
        let here = std::env::current_dir().unwrap().join("here");
        let here = here.to_str().unwrap();
        let named = [
            "--listen",
            "[::1]:80",
            "--data-dir",
            here,
            "--base-domain",
            "apps.test",
            "--no-runner",
        ];
        assert_eq!(told(&arguments)[5..], named);
    }
}
