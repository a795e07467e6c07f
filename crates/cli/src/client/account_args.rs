//! What the commands about accounts take.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nokube_domain::{Scope, Timestamp, UserRole};

use super::follow;

/// Where and as whom.
#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Address of the platform.
    #[arg(long, env = "NOKUBE_URL", default_value = "http://127.0.0.1:3000")]
    pub(crate) url: String,
    /// User name or e-mail address.
    #[arg(long, env = "NOKUBE_USERNAME", required_unless_present = "token")]
    pub(crate) username: Option<String>,
    /// Read the password from standard input. Without it `NOKUBE_PASSWORD` is used, or it is asked for.
    #[arg(long, conflicts_with = "token")]
    pub(crate) password_stdin: bool,
    /// Sign in with an API token instead: that in `NOKUBE_TOKEN`, else from standard input.
    #[arg(long)]
    pub(crate) token: bool,
    /// The code of your second factor, or a recovery code. Without it you are asked when it is needed.
    #[arg(long, env = "NOKUBE_TOTP_CODE", hide_env_values = true)]
    pub(crate) code: Option<String>,
}

/// A new account.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    /// Address of the platform.
    #[arg(long, env = "NOKUBE_URL", default_value = "http://127.0.0.1:3000")]
    pub(crate) url: String,
    /// User name or e-mail address.
    #[arg(long, env = "NOKUBE_USERNAME")]
    pub(crate) username: String,
    /// Read the password from standard input. Without it `NOKUBE_PASSWORD` is used, or it is asked for.
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// E-mail address.
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// The code of an administrator's invitation, where one is needed.
    #[arg(long, env = "NOKUBE_INVITATION_CODE", hide_env_values = true)]
    pub(crate) invitation_code: Option<String>,
    /// The code that the platform printed at its first start; makes this account its administrator.
    #[arg(long, env = "NOKUBE_SETUP_CODE", hide_env_values = true)]
    pub(crate) setup_code: Option<String>,
}

/// The second factor.
#[derive(Debug, Subcommand)]
pub(crate) enum TotpCommand {
    /// Set it up with an authenticator program, and print recovery codes.
    Enable {
        /// The program's code, when it has the secret already; asked for without it.
        #[arg(long)]
        code: Option<String>,
        /// Read the password from standard input. Without it `NOKUBE_PASSWORD` is used, or it is asked for.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Take it away.
    Disable {
        /// The program's code, or a recovery code; asked for without it.
        #[arg(long)]
        code: Option<String>,
        /// Read the password from standard input. Without it `NOKUBE_PASSWORD` is used, or it is asked for.
        #[arg(long)]
        password_stdin: bool,
    },
}

/// `nokube invite`.
#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    /// Only somebody with this address may use it.
    #[arg(long)]
    pub(crate) email: Option<String>,
    /// How long it is good for; a week by default.
    #[arg(long, value_name = "HOURS")]
    pub(crate) hours: Option<u32>,
}

/// Another password.
#[derive(Debug, Args)]
pub(crate) struct PasswdArgs {
    /// Read the present and the new password from standard input, a line each. Without it
    /// `NOKUBE_PASSWORD` and `NOKUBE_NEW_PASSWORD` are used, or they are asked for.
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Revoke every API token, too.
    #[arg(long)]
    pub(crate) revoke_tokens: bool,
}

/// The own account.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Take along what is kept about you, as JSON.
    Export {
        /// A new file that only you can read; standard output without it.
        file: Option<PathBuf>,
    },
    /// Delete your account and all that lets somebody in with it. It must own no projects.
    Delete {
        /// Read the password from standard input. Without it `NOKUBE_PASSWORD` is used, or it is asked for.
        #[arg(long)]
        password_stdin: bool,
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
    },
}

/// API tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make one. Its value is printed once and cannot be shown again.
    Create {
        /// What it is for.
        name: String,
        /// What it may do: `read`, `write`, `admin`, or read or write of one capability, such as
        /// `builds:write` (account, projects, builds, deploy, events, servers, metrics). May be given
        /// more than once.
        #[arg(long = "scope", short, value_name = "SCOPE", required = true, value_delimiter = ',', value_parser = scope)]
        scopes: Vec<String>,
        /// When it ends: a time (2027-01-31T09:30:00Z), or in how long (30d, 12h). 90 days by default,
        /// 366 at most.
        #[arg(long, value_name = "TIME", value_parser = follow::until)]
        expires: Option<Timestamp>,
    },
    /// List them, without their values.
    List,
    /// Revoke one, and those that were made with it.
    Revoke {
        /// The token's id.
        id: String,
    },
}

/// Sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List where you are signed in.
    List,
    /// Sign out there.
    End {
        /// The session's id.
        id: String,
    },
}

/// Users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// List users.
    List {
        /// Only those whose name or address begins with this.
        #[arg(long)]
        query: Option<String>,
        /// Only those of this role: `admin` or `user`.
        #[arg(long, value_parser = role)]
        role: Option<String>,
        /// Only those that are disabled.
        #[arg(long)]
        disabled: bool,
    },
    /// Make a user an administrator, or one of the others again.
    SetRole {
        /// Name or id.
        user: String,
        /// `admin` or `user`.
        #[arg(value_parser = role)]
        role: String,
    },
    /// Sign a user out everywhere and keep it out.
    Disable {
        /// Name or id.
        user: String,
    },
    /// Let a disabled user in again.
    Enable {
        /// Name or id.
        user: String,
    },
}

/// Which entries.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Only of this action, such as `session.create`.
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// Only of this user (a name, or `user:<id>`), or of the platform itself (`system`).
    #[arg(long)]
    pub(crate) actor: Option<String>,
    /// Only since: a time (2026-01-31T09:30:00Z), or how long ago (30s, 10m, 2h, 1d).
    #[arg(long, value_name = "TIME", value_parser = follow::since)]
    pub(crate) since: Option<Timestamp>,
    /// Only before.
    #[arg(long, value_name = "TIME", value_parser = follow::since)]
    pub(crate) until: Option<Timestamp>,
    /// The newest so many.
    #[arg(long, short = 'n', value_name = "ENTRIES", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

fn scope(text: &str) -> Result<String, String> {
    let scope = Scope::parse(text).map_err(|invalid| invalid.to_string())?;
    Ok(scope.to_string())
}

fn role(text: &str) -> Result<String, String> {
    let role = UserRole::parse(text).map_err(|invalid| invalid.to_string())?;
    Ok(role.as_str().to_owned())
}
