//! The tenants' process seen from the front process: its sockets, its life, and whether it is there.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use nokube_sidecar::durable::create_private_dir;
use tokio::process::Command;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{CONTROL_SOCKET, HTTP_SOCKET, folders};
use crate::platform::child::{self, Prepared, THIS_PROGRAM, Watcher};
use crate::platform::process::LOG_VARIABLE;
use crate::platform::unix::SocketDir;

/// The sockets and folders of the tenants' process.
pub(crate) struct TenantsProcess {
    sockets: SocketDir,
    control: OwnedFd,
    http: OwnedFd,
    root: std::path::PathBuf,
    uid: Option<u32>,
    disk_reserve_mib: Option<u64>,
    starts: watch::Sender<Life>,
}

/// What is known of the process' life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    /// How often it was started.
    pub(crate) starts: u64,
    /// Whether it runs now.
    pub(crate) running: bool,
}

impl TenantsProcess {
    /// Makes the sockets in `run` and the folders below `root`. With `uid` the process becomes that
    /// user, with `root` as its root folder. `disk_reserve_mib` of the disk are left free by what it runs.
    pub(crate) fn prepare(
        run: &Path,
        root: &Path,
        uid: Option<u32>,
        disk_reserve_mib: Option<u64>,
    ) -> anyhow::Result<Self> {
        create_private_dir(run).with_context(|| format!("{} cannot be made", run.display()))?;
        folders::prepare(root, uid)
            .with_context(|| format!("the folders below {} cannot be made", root.display()))?;
        let sockets = SocketDir::open(run)?;
        let listen = |name| {
            sockets
                .listen(name)
                .with_context(|| format!("no socket can be made in {}", run.display()))
        };
        Ok(Self {
            control: listen(CONTROL_SOCKET)?.into(),
            http: listen(HTTP_SOCKET)?.into(),
            sockets,
            root: root.to_owned(),
            uid,
            disk_reserve_mib,
            starts: watch::Sender::new(Life {
                starts: 0,
                running: false,
            }),
        })
    }

    /// The folder of its sockets.
    pub(crate) fn sockets(&self) -> &SocketDir {
        &self.sockets
    }

    /// Its life, to be followed.
    pub(crate) fn life(&self) -> watch::Receiver<Life> {
        self.starts.subscribe()
    }

    /// What it sees the folders below.
    pub(crate) fn folders_inside(&self) -> folders::Folders {
        match self.uid {
            Some(_) => folders::Folders::at("/"),
            None => folders::Folders::at(&self.root),
        }
    }

    /// What this process sees them below.
    pub(crate) fn folders_outside(&self) -> folders::Folders {
        folders::Folders::at(&self.root)
    }

    /// Keeps it running until `shutdown`.
    pub(crate) async fn keep_running(self: Arc<Self>, shutdown: CancellationToken) {
        let this = Arc::clone(&self);
        let command = move || this.command();
        child::keep_running("tenants", command, Follower(self), shutdown).await;
    }

    fn command(&self) -> io::Result<Prepared> {
        let mut command = Command::new(THIS_PROGRAM);
        command
            .arg0("nokube")
            .arg("tenants")
            .arg("--root")
            .arg(&self.root)
            .arg("--parent")
            .arg(std::process::id().to_string())
            .env_clear()
            // Fewer heaps: each thread's own keeps what it once needed.
            .env("MALLOC_ARENA_MAX", "2")
            .stdin(Stdio::from(self.control.try_clone()?))
            .stdout(Stdio::from(self.http.try_clone()?));
        if let Some(uid) = self.uid {
            command.arg("--uid").arg(uid.to_string());
            // Its own, below its root folder.
            command.env("TMPDIR", "/tmp");
        } else {
            command.env("TMPDIR", self.root.join(folders::TMP));
        }
        if let Some(mib) = self.disk_reserve_mib {
            command.arg("--disk-reserve-mib").arg(mib.to_string());
        }
        if let Some(filter) = std::env::var_os(LOG_VARIABLE) {
            command.env(LOG_VARIABLE, filter);
        }
        Ok(Prepared {
            command,
            input: None,
        })
    }
}

struct Follower(Arc<TenantsProcess>);

impl Watcher for Follower {
    fn started(&self) {
        self.0.starts.send_modify(|life| {
            life.starts += 1;
            life.running = true;
        });
    }

    fn ended(&self) {
        self.0.starts.send_modify(|life| life.running = false);
    }
}
