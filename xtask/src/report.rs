//! How a command says what it is doing.

use std::time::Instant;

/// Says what is about to be done.
pub(crate) fn step(what: &str) {
    println!("» {what}");
}

/// Says something worth knowing below the last step.
pub(crate) fn note(what: &str) {
    println!("  {what}");
}

/// Does `work`, saying before what it is and after how long it took when that was noticeable.
pub(crate) fn timed<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    step(what);
    let start = Instant::now();
    let result = work()?;
    let seconds = start.elapsed().as_secs_f64();
    if seconds > 2.0 {
        note(&format!("done in {seconds:.0} s"));
    }
    Ok(result)
}
