//! `cargo xtask up`, again.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::table::Report;

const UPS: usize = 3;

/// `cargo xtask up` when nothing changed since the last one, from starting Cargo to the platform's answering.
pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let mut millis = Vec::new();
    // The first one makes what the others find made.
    for _ in 0..=UPS {
        let began = Instant::now();
        up_and_down(data.path())?;
        millis.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    millis.remove(0);
    millis.sort_by(f64::total_cmp);
    let figures = [
        ("median", millis[UPS / 2], "ms"),
        ("slowest", millis[UPS - 1], "ms"),
    ];
    report
        .figures("Second `cargo xtask up`, from starting Cargo")
        .say("to answering", &figures);
    Ok(())
}

/// Starts it, waits until it says that it answers, and kills it.
fn up_and_down(data: &Path) -> anyhow::Result<()> {
    let ready = data.join("ready.json");
    let _ = std::fs::remove_file(&ready);
    let mut command = Command::new("cargo");
    // What Cargo told this process about itself would make the other build differ.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
        if name == "CARGO" || ours.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&*name);
        }
    }
    command
        .current_dir(nokube_tests::platform::repository_root())
        .args(["xtask", "up", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data.join("data"))
        .args(["--", "--ready-file"])
        .arg(&ready)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().context("starting `cargo xtask up`")?;
    let outcome = loop {
        if ready.is_file() {
            break Ok(());
        }
        if let Some(status) = child.try_wait()? {
            break Err(anyhow::anyhow!("`cargo xtask up` ended: {status}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    // Cargo and xtask are the same process by now: each became the next.
    let _ = child.kill();
    child.wait()?;
    outcome
}
