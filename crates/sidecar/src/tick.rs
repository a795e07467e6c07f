//! The caller of the platform's internal tick: guests cannot run in the background, so something
//! must drive time (DESIGN.md, invariant 13).

use std::time::Duration;

use tokio::time::Instant;

const EVERY: Duration = Duration::from_secs(1);
/// A tick that takes longer is given up: the platform's next one does what it left.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Ticks at once and then every second until dropped, never two at a time.
pub(crate) async fn run(client: reqwest::Client, url: String, system_token: String) {
    let mut failing = false;
    loop {
        let begun = Instant::now();
        let outcome = tick(&client, &url, &system_token).await;
        match (&outcome, failing) {
            (Err(error), false) => {
                tracing::warn!(%error, "the platform does not tick; trying every second");
            }
            (Ok(()), true) => tracing::info!("the platform ticks again"),
            _ => {}
        }
        failing = outcome.is_err();
        tokio::time::sleep_until(begun + EVERY).await;
    }
}

async fn tick(client: &reqwest::Client, url: &str, system_token: &str) -> Result<(), TickError> {
    let response = client
        .post(url)
        .bearer_auth(system_token)
        .timeout(TIMEOUT)
        .send()
        .await
        .map_err(|error| TickError::Unreachable(error.without_url()))?;
    // Read to the end, so that the connection is kept.
    let status = response.status();
    let _ = response.bytes().await;
    if status.is_success() {
        Ok(())
    } else {
        Err(TickError::Status(status.as_u16()))
    }
}

#[derive(Debug, thiserror::Error)]
enum TickError {
    #[error("it cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("it answered {0}")]
    Status(u16),
}
