//! What `nokube admin` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `nokube admin`.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    /// The platform's data folder.
    #[arg(long, default_value = "./data", env = "NOKUBE_DATA_DIR", global = true)]
    pub(crate) data_dir: PathBuf,
    /// The database of accounts, where a runtime configuration put it elsewhere.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) database: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: AdminCommand,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Give an account a new password, and end all its sessions.
    ResetPassword(ResetArgs),
    /// Make an account an administrator.
    MakeAdmin(AccountArgs),
    /// Close an account: it can't sign in, and all its sessions end.
    CloseAccount(AccountArgs),
    /// Open a closed account again.
    OpenAccount(AccountArgs),
    /// Invite somebody to register.
    Invite(InviteArgs),
}

/// Whose.
#[derive(Debug, Args)]
pub(crate) struct AccountArgs {
    /// User name or e-mail address.
    pub(crate) account: String,
}

/// `nokube admin reset-password`.
#[derive(Debug, Args)]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    pub(crate) account: AccountArgs,
    /// Read the password from standard input, or ask for it. Without it one is made and shown.
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Take the second factor away as well: its device is lost, and so are the recovery codes.
    #[arg(long)]
    pub(crate) remove_second_factor: bool,
    /// Revoke every API token as well: of an account that was taken over, some may be the thief's.
    #[arg(long)]
    pub(crate) revoke_tokens: bool,
}

/// `nokube admin invite`.
#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    /// Only somebody with this address may use it.
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// How long it is good for; a week by default.
    #[arg(long, value_name = "HOURS")]
    pub(crate) hours: Option<u32>,
}
