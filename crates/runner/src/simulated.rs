//! The `simulated` builder: every status and log of a build, without a source, for demonstrations and
//! tests. Nothing is fetched and nothing runs.
//!
//! The outcome follows from the words in the branch's name, or without a branch in the service's:
//!
//! | the name contains | the build |
//! |---|---|
//! | `fail` | fails |
//! | `hang` | stays building until it is cancelled or its time is over |
//! | `slow` | takes ten seconds, then succeeds |
//! | anything else | succeeds |
//!
//! A build that succeeds has an artifact: a page that names the project, the service and the branch.
//! The same names give the same digest and the same commit.

use std::time::Duration;

use nokube_api::logs::LogStream;
use nokube_api::runner::JobSource;
use sha2::{Digest, Sha256};

use crate::error::{BuildError, BuildStep};
use crate::job::Build;
use crate::pack;

/// The time of every simulated artifact: the start of 2026.
const CREATED: &str = "2026-01-01T00:00:00Z";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Fail,
    Hang,
    Slow,
    Succeed,
}

impl Outcome {
    fn of(name: &str) -> Self {
        let words = [
            ("fail", Self::Fail),
            ("hang", Self::Hang),
            ("slow", Self::Slow),
        ];
        words
            .into_iter()
            .find(|(word, _)| name.contains(word))
            .map_or(Self::Succeed, |(_, outcome)| outcome)
    }
}

/// Pretends.
pub(crate) async fn make(build: &Build) -> BuildStep<String> {
    let job = &build.job;
    let (address, branch, commit) = match &job.source {
        JobSource::Git {
            url,
            branch,
            commit,
        } => (url.as_str(), branch.as_deref(), commit.clone()),
        JobSource::Archive { digest, .. } => (digest.as_str(), None, None),
    };
    let name = branch.unwrap_or(&job.service_name);
    let commit =
        commit.unwrap_or_else(|| hex::encode(&Sha256::digest(format!("{address}\n{name}"))[..20]));
    build.set_commit(&commit);
    build
        .log
        .system("this build is simulated: nothing is fetched, nothing runs")
        .await;
    build.log.system(format!("fetched commit {commit}")).await;
    build
        .log
        .write(LogStream::Stdout, "compiling (simulated)")
        .await;
    match Outcome::of(name) {
        Outcome::Fail => {
            build
                .log
                .write(LogStream::Stderr, "error: this build was asked to fail")
                .await;
            return Err(BuildError::source(
                "the simulated build failed, as its branch or service name asks for",
            ));
        }
        Outcome::Hang => {
            build
                .log
                .write(LogStream::Stdout, "waiting to be cancelled (simulated)")
                .await;
            std::future::pending::<()>().await;
        }
        Outcome::Slow => {
            for second in 1..=10 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                build
                    .log
                    .write(
                        LogStream::Stdout,
                        &format!("compiling (simulated), {second} of 10"),
                    )
                    .await;
            }
        }
        Outcome::Succeed => {}
    }
    build
        .log
        .write(LogStream::Stdout, "finished (simulated)")
        .await;
    let site = build.work.path().join("site");
    let made = std::fs::create_dir(&site).and_then(|()| {
        std::fs::write(
            site.join("index.html"),
            page(&job.owner, &job.project, &job.service_name, name),
        )
    });
    made.map_err(BuildError::io("cannot write the simulated page"))?;
    pack::pack_site(build, site, CREATED.to_owned()).await
}

/// Names of owners, projects and services are DNS labels; a branch may hold anything.
fn page(owner: &str, project: &str, service: &str, branch: &str) -> String {
    let branch = branch
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{service}</title>\n<h1>{service}</h1>\n\
         <p>A simulated build of {owner}/{project}/{service}, {branch}.</p>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_follows_from_the_name() {
        assert_eq!(Outcome::of("main"), Outcome::Succeed);
        assert_eq!(Outcome::of("feature/fail-early"), Outcome::Fail);
        assert_eq!(Outcome::of("hang"), Outcome::Hang);
        assert_eq!(Outcome::of("slow-motion"), Outcome::Slow);
    }

    #[test]
    fn a_branch_cannot_write_into_the_page() {
        assert!(page("ada", "shop", "web", "<script>").contains("&lt;script&gt;"));
    }
}
