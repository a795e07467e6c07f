//! The audit trail: one row per change, written in the transaction of the change.

use nokube_domain::ProjectId;
use serde_json::Value;

use crate::db::{DbError, Tx};
use crate::{Caller, Ctx, params};

/// What was done.
#[derive(Debug, Clone)]
pub struct Audit<'a> {
    /// `<resource>.<verb>`, such as `project.create`.
    pub action: &'static str,
    /// What it was done to, such as `project:7`.
    pub target: String,
    /// The project it belongs to, whose members may read it.
    pub project_id: Option<ProjectId>,
    /// More about it. Never a secret.
    pub detail: Value,
    /// Who did it; nothing for the platform itself.
    pub actor: Option<&'a Caller>,
}

impl Audit<'_> {
    /// Writes the row. The tables `audit` of both databases have the same columns.
    ///
    /// # Errors
    /// As the database says; the change must then not happen either.
    pub async fn write(&self, cx: &Ctx, tx: &Tx) -> Result<(), DbError> {
        tx.execute(
            "INSERT INTO audit (at_ms, actor_id, actor_name, action, target, project_id, detail, \
             request_id, address) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                cx.now(),
                self.actor.map(|caller| caller.id),
                self.actor
                    .map_or("system", |caller| caller.username.as_str()),
                self.action,
                self.target.as_str(),
                self.project_id,
                self.detail.to_string(),
                cx.request_id(),
                cx.client_address().map(|address| address.to_string()),
            ],
        )
        .await?;
        Ok(())
    }
}
