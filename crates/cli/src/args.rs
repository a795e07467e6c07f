//! The command line, and which part of the program each command is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::admin::{self, AdminArgs};
use crate::backup::{self, BackupArgs, RestoreArgs};
use crate::client::{self, args::ClientCommand};
use crate::platform;

/// A self-hosted application platform: builds Git repositories and runs them as WebAssembly.
#[derive(Debug, Parser)]
#[command(name = "nokube", version, propagate_version = true)]
pub(crate) struct Cli {
    /// Answer in JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole platform on this machine.
    Up(UpArgs),
    /// Run the sidecar beside a platform that runs elsewhere, such as under `spin up`.
    Sidecar(SidecarArgs),
    /// Run a build runner.
    Runner(RunnerArgs),
    /// Create the platform's keys where they are missing.
    Keys(KeysArgs),
    /// Pack a Spin application as an OCI artifact, and push it: the platform itself, for a cluster.
    Pack(PackArgs),
    /// Back a platform's data folder up, also while it runs.
    Backup(BackupArgs),
    /// Make a data folder of a backup.
    Restore(RestoreArgs),
    /// Mend accounts on the machine itself, whether the platform runs or not.
    Admin(AdminArgs),
    /// Compile a WebAssembly component to native code.
    #[command(hide = true)]
    Compile(CompileArgs),
    /// Run the tenants' applications; started by `up` and `sidecar`.
    #[command(hide = true)]
    Tenants(TenantsArgs),
    /// The first process of a build's sandbox; started by `runner`.
    #[command(hide = true)]
    SandboxInit {
        /// What the runner hands over.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<std::ffi::OsString>,
    },
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    #[command(flatten)]
    Client(ClientCommand),
}

/// `nokube up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Address of the API and of every application.
    #[arg(long, default_value = "127.0.0.1:3000", env = "NOKUBE_LISTEN")]
    pub(crate) listen: SocketAddr,
    /// The platform's Spin application.
    #[arg(long, default_value = "spin.toml", env = "NOKUBE_MANIFEST")]
    pub(crate) manifest: PathBuf,
    /// Spin runtime configuration: databases and key-value stores in files, variables given in it, by the environment or
    /// by a dotenv file. Relative paths of files are taken below the data folder's db/, which `data/db/` stands for;
    /// what has no path is a file named by its label. Keys, addresses and options win over variables in it.
    #[arg(long, value_name = "FILE")]
    pub(crate) runtime_config: Option<PathBuf>,
    /// A variable of the platform's application, above what is set otherwise.
    #[arg(long = "variable", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) variables: Vec<(String, String)>,
    /// The address users reach the platform at, when it is not the one it listens on.
    #[arg(long, value_name = "URL", env = "NOKUBE_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,
    /// Another sidecar that deploys, such as `nokube-sidecar` for a cluster, and that keeps artifacts meanwhile. It has
    /// this platform's tokens and sealing key (`keys.env` in the data folder).
    #[arg(long, value_name = "URL", env = "NOKUBE_SIDECAR_URL")]
    pub(crate) sidecar_url: Option<url::Url>,
    /// Prefix of image names; `registry.localhost/nokube` unless the runtime configuration says otherwise.
    #[arg(long)]
    pub(crate) registry: Option<String>,
    /// Origins whose scripts may call the API, separated by commas.
    #[arg(long)]
    pub(crate) cors_origins: Option<String>,
    /// Addresses and networks of proxies in front, whose `X-Forwarded-For` is believed, separated by
    /// commas.
    #[arg(long, default_value = "")]
    pub(crate) trusted_proxies: String,
    /// Write `{"url","pid","setup_code",…}` to this file once the platform answers.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) local: LocalArgs,
    #[command(flatten)]
    pub(crate) build: BuildArgs,
}

/// `nokube sidecar`.
#[derive(Debug, Args)]
pub(crate) struct SidecarArgs {
    /// Where applications run.
    #[arg(long, value_enum, default_value_t = TargetKind::Local)]
    pub(crate) target: TargetKind,
    /// The file of keys that `nokube keys` made; `keys.env` in the data folder by default.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Base URL of the platform.
    #[arg(long, default_value = "http://127.0.0.1:3000", env = "NOKUBE_URL")]
    pub(crate) platform_url: String,
    /// Address of the sidecar's API and blob store.
    #[arg(long, default_value = "127.0.0.1:3001")]
    pub(crate) listen: SocketAddr,
    /// Address of the applications.
    #[arg(long, default_value = "127.0.0.1:3080")]
    pub(crate) apps_listen: SocketAddr,
    /// The address users reach the platform at, when it is not `--platform-url`.
    #[arg(long, value_name = "URL", env = "NOKUBE_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,
    /// Addresses and networks of proxies in front, whose `X-Forwarded-For` is believed, separated by
    /// commas.
    #[arg(long, default_value = "")]
    pub(crate) trusted_proxies: String,
    /// Write `{"url","apps_url","pid"}` to this file once it answers.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) local: LocalArgs,
    #[command(flatten)]
    pub(crate) build: BuildArgs,
}

/// Where a sidecar makes applications run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetKind {
    /// This machine.
    Local,
}

/// What `up` and `sidecar` share: applications on this machine.
#[derive(Debug, Args)]
pub(crate) struct LocalArgs {
    /// Everything the platform keeps.
    #[arg(long, default_value = "./data", env = "NOKUBE_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
    /// Applications answer on `<service>.<project>.<owner>.<base domain>`.
    #[arg(long, default_value = "localhost", env = "NOKUBE_BASE_DOMAIN")]
    pub(crate) base_domain: String,
    /// User id of the tenants' process and of the compiler, when this is run by root.
    #[arg(long, default_value_t = 61555, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tenant_uid: u32,
    /// Let applications connect to loopback and private addresses.
    #[arg(long)]
    pub(crate) tenant_private_egress: bool,
    /// Unload an application that nobody asked for so many seconds; the next request loads it again.
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) unload_idle_after: u32,
    #[command(flatten)]
    pub(crate) storage: StorageArgs,
}

/// What `up` and `sidecar` do with the disk.
#[derive(Debug, Args)]
pub(crate) struct StorageArgs {
    /// While less than this is free uploads are refused, and what makes applications' databases larger;
    /// by default 1 GiB or 5 % of the disk, whichever is less.
    #[arg(long, value_name = "MIB", env = "NOKUBE_MIN_FREE_MIB")]
    pub(crate) min_free_mib: Option<u64>,
    /// Compiled modules that nothing uses are removed above this, oldest first.
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 2048,
        env = "NOKUBE_MODULE_CACHE_MIB"
    )]
    pub(crate) module_cache_mib: u64,
    /// How often housekeeping looks.
    #[arg(long, hide = true, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) housekeeping_seconds: u64,
    /// What nothing names is removed when it is this old.
    #[arg(long, hide = true, default_value_t = 3600)]
    pub(crate) unused_for_seconds: u64,
}

/// What `up`, `sidecar` and `runner` share: builds.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// Start no build runner.
    #[arg(long)]
    pub(crate) no_runner: bool,
    /// Which addresses sources may be cloned from. By default `local` while the platform listens on
    /// loopback alone with no `--public-url` and no `--trusted-proxies`, else `public`.
    #[arg(long, value_enum)]
    pub(crate) git_access: Option<GitAccessKind>,
    /// The same as `--git-access local`: sources by `file://` are allowed too.
    #[arg(long, conflicts_with = "git_access")]
    pub(crate) allow_file_urls: bool,
    /// Run build commands without a sandbox where there is none. Only where all users may do anything.
    #[arg(long)]
    pub(crate) unsandboxed_builds: bool,
    /// Let build commands reach nothing but themselves.
    #[arg(long)]
    pub(crate) offline_builds: bool,
    /// What build commands find in their `PATH`.
    #[arg(long, value_name = "FILE", env = "NOKUBE_TOOLCHAIN")]
    pub(crate) toolchain: Option<PathBuf>,
    /// The guest that serves static sites.
    #[arg(long, value_name = "FILE", env = "NOKUBE_FILESERVER")]
    pub(crate) fileserver: Option<PathBuf>,
    /// Push artifacts to this registry too (`http://` or `https://`); `NOKUBE_REGISTRY_USERNAME` and
    /// `NOKUBE_REGISTRY_PASSWORD` when it wants them.
    #[arg(long, value_name = "URL")]
    pub(crate) push_registry: Option<String>,
    /// Builds at once. Each is a user of its own, from 61556 on, where the runner is root.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) build_concurrency: u16,
    /// What builds leave free of the disk. By default 1024, or the twentieth part of a small disk.
    #[arg(long, value_name = "MIB")]
    pub(crate) build_reserve_mib: Option<u64>,
    /// What is kept of all projects for their next builds; what was used the longest ago is removed. By
    /// default 16384.
    #[arg(long, value_name = "MIB")]
    pub(crate) build_caches_mib: Option<u64>,
}

/// Which addresses sources may be cloned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GitAccessKind {
    /// Any: `file://`, loopback and private addresses too.
    Local,
    /// Public addresses only.
    Public,
}

impl GitAccessKind {
    /// As the platform's variable has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Public => "public",
        }
    }
}

/// `nokube runner`.
#[derive(Debug, Args)]
pub(crate) struct RunnerArgs {
    /// Base URL of the platform.
    #[arg(long, default_value = "http://127.0.0.1:3000", env = "NOKUBE_URL")]
    pub(crate) platform_url: String,
    /// The file of keys with the runner token; else `NOKUBE_RUNNER_TOKEN` is used.
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// The runner's own folder.
    #[arg(long, default_value = "./data/runner")]
    pub(crate) data_dir: PathBuf,
    /// A folder that no `file://` source may lie in. May be given more than once.
    #[arg(long, value_name = "DIR")]
    pub(crate) private_dir: Vec<PathBuf>,
    /// A port of this machine that is never a source. May be given more than once.
    #[arg(long, value_name = "PORT")]
    pub(crate) denied_port: Vec<u16>,
    /// A name for people; the host name by default.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// End when this process does, with the token as the first line of standard input.
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) parent: Option<u32>,
    #[command(flatten)]
    pub(crate) build: BuildArgs,
}

/// `nokube keys`.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// The data folder the keys are for.
    #[arg(long, default_value = "./data", env = "NOKUBE_DATA_DIR", global = true)]
    pub(crate) data_dir: PathBuf,
    /// Add what databases on libSQL servers need: a key and a token for each, as a cluster wants them.
    #[arg(long)]
    pub(crate) libsql: bool,
    #[command(subcommand)]
    pub(crate) command: Option<KeysCommand>,
}

/// `nokube pack`.
#[derive(Debug, Args)]
pub(crate) struct PackArgs {
    /// The application, built; its files are below the manifest's folder.
    #[arg(long, default_value = "spin.toml")]
    pub(crate) manifest: PathBuf,
    /// Where to: `registry[:port]/repository:tag`. `NOKUBE_REGISTRY_USERNAME` and `NOKUBE_REGISTRY_PASSWORD` when it
    /// wants them.
    #[arg(long, value_name = "REFERENCE")]
    pub(crate) push: nokube_artifact::push::Reference,
    /// Speak HTTP without TLS: for a registry on this machine.
    #[arg(long)]
    pub(crate) plain_http: bool,
    /// The time that is noted in it (RFC 3339). Always the same by default: then the same files have the same digest.
    #[arg(long, value_name = "TIME", default_value = "1970-01-01T00:00:00Z")]
    pub(crate) created: String,
}

/// What to do with keys that are there.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a new key for signing access tokens. The platform takes it at its next start; tokens of the
    /// old key are good until their end.
    Rotate {
        /// How long tokens of the old key may be good for; 0 when it was stolen. The platform has to be
        /// started again a quarter of an hour before.
        #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u32).range(..=10_080))]
        keep: u32,
    },
}

/// `nokube compile`.
#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// The component; `-` for standard input.
    pub(crate) source: PathBuf,
    /// The native code; `-` for standard output.
    pub(crate) target: PathBuf,
    /// End when this process does.
    #[arg(long, value_name = "PID")]
    pub(crate) parent: Option<u32>,
}

/// `nokube tenants`: standard input and output are the listening sockets.
#[derive(Debug, Args)]
pub(crate) struct TenantsArgs {
    /// The folder of applications, their state and their logs.
    #[arg(long)]
    pub(crate) root: PathBuf,
    /// Become this user, with `root` as the root folder.
    #[arg(long)]
    pub(crate) uid: Option<u32>,
    /// End when this process does.
    #[arg(long)]
    pub(crate) parent: u32,
    /// What applications' databases leave free of the disk.
    #[arg(long)]
    pub(crate) disk_reserve_mib: Option<u64>,
}

/// What programs expect of a command that was called wrongly; the same as clap's own.
const USAGE_ERROR: u8 = 2;

/// Reads the command line and does what it asks. Errors are said here.
pub(crate) fn run() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) if error.use_stderr() && wants_json(std::env::args_os()) => {
            let text = error.render().to_string();
            let text = text.trim().trim_start_matches("error: ").to_owned();
            client::report(&anyhow::Error::msg(text), true);
            ExitCode::from(USAGE_ERROR)
        }
        // Help, the version, or an error for people.
        Err(error) => error.exit(),
    }
}

/// Whether `--json` is there: asked when the rest could not be understood.
fn wants_json(args: impl Iterator<Item = std::ffi::OsString>) -> bool {
    args.skip(1)
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json")
}

impl Cli {
    fn run(self) -> ExitCode {
        let json = self.json;
        let outcome = match self.command {
            Command::Up(args) => platform::up::run(args, json),
            Command::Sidecar(args) => platform::standalone::run(args, json),
            Command::Runner(args) => platform::runner::run(args),
            Command::Keys(args) => platform::keys::run(&args, json),
            Command::Pack(args) => platform::pack::run(&args, json),
            Command::Backup(args) => match backup::run_backup(&args, json) {
                Ok(code) => return code,
                Err(error) => Err(error),
            },
            Command::Restore(args) => backup::run_restore(&args, json),
            Command::Admin(args) => admin::run(&args, json),
            Command::Compile(args) => return platform::compile::run_child(&args),
            Command::Tenants(args) => platform::tenants::process::run(&args),
            Command::SandboxInit { args } => return platform::runner::run_sandbox_init(&args),
            Command::Completions { shell } => {
                clap_complete::generate(
                    shell,
                    &mut Self::command(),
                    "nokube",
                    &mut std::io::stdout(),
                );
                Ok(())
            }
            Command::Client(command) => run_client(command, json),
        };
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                client::report(&error, json);
                ExitCode::FAILURE
            }
        }
    }
}

fn run_client(command: ClientCommand, json: bool) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(client::run(command, json))
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
