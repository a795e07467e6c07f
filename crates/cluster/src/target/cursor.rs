//! Where a page of a log ended: how many lines were given out, and how far each pod's log was read. It is
//! given to whoever reads, and understood by any sidecar after any restart.
//!
//! Written as base64url of: the lines (8 bytes), then per pod 3 bytes of a hash of its uid, the time of its
//! last line in nanoseconds (8 bytes) and how many lines of that very time were given out (2 bytes). At
//! most 14 pods: 8 + 14 × 13 = 190 bytes, 254 letters, and the platform takes 256.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Pods that one log is read from.
pub(super) const MOST_PODS: usize = 14;
const HEAD: usize = 8;
const PLACE: usize = 3 + 8 + 2;

/// A pod, in a cursor.
pub(super) type PodKey = [u8; 3];

/// Where a page ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Lines that were given out.
    pub(super) lines: u64,
    pub(super) places: BTreeMap<PodKey, PodPlace>,
}

/// How far a pod's log was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PodPlace {
    /// Time of the last line, nanoseconds since 1970.
    pub(super) at_ns: u64,
    /// Lines of that time that were given out.
    pub(super) same: u16,
}

/// Two pods of one deployment have the same key once in 16 million.
pub(super) fn pod_key(uid: &str) -> PodKey {
    let hash = Sha256::digest(uid);
    [hash[0], hash[1], hash[2]]
}

impl Cursor {
    /// Reads what [`Cursor::write`] wrote; nothing for anything else.
    pub(super) fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (head, places) = bytes.split_at_checked(HEAD)?;
        if places.len() % PLACE != 0 || places.len() / PLACE > MOST_PODS {
            return None;
        }
        let places = places
            .chunks_exact(PLACE)
            .map(|place| {
                let (key, rest) = place.split_first_chunk::<3>()?;
                let (at, same) = rest.split_first_chunk::<8>()?;
                let place = PodPlace {
                    at_ns: u64::from_be_bytes(*at),
                    same: u16::from_be_bytes(same.try_into().ok()?),
                };
                Some((*key, place))
            })
            .collect::<Option<_>>()?;
        Some(Self {
            lines: u64::from_be_bytes(head.try_into().ok()?),
            places,
        })
    }

    pub(super) fn write(&self) -> String {
        let mut bytes = self.lines.to_be_bytes().to_vec();
        for (key, place) in &self.places {
            bytes.extend(key);
            bytes.extend(place.at_ns.to_be_bytes());
            bytes.extend(place.same.to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Forgets pods beyond what is written, those that said something last stay.
    pub(super) fn trim(&mut self) {
        while self.places.len() > MOST_PODS {
            let oldest = self
                .places
                .iter()
                .min_by_key(|(_, place)| **place)
                .map(|(key, _)| *key);
            if let Some(key) = oldest {
                self.places.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(pods: u64) -> Cursor {
        Cursor {
            lines: 70_000,
            places: (0..pods)
                .map(|pod| {
                    let place = PodPlace {
                        at_ns: 1_795_000_000_000_000_000 + pod,
                        same: 3,
                    };
                    (pod_key(&pod.to_string()), place)
                })
                .collect(),
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_short_enough() {
        let full = cursor(14);
        let text = full.write();
        // What `deploy` takes.
        assert!(text.len() <= 256, "{}", text.len());
        assert_eq!(Cursor::read(&text), Some(full));
        assert_eq!(
            Cursor::read(&Cursor::default().write()),
            Some(Cursor::default())
        );
    }

    #[test]
    fn what_is_no_cursor_is_not_read() {
        for text in ["", "x", "!!!", "AAAA", "AAAAAAAAAAAB", &cursor(15).write()] {
            assert_eq!(Cursor::read(text), None, "{text}");
        }
    }

    #[test]
    fn the_pods_that_said_something_last_stay() {
        let mut many = cursor(20);
        many.trim();
        assert_eq!(many.places.len(), MOST_PODS);
        assert!(!many.places.contains_key(&pod_key("0")));
        assert!(many.places.contains_key(&pod_key("19")));
    }
}
