//! What must hold whatever strangers send: for `cargo xtask fuzz`, and for its corpora as ordinary tests.

use crate::ticket::{BlobTicket, TicketError, TicketKey, TicketUse};

/// Tickets in an address: made up, and real ones that were changed in one place.
pub fn tickets(data: &[u8]) {
    let key = TicketKey::from_sidecar_token("a token that is in no corpus");
    let text = &*String::from_utf8_lossy(data);
    assert_eq!(key.verify(text), Err(TicketError::Invalid));

    let [at, with, ..] = *data else {
        return;
    };
    let ticket = BlobTicket {
        id: "0190".to_owned(),
        allows: TicketUse::GetSource,
        build_id: "b1".to_owned(),
        max_bytes: 10,
    };
    let mut changed = key.sign(ticket.clone(), 3_600).into_bytes();
    // The ends are where encodings have room to play.
    let at = if at >= 128 {
        changed.len() - 1 - usize::from(at - 128) % changed.len()
    } else {
        usize::from(at) % changed.len()
    };
    changed[at] = with;
    if let Ok((read, _)) = key.verify(&String::from_utf8_lossy(&changed)) {
        assert_eq!(read, ticket, "a ticket says something else than was signed");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_of_tickets_holds() {
        nokube_corpus::replay("tickets", super::tickets);
    }
}
