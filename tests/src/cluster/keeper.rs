//! Starting processes that end with the tests, also when those are killed.
//!
//! The kernel can kill a child when the thread that started it ends (prctl(2), `PR_SET_PDEATHSIG`), and a test is a thread
//! of its own. So all of them are started by one thread that lives as long as the process.

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};

/// A command to start, and where to say what became of it.
type Order = (Command, Sender<io::Result<Child>>);

static KEEPER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (orders, taken) = channel::<Order>();
    std::thread::Builder::new()
        .name("keeper".to_owned())
        .spawn(move || {
            for (mut command, answer) in taken {
                // Whoever asked may have given up.
                let _ = answer.send(command.spawn());
            }
        })
        .expect("a thread can be started");
    orders
});

/// A command for `program` that dies with this process when [`start`] starts it.
pub(super) fn tied(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Starts a command.
///
/// # Panics
/// When it cannot be started.
pub(super) fn start(command: Command) -> Running {
    let shown = format!("{command:?}");
    let (answer, told) = channel();
    KEEPER
        .send((command, answer))
        .expect("the keeper lives as long as the process");
    let child = told.recv().expect("the keeper answers");
    Running(child.unwrap_or_else(|error| panic!("{shown} cannot be started: {error}")))
}

/// A process that ends when this is dropped.
pub struct Running(Child);

impl Running {
    /// Its id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it has ended by itself.
    ///
    /// # Panics
    /// When the kernel does not tell.
    pub fn has_ended(&mut self) -> bool {
        let status = self.0.try_wait().expect("a child can be asked");
        status.is_some()
    }

    /// Sends it a signal by name, such as `STOP`.
    ///
    /// # Panics
    /// When that fails.
    pub fn signal(&self, name: &str) {
        let mut command = Command::new("kill");
        command.args(["-s", name, &self.pid().to_string()]);
        let sent = command.status().is_ok_and(|status| status.success());
        assert!(sent, "{name} cannot be sent");
    }

    /// `kill -9`, and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
