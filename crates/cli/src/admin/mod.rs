//! `nokube admin`: accounts mended by whoever has the machine, whether the platform runs or not.
//!
//! It opens the database of `auth` in the data folder and runs the component's own code on it
//! (`auth::MACHINE`), so migrations, password rules, hashing and the audit trail are the platform's.
//! A platform that runs meanwhile sees the change with its next request; access tokens that are out
//! stay good outside of `auth` for a quarter of an hour.

mod args;

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nokube_guest::Method;
use nokube_guest::native::{self, NativeHost};
use serde_json::{Value, json};

pub(crate) use args::AdminArgs;
use args::{AccountArgs, AdminCommand, InviteArgs, ResetArgs};

use crate::client::output::Output;
use crate::platform::keys::{Keys, generated_password};

/// Runs one of its commands.
pub(crate) fn run(args: &AdminArgs, json: bool) -> anyhow::Result<()> {
    let output = Output::new(json);
    let machine = Machine::open(&args.data_dir, args.database.as_deref())?;
    match &args.command {
        AdminCommand::ResetPassword(args) => reset_password(&machine, args, output),
        AdminCommand::MakeAdmin(args) => {
            let account = machine.ask("make-admin", &named(args))?;
            say(output, &account, "is an administrator now");
            Ok(())
        }
        AdminCommand::CloseAccount(args) => {
            let account = machine.ask("close-account", &named(args))?;
            say(output, &account, "is closed; all its sessions have ended");
            Ok(())
        }
        AdminCommand::OpenAccount(args) => {
            let account = machine.ask("open-account", &named(args))?;
            say(output, &account, "is open");
            Ok(())
        }
        AdminCommand::Invite(args) => invite(&machine, args, output),
    }
}

/// The database of `auth` and what its code wants to know.
struct Machine {
    database: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Machine {
    fn open(data_dir: &Path, database: Option<&Path>) -> anyhow::Result<Self> {
        let database = database.map_or_else(|| data_dir.join("db/auth.db"), Path::to_owned);
        if !database.is_file() {
            bail!(
                "there is no {}: name the platform's folder with --data-dir, or start the platform once",
                database.display()
            );
        }
        let keys = Keys::read(&data_dir.join("keys.env"))?;
        Ok(Self {
            database,
            variables: keys.variables().clone(),
        })
    }

    /// Has `auth::MACHINE` do something.
    fn ask(&self, what: &str, body: &Value) -> anyhow::Result<Value> {
        let host = NativeHost {
            databases: BTreeMap::from([("auth".to_owned(), self.database.clone())]),
            variables: self.variables.clone(),
        };
        let path = format!("/machine/{what}");
        let answer = native::send(&auth::MACHINE, host, Method::POST, &path, body);
        let (status, bytes) = tokio::runtime::Builder::new_current_thread()
            .build()?
            .block_on(answer);
        let value: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if (200..300).contains(&status) {
            return Ok(value);
        }
        let faults = value["errors"].as_array().into_iter().flatten();
        let faults: Vec<String> = faults
            .map(|fault| {
                let text = |name: &str| fault[name].as_str().unwrap_or_default().to_owned();
                format!(
                    "{} {}",
                    text("pointer").trim_start_matches('/'),
                    text("detail")
                )
            })
            .collect();
        match value["detail"].as_str() {
            Some(_) if !faults.is_empty() => bail!("{}", faults.join("; ")),
            Some(detail) if status < 500 => bail!("{detail}"),
            _ => bail!(
                "{} cannot be used: is it this version's, and yours to write?",
                self.database.display()
            ),
        }
    }
}

fn reset_password(machine: &Machine, args: &ResetArgs, output: Output) -> anyhow::Result<()> {
    let given = match args.password_stdin {
        true => Some(read_password()?),
        false => None,
    };
    let password = match &given {
        Some(password) => password.clone(),
        None => generated_password()?,
    };
    let body = json!({
        "account": args.account.account,
        "password": password,
        "remove_second_factor": args.remove_second_factor,
        "revoke_tokens": args.revoke_tokens,
    });
    let mut account = machine.ask("reset-password", &body)?;
    let name = account["username"].as_str().unwrap_or_default().to_owned();
    let tokens = match account["tokens_left"].as_u64() {
        None | Some(0) => String::new(),
        Some(left) => {
            format!(" Its API tokens are still good ({left}); --revoke-tokens ends them.")
        }
    };
    let words = match given {
        Some(_) => format!("{name} has the new password; all sessions have ended.{tokens}"),
        None => {
            account["password"] = password.as_str().into();
            format!(
                "{name} has a new password, shown this once; all sessions have ended.{tokens}\n{password}"
            )
        }
    };
    output.result(&account, &words);
    Ok(())
}

fn invite(machine: &Machine, args: &InviteArgs, output: Output) -> anyhow::Result<()> {
    let body = json!({ "email": args.email, "expires_in_hours": args.hours });
    let made = machine.ask("invitations", &body)?;
    let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
    output.result(
        &made,
        &format!(
            "Good until {}, shown this once:\n{}",
            text("expires_at"),
            text("code")
        ),
    );
    Ok(())
}

fn named(args: &AccountArgs) -> Value {
    json!({ "account": args.account })
}

fn say(output: Output, account: &Value, what: &str) {
    let name = account["username"].as_str().unwrap_or_default();
    output.result(account, &format!("{name} {what}."));
}

/// A person is asked without echo, a program's pipe is read to its end.
fn read_password() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        let password = rpassword::prompt_password("New password: ")?;
        if rpassword::prompt_password("Once more: ")? != password {
            bail!("the two passwords differ");
        }
        return Ok(password);
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("cannot read the password")?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
