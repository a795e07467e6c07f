//! Which namespace an environment of a project has where the target is a cluster: recorded once, with the first release
//! or the first hand-over after it, and the same from then on.

use nokube_domain::{Environment, Namespace, ProjectId, Slug};
use nokube_guest::db::{Db, Tx};
use nokube_guest::{Ctx, Error};

use crate::error::DeployError;
use crate::settings::reserved_namespaces;
use crate::store::namespaces::{namespace_find, namespace_insert, namespace_is_taken};

/// The second candidate has the project's id, so that only names cut alike, or made to collide, come this far.
const MOST_CANDIDATES: usize = 1_000;

/// An environment of a project.
pub(crate) struct Place<'a> {
    pub(crate) project: ProjectId,
    pub(crate) slug: &'a str,
    pub(crate) environment: &'a str,
}

impl Place<'_> {
    /// The recorded name, which is recorded now when there was none.
    pub(crate) async fn recorded(&self, cx: &Ctx, tx: &Tx) -> Result<String, DeployError> {
        if let Some(name) = namespace_find(tx, self.project, self.environment).await? {
            return Ok(name);
        }
        let name = self.free(cx, tx).await?;
        namespace_insert(tx, self.project, self.environment, &name, cx.now()).await?;
        Ok(name.to_string())
    }

    /// The recorded name, or the one that would be recorded now.
    pub(crate) async fn expected(&self, cx: &Ctx, db: &Db) -> Result<String, DeployError> {
        match namespace_find(db, self.project, self.environment).await? {
            Some(name) => Ok(name),
            None => Ok(self.free(cx, db).await?.to_string()),
        }
    }

    /// The best name that nobody has and the operator does not keep.
    async fn free(&self, cx: &Ctx, db: &Db) -> Result<Namespace, DeployError> {
        let unreadable = |_| Error::Contradiction("a project's slug or environment is none");
        let slug = Slug::parse(self.slug).map_err(unreadable)?;
        let environment = Environment::parse(self.environment).map_err(unreadable)?;
        let kept = reserved_namespaces(cx);
        for name in Namespace::candidates(&slug, &environment, self.project).take(MOST_CANDIDATES) {
            let is_kept = kept.iter().any(|kept| kept == name.as_str());
            if !is_kept && !namespace_is_taken(db, &name).await? {
                return Ok(name);
            }
        }
        Err(Error::Contradiction("a thousand names of namespaces are taken").into())
    }
}
