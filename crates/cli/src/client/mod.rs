//! The user's commands: everything that talks to a platform over its public API.
//!
//! Nothing here knows how a platform is run; `platform` beside it does.

mod account;
mod account_args;
mod activity;
mod administer;
mod archive;
pub(crate) mod args;
mod build;
mod credentials;
mod deploy;
mod deployment;
mod event;
mod event_args;
mod follow;
mod http;
mod inspect;
mod leaving;
mod member;
pub(crate) mod output;
mod project;
mod resolve;
mod session;
mod token;
mod totp;

use args::ClientCommand;
use http::ApiClient;
use output::Output;

/// Runs one user command.
///
/// # Errors
/// With a message that says what to do; API problems carry every fault the platform named.
pub(crate) async fn run(command: ClientCommand, json: bool) -> anyhow::Result<()> {
    let output = Output::new(json);
    match command {
        ClientCommand::Register(args) => account::register(&args, output).await,
        ClientCommand::Login(args) => account::login(&args, output).await,
        ClientCommand::Logout => account::logout(output).await,
        ClientCommand::Whoami => account::whoami(&mut ApiClient::signed_in()?, output).await,
        ClientCommand::Totp(command) => {
            totp::run(&mut ApiClient::signed_in()?, &command, output).await
        }
        ClientCommand::Invite(args) => {
            account::invite(&mut ApiClient::signed_in()?, &args, output).await
        }
        ClientCommand::Passwd(args) => {
            account::passwd(&mut ApiClient::signed_in()?, &args, output).await
        }
        ClientCommand::Account(command) => {
            leaving::run(&mut ApiClient::signed_in()?, &command, output).await
        }
        ClientCommand::Token(command) => {
            token::run(&mut ApiClient::signed_in()?, command, output).await
        }
        ClientCommand::Session(command) => {
            session::run(&mut ApiClient::signed_in()?, command, output).await
        }
        ClientCommand::User(command) => {
            administer::run(&mut ApiClient::signed_in()?, command, output).await
        }
        ClientCommand::Audit(args) => {
            administer::audit(&mut ApiClient::signed_in()?, &args, output).await
        }
        ClientCommand::Project(command) => {
            project::run(&mut ApiClient::signed_in()?, command, output).await
        }
        ClientCommand::Member(command) => {
            member::run(&mut ApiClient::signed_in()?, command, output).await
        }
        ClientCommand::Activity(args) => {
            activity::run(&mut ApiClient::signed_in()?, &args, output).await
        }
        ClientCommand::Event(command) => {
            event::run(&mut ApiClient::signed_in()?, command, output).await
        }
        ClientCommand::Deploy(args) => {
            deploy::run(&mut ApiClient::signed_in()?, &args, output).await
        }
        ClientCommand::Builds(args) => build::run(&mut ApiClient::signed_in()?, args, output).await,
        ClientCommand::Logs(args) => {
            follow::logs(&mut ApiClient::signed_in()?, &args, output).await
        }
        ClientCommand::Status(args) => {
            deployment::status(&mut ApiClient::signed_in()?, &args, output).await
        }
        ClientCommand::Manifests(args) => {
            inspect::manifests(&mut ApiClient::signed_in()?, &args, output).await
        }
        ClientCommand::Events(args) => {
            inspect::events(&mut ApiClient::signed_in()?, &args, output).await
        }
        ClientCommand::Rollback(args) => {
            deployment::rollback(&mut ApiClient::signed_in()?, &args, output).await
        }
        ClientCommand::Open(args) => {
            deployment::open(&mut ApiClient::signed_in()?, &args, output).await
        }
    }
}

/// An error as the user sees it: JSON on request, else words. Goes to standard error.
pub(crate) fn report(error: &anyhow::Error, json: bool) {
    Output::new(json).error(error);
}
