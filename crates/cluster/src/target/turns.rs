//! One after another in a namespace: whether it is still needed is decided while nobody else makes
//! anything in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

type Turn = tokio::sync::Mutex<()>;

/// Turns by namespace.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<String, Weak<Turn>>>);

impl Turns {
    /// Waits for this namespace's turn; it ends when the result is dropped.
    pub(super) async fn take(&self, namespace: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match turns.get(namespace).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    turns.retain(|_, turn| turn.strong_count() > 0);
                    let turn = Arc::<Turn>::default();
                    turns.insert(namespace.to_owned(), Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }
}
