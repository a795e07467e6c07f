//! Names to addresses, once: what is checked here is what is connected to.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nokube_domain::git_source::{AddressPolicy, RepositoryUrl};

use crate::sandbox::proxy::is_own;

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// More addresses than any Git host or package registry has.
const ADDRESSES_MAX: usize = 32;

/// All addresses of a host (a name, an IPv4 address, or an IPv6 address in brackets).
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let looked_up =
        tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((bare, port))).await;
    let addresses = match looked_up {
        Ok(Ok(addresses)) => addresses.take(ADDRESSES_MAX).collect::<Vec<_>>(),
        Ok(Err(_)) => Vec::new(),
        Err(_) => return Err(format!("the name {bare} could not be resolved in time")),
    };
    if addresses.is_empty() {
        Err(format!("there is no host named {bare}"))
    } else {
        Ok(addresses)
    }
}

/// The addresses a repository may be fetched from, every one of them allowed; or why not. Nothing for
/// `file://`.
pub(crate) async fn permitted(
    url: &RepositoryUrl,
    policy: &AddressPolicy<'_>,
) -> Result<Vec<SocketAddr>, String> {
    let Some((host, port)) = url.host_and_port() else {
        return Ok(Vec::new());
    };
    let addresses = resolve(&host.to_string(), port).await?;
    for address in &addresses {
        let checked = policy.check(address.ip(), port, is_own(address.ip()));
        checked.map_err(|refusal| format!("the repository's address {refusal}"))?;
    }
    Ok(addresses)
}
