//! A build runner in the test's own process, against a [`RunnerPlatform`].

use std::path::Path;
use std::time::Duration;

use nokube_api::runner::Job;
use nokube_runner::{GitAccess, Helper, RunnerError, RunnerOptions};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::runner_platform::{RunnerPlatform, SeenBuild, TOKEN};

/// Builds of these tests are small; compilers are not.
pub const BUILD_LIMIT: Duration = Duration::from_secs(60);

/// A platform, a runner and the runner's folder.
pub struct Bench {
    /// What the runner talks to.
    pub platform: RunnerPlatform,
    folder: TempDir,
    helper: Helper,
    running: Option<Running>,
}

/// A runner's task, and what stops it when dropped.
type Running = (oneshot::Sender<()>, JoinHandle<Result<(), RunnerError>>);

impl Bench {
    /// A runner with these changes to its options. `helper` is the test package's `sandbox-init`.
    ///
    /// # Panics
    /// When there is no room for a folder or a port.
    pub async fn start(helper: &str, change: impl FnOnce(&mut RunnerOptions)) -> Self {
        let helper = Helper {
            program: helper.into(),
            args: Vec::new(),
        };
        let folder = tempfile::tempdir().expect("a folder for the runner");
        let mut bench = Self {
            platform: RunnerPlatform::start().await,
            folder,
            helper,
            running: None,
        };
        bench.start_runner(change);
        bench
    }

    /// Starts the runner (again).
    pub fn start_runner(&mut self, change: impl FnOnce(&mut RunnerOptions)) {
        let mut options = RunnerOptions::new(
            self.platform.url(),
            TOKEN.to_owned(),
            self.data_dir().to_owned(),
        );
        options.git_access = GitAccess::Local;
        options.helper = Some(self.helper.clone());
        change(&mut options);
        let (stop, stopped) = oneshot::channel::<()>();
        let runner = tokio::spawn(nokube_runner::run(options, async move {
            // A dropped sender means the test is over.
            drop(stopped.await);
        }));
        self.running = Some((stop, runner));
    }

    /// Tells the runner to stop and waits for it.
    ///
    /// # Panics
    /// When it ends otherwise than well.
    pub async fn stop_runner(&mut self) {
        let (stop, runner) = self.running.take().expect("the runner runs");
        drop(stop);
        runner
            .await
            .expect("the runner does not panic")
            .expect("the runner ends well");
    }

    /// Ends the runner as a crash would: nothing is told, nothing cleaned.
    pub fn kill_runner(&mut self) {
        if let Some((_, runner)) = self.running.take() {
            runner.abort();
        }
    }

    /// The runner's own folder.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Builds a Git source.
    pub async fn build(&self, id: &str, url: &str) -> SeenBuild {
        self.build_job(self.platform.job(id, url)).await
    }

    /// Builds a job.
    pub async fn build_job(&self, job: Job) -> SeenBuild {
        self.platform.build(job, BUILD_LIMIT).await
    }
}
