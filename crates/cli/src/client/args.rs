//! What the user's commands take.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nokube_domain::Timestamp;

use super::account_args::{
    AccountCommand, AuditArgs, InviteArgs, LoginArgs, PasswdArgs, RegisterArgs, SessionCommand,
    TokenCommand, TotpCommand, UserCommand,
};
use super::event_args::EventCommand;
use super::follow;

/// Commands that talk to a platform.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Create an account and sign in.
    Register(RegisterArgs),
    /// Sign in; the tokens are kept in a file that only you can read.
    Login(LoginArgs),
    /// End this session and forget its tokens.
    Logout,
    /// Show who is signed in, and where.
    Whoami,
    /// Change the password; every other session ends.
    Passwd(PasswdArgs),
    /// Take along what is kept about you, or delete your account.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Make, list and revoke API tokens, for programs that act for you.
    #[command(subcommand)]
    Token(TokenCommand),
    /// List and end sessions: where you are signed in.
    #[command(subcommand)]
    Session(SessionCommand),
    /// List, promote and disable users; for administrators.
    #[command(subcommand)]
    User(UserCommand),
    /// Show what was done with accounts: by you, or by anyone for administrators.
    Audit(AuditArgs),
    /// Turn the second factor of your account on or off.
    #[command(subcommand)]
    Totp(TotpCommand),
    /// Invite somebody to register (administrators).
    Invite(InviteArgs),
    /// Create, list, take over and delete projects.
    #[command(subcommand)]
    Project(ProjectCommand),
    /// List, add and remove the members of a project.
    #[command(subcommand)]
    Member(MemberCommand),
    /// Show what was done in a project, or by you.
    Activity(ActivityArgs),
    /// Build and deploy a folder, a Git repository or a finished build, and print its address.
    Deploy(DeployArgs),
    /// List builds, or show, cancel or retry one.
    Builds(BuildsArgs),
    /// Show the log of a service or of a build.
    Logs(LogsArgs),
    /// Show what is deployed.
    Status(StatusArgs),
    /// Show the Kubernetes objects of a service, as YAML; secrets by name.
    Manifests(ServiceArgs),
    /// Show what happened to a service: scheduling, pulls, probes, restarts.
    Events(ServiceArgs),
    /// Go back to an earlier revision: image, configuration, environment and secrets.
    Rollback(RollbackArgs),
    /// Open a service in the browser.
    Open(ServiceArgs),
    /// Plan events: create, list, change and delete them, and share your calendar.
    #[command(subcommand)]
    Event(EventCommand),
}

/// Projects.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// Create a project.
    Create {
        /// Its name; the slug in addresses is made from it.
        name: String,
        /// A text for people.
        #[arg(long)]
        description: Option<String>,
        /// The Git repository its services are built from unless a build says otherwise.
        #[arg(long)]
        repository: Option<String>,
        /// The branch to build by default.
        #[arg(long)]
        branch: Option<String>,
    },
    /// List projects.
    List {
        /// Only those whose name contains this.
        #[arg(long)]
        query: Option<String>,
    },
    /// Put a project that you are an owner of under your own name; its addresses change with it.
    TakeOver {
        /// Its slug or number.
        project: String,
    },
    /// Delete a project and take down what it deployed.
    Delete {
        /// Its slug or number.
        project: String,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
}

/// Members of a project.
#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// List them.
    List {
        /// The project's slug or number.
        project: String,
    },
    /// Add one, or change what one may do.
    Add {
        /// The project's slug or number.
        project: String,
        /// Who: the name of an account.
        username: String,
        /// A viewer sees everything, a developer builds and deploys too, an owner may do all.
        #[arg(long, short, default_value = "viewer", value_parser = ["viewer", "developer", "owner"])]
        role: String,
    },
    /// Remove one. With your own name: leave.
    Remove {
        /// The project's slug or number.
        project: String,
        /// Who.
        username: String,
    },
}

/// What was done.
#[derive(Debug, Args)]
pub(crate) struct ActivityArgs {
    /// In this project, by anyone: its slug or number. Without it, what you did anywhere.
    pub(crate) project: Option<String>,
    /// Only this, such as `deployment.deploy`.
    #[arg(long, short)]
    pub(crate) action: Option<String>,
    /// So many entries at most.
    #[arg(long, short, value_name = "ENTRIES", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) number: u32,
    /// Only what was done since: a time (2026-01-31T09:30:00Z), or how long ago (30s, 10m, 2h, 1d).
    #[arg(long, value_name = "TIME", value_parser = follow::since)]
    pub(crate) since: Option<Timestamp>,
}

/// What to deploy and how.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// The source folder.
    #[arg(default_value = ".", conflicts_with_all = ["git", "build", "image"])]
    pub(crate) path: PathBuf,
    /// Project slug or number; made when it does not exist. The folder's name by default.
    #[arg(long, short)]
    pub(crate) project: Option<String>,
    /// Service name. By default the `spin.toml` application's name, else the folder's.
    #[arg(long, short)]
    pub(crate) service: Option<String>,
    /// Environment, such as `production` (the default) or `recette`.
    #[arg(long, short)]
    pub(crate) environment: Option<String>,
    /// Build this Git repository instead of a folder.
    #[arg(long)]
    pub(crate) git: Option<String>,
    /// Branch or tag of the repository.
    #[arg(long, requires = "git")]
    pub(crate) branch: Option<String>,
    /// Commit of the repository.
    #[arg(long, requires = "git")]
    pub(crate) commit: Option<String>,
    /// Folder inside the source to build.
    #[arg(long)]
    pub(crate) subdirectory: Option<String>,
    /// Deploy a finished build.
    #[arg(long, conflicts_with_all = ["git", "image"])]
    pub(crate) build: Option<String>,
    /// Deploy an image by name: of a build, or a container image where the platform allows that.
    #[arg(long, conflicts_with = "git")]
    pub(crate) image: Option<String>,
    /// Configuration, `NAME=VALUE`; `NAME=` sets it empty. What is not named stays as it was.
    #[arg(long = "env", value_name = "NAME=VALUE")]
    pub(crate) env_vars: Vec<String>,
    /// A secret: `NAME` takes its value from your environment, `NAME=VALUE` from the command line.
    #[arg(long = "secret", value_name = "NAME[=VALUE]")]
    pub(crate) secrets: Vec<String>,
    /// Return once the platform has accepted it.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Only show the Kubernetes objects that it would make; takes --build or --image.
    #[arg(long, conflicts_with_all = ["git", "no_wait"])]
    pub(crate) preview: bool,
}

/// Builds.
#[derive(Debug, Args)]
pub(crate) struct BuildsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<BuildCommand>,
    /// Only of this project.
    #[arg(long, short)]
    pub(crate) project: Option<String>,
    /// Only of this service.
    #[arg(long, short)]
    pub(crate) service: Option<String>,
}

/// What to do with one build.
#[derive(Debug, Subcommand)]
pub(crate) enum BuildCommand {
    /// Show it.
    Show {
        /// The build's id.
        id: String,
    },
    /// Cancel it.
    Cancel {
        /// The build's id.
        id: String,
    },
    /// Build the same commit again.
    Retry {
        /// The build's id.
        id: String,
    },
}

/// Which service.
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    /// `service`, or `project/service`.
    pub(crate) service: String,
    /// Project slug or number, when several have a service of that name.
    #[arg(long, short)]
    pub(crate) project: Option<String>,
    /// Environment; `production` by default.
    #[arg(long, short)]
    pub(crate) environment: Option<String>,
}

/// Whose log.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// `service`, or `project/service`.
    #[arg(required_unless_present = "build")]
    pub(crate) service: Option<String>,
    /// Project slug or number.
    #[arg(long, short)]
    pub(crate) project: Option<String>,
    /// Environment; `production` by default.
    #[arg(long, short)]
    pub(crate) environment: Option<String>,
    /// The log of this build instead.
    #[arg(long, short, conflicts_with_all = ["service", "environment", "project"])]
    pub(crate) build: Option<String>,
    /// Go on with what is written from now on.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Begin so many lines before the end.
    #[arg(long, short = 'n', value_name = "LINES", value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) tail: Option<u32>,
    /// Only what was written since: a time (2026-01-31T09:30:00Z), or how long ago (30s, 10m, 2h, 1d).
    #[arg(long, value_name = "TIME", value_parser = follow::since, conflicts_with = "build")]
    pub(crate) since: Option<Timestamp>,
}

/// What to show.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// `service` or `project/service`; everything when missing.
    pub(crate) service: Option<String>,
    /// Only of this project.
    #[arg(long, short)]
    pub(crate) project: Option<String>,
    /// Only of this environment.
    #[arg(long, short)]
    pub(crate) environment: Option<String>,
}

/// Where to go back to.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// The revision; the one before the present one by default.
    #[arg(long, value_name = "REVISION")]
    pub(crate) to: Option<u32>,
    /// Return once the platform has accepted it.
    #[arg(long)]
    pub(crate) no_wait: bool,
}
