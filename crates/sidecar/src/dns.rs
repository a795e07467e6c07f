//! TXT records of names by which a domain's owner shows whose it is.
//!
//! Guests open no sockets of their own, so the sidecar asks on their behalf: names of challenges alone
//! (`nokube_domain::check_challenge_name`), few at a time, for a few seconds.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use tokio::sync::Semaphore;

/// Lookups at once; others are told to come back. Each holds an instance of the platform's component, which has 32: whoever
/// asks for a name whose server says nothing must not hold all of them.
const AT_ONCE: usize = 8;
/// All of one lookup. The platform gives up after ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// One question to one server; after that it is asked again.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Whoever has more records at such a name has them for something else.
const MOST_RECORDS: usize = 20;
/// A proof has 39 characters.
const MOST_RECORD_BYTES: usize = 512;

/// Why it is not known what the DNS has.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DnsError {
    /// No server is known, or none could be set up.
    #[error("no DNS server can be asked")]
    Setup(#[source] NetError),
    /// The name is none.
    #[error("the name cannot be asked for")]
    Name(#[source] ProtoError),
    /// The servers answered with a failure.
    #[error("the DNS fails")]
    Failed(#[source] NetError),
    /// They did not answer in time.
    #[error("the DNS does not answer")]
    Timeout,
    /// Others are asking.
    #[error("too many names are being looked up")]
    Busy,
}

/// Asks the DNS.
pub(crate) struct Dns {
    /// The server to ask; those of the system without it.
    server: Option<SocketAddr>,
    turns: Semaphore,
}

impl Dns {
    pub(crate) fn new(server: Option<SocketAddr>) -> Self {
        Self {
            server,
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// The texts of the TXT records of `name`; none when there is no such name.
    pub(crate) async fn txt(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let _turn = self.turns.try_acquire().map_err(|_| DnsError::Busy)?;
        tokio::time::timeout(PATIENCE, self.ask(name))
            .await
            .unwrap_or(Err(DnsError::Timeout))
    }

    async fn ask(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let mut name = Name::from_ascii(name).map_err(DnsError::Name)?;
        // No search list: it is the whole name.
        name.set_fqdn(true);
        let found = match self.resolver()?.lookup(name, RecordType::TXT).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(DnsError::Failed(error)),
        };
        let texts = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(txt) => text(&txt.txt_data),
                _ => None,
            });
        Ok(texts.take(MOST_RECORDS).collect())
    }

    /// A resolver for one lookup: it remembers nothing, so that a record that was just added is seen, and the system's
    /// configuration is the present one.
    fn resolver(&self) -> Result<TokioResolver, DnsError> {
        let mut builder = match self.server {
            None => TokioResolver::builder_tokio().map_err(DnsError::Setup)?,
            Some(server) => {
                let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = server.port();
                }
                let server = NameServerConfig::new(server.ip(), true, connections);
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
                Resolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.timeout = QUESTION_TIMEOUT;
        options.attempts = 1;
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        builder.build().map_err(DnsError::Setup)
    }
}

/// The strings of one record are one text (RFC 7208, section 3.3, says so for its own). What is long, or no text, is
/// none of ours.
fn text(strings: &[Box<[u8]>]) -> Option<String> {
    let bytes = strings.concat();
    let fits = bytes.len() <= MOST_RECORD_BYTES;
    fits.then(|| String::from_utf8(bytes).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn more_lookups_than_there_are_turns_for_are_told_so_at_once() {
        // Nothing answers there.
        let dns = Dns::new(Some(SocketAddr::from(([127, 0, 0, 1], 9))));
        let turns = u32::try_from(AT_ONCE).unwrap();
        let others = dns.turns.try_acquire_many(turns).unwrap();
        let refused = dns.txt("_nokube-challenge.example.com").await;
        assert!(matches!(refused, Err(DnsError::Busy)), "{refused:?}");
        drop(others);
        let asked = dns.txt("_nokube-challenge.example.com").await;
        assert!(!matches!(asked, Ok(_) | Err(DnsError::Busy)), "{asked:?}");
    }
}
