//! Tickets that were used, remembered until they expire by themselves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::durable::{create_private_dir, remove_unfinished, write_durably};

/// One file per spent ticket: its name is the hash of the ticket's id, its content the second after
/// which the ticket is refused anyway.
pub(crate) struct SpentTickets {
    dir: PathBuf,
}

impl SpentTickets {
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        create_private_dir(dir)?;
        remove_unfinished(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    pub(crate) fn is_spent(&self, ticket_id: &str) -> io::Result<bool> {
        self.path(ticket_id).try_exists()
    }

    /// Remembers a ticket; on disk when this returns.
    pub(crate) fn spend(&self, ticket_id: &str, expires_at_s: u64) -> io::Result<()> {
        write_durably(&self.path(ticket_id), expires_at_s.to_string().as_bytes())
    }

    /// Forgets what has expired.
    pub(crate) fn purge(&self, now_s: u64) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let expired = fs::read_to_string(&path)?
                .trim()
                .parse::<u64>()
                .is_ok_and(|expires_at_s| expires_at_s < now_s);
            if expired {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn path(&self, ticket_id: &str) -> PathBuf {
        self.dir.join(hex::encode(Sha256::digest(ticket_id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_ticket_is_remembered_over_a_restart_until_it_expires() {
        let dir = tempfile::tempdir().unwrap();
        SpentTickets::open(dir.path())
            .unwrap()
            .spend("t/../1", 100)
            .unwrap();
        let spent = SpentTickets::open(dir.path()).unwrap();
        assert!(spent.is_spent("t/../1").unwrap());
        assert!(!spent.is_spent("t2").unwrap());
        spent.purge(100).unwrap();
        assert!(spent.is_spent("t/../1").unwrap());
        spent.purge(101).unwrap();
        assert!(!spent.is_spent("t/../1").unwrap());
    }
}
