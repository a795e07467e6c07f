//! After the tenants' process was restarted: everything that served is told again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::StreamExt as _;

use super::LocalTarget;
use super::state::Serving;
use crate::platform::front::hosts::HostState;
use crate::platform::tenants::control::ControlError;

/// Applications told at once: each is a few file mappings.
const AT_ONCE: usize = 8;

/// Follows the tenants' process for as long as the target lives.
pub(super) async fn follow(target: Weak<LocalTarget>) {
    let Some(mut life) = target.upgrade().map(|target| target.options.life.clone()) else {
        return;
    };
    let mut told = life.borrow().starts;
    loop {
        let now = *life.borrow_and_update();
        let Some(target) = target.upgrade() else {
            return;
        };
        if !now.running {
            target.options.hosts.all_coming();
            target.changed.notify_one();
        } else if now.starts != told {
            told = now.starts;
            // It may have come and gone between two looks.
            target.options.hosts.all_coming();
            target.tell_all().await;
            target.changed.notify_one();
        }
        drop(target);
        if life.changed().await.is_err() {
            return;
        }
    }
}

impl LocalTarget {
    async fn tell_all(self: &Arc<Self>) {
        let serving = self.apps.all_serving();
        futures::stream::iter(serving)
            .for_each_concurrent(AT_ONCE, |(id, serving)| self.tell(id, serving))
            .await;
    }

    async fn tell(&self, id: String, serving: Serving) {
        let told = self
            .options
            .control
            .put(&id, serving.again, Duration::ZERO)
            .await;
        match told {
            Ok(()) => {
                // A newer revision may have been put in place meanwhile, or it may have been stopped.
                if self.apps.is_serving(&id) {
                    self.options.hosts.set(&id, HostState::Serves);
                } else {
                    // What must not serve must not be left there.
                    let _ = self.options.control.remove(&id).await;
                }
            }
            Err(ControlError::Refused(message)) => {
                tracing::warn!(deployment = id, message, "what served is refused now");
                self.apps.lost(&id, serving.generation);
            }
            // It ended again; so it will be started again.
            Err(ControlError::Unavailable(reason)) => {
                tracing::warn!(deployment = id, reason, "what served was not told again");
            }
        }
    }
}
