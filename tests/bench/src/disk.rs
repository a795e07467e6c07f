//! What the disk and SQLite take by themselves: what flushes each commit alone makes no more of them than that.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::generator::Outcome;
use crate::load::Round;
use crate::process::cpu_of;

/// 4 KiB written and flushed, again and again.
pub(crate) fn flushes(folder: &Path, duration: Duration) -> anyhow::Result<Round> {
    let mut file = File::create(folder.join("flushed"))?;
    let page = [7; 4 << 10];
    file.write_all(&page)?;
    file.sync_all()?;
    again_and_again(duration, || {
        file.rewind()?;
        file.write_all(&page)?;
        Ok(file.sync_data()?)
    })
}

/// A row inserted and flushed, again and again, by one connection in this process: what flushes each commit by itself, as
/// Spin does, can be as fast as that when its log is written ahead and nobody has to be answered.
pub(crate) fn inserts(folder: &Path, duration: Duration) -> anyhow::Result<Round> {
    let database = Connection::open(folder.join("alone.db"))?;
    database.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA synchronous = full;
         CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
    )?;
    let mut insert = database.prepare(
        "INSERT INTO note (text) VALUES ('a note of some length, written while it is measured')",
    )?;
    again_and_again(duration, || {
        insert.execute([])?;
        Ok(())
    })
}

fn again_and_again(
    duration: Duration,
    mut once: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Round> {
    let own = std::process::id();
    let (began, computed) = (Instant::now(), cpu_of(own)?);
    let mut micros = Vec::new();
    while began.elapsed() < duration {
        let this = Instant::now();
        once()?;
        micros.push(u32::try_from(this.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    Ok(Round {
        server_cpu_seconds: cpu_of(own)? - computed,
        // Nobody asks it.
        outcome: Outcome::of(micros, began.elapsed().as_secs_f64(), f64::NAN)?,
    })
}
