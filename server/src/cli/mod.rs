//! The command line: `Cli` parses, [`main`] dispatches and maps every end to an exit code, here and nowhere else.
//!
//! A file per command family. Commands that talk to a peer use the SDK and nothing of the server, get a
//! `session::Session` and run in `session::with_session`; commands that need none (keys, offline checks, and those that run
//! a peer) are plain functions of their arguments and the [`Output`].

mod account;
mod acting;
mod amounts;
mod app;
mod asset;
mod backup;
mod block;
mod ca;
mod channel;
mod clean;
mod contract;
mod demo;
mod failure;
mod init;
mod key;
mod log;
mod output;
mod participant;
mod payees;
mod progress;
mod reasons;
mod serve;
mod session;
mod state;
mod status;
mod tx;
mod values;
mod verify;
mod watch;

pub use failure::Failure;
pub use output::Output;
pub use session::Global;

use crate::setup::config::unknown_variables;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use session::with_session;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;

/// A ledger server for consortia: channels with assets, contracts, apps and logs
#[derive(Debug, Parser)]
#[command(name = "chancery", version, subcommand_required = true)]
#[command(after_help = "\
Exit codes: 0 done, 1 refused with a reason, 2 usage, 3 unavailable.

Examples:
  export CHANCERY_PROFILE=~/chancery/alice
  $ chancery status
  $ chancery asset transfer coin 0x5cB4B8a1C62BD8ae4bDBB6eA1c0Da9bA2b4F2e51 250 --channel trade")]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Init(init::Init),
    Serve(serve::Serve),
    /// The certificate authorities of a peer's directory
    Ca(ca::Ca),
    /// Create, show and change channels
    #[command(
        subcommand,
        after_help = "\
A command works on the channel that it names, by name or by id: as its first word, with -c or --channel, or by
CHANCERY_CHANNEL.

Examples:
  $ chancery channel create trade --org bank --org dealer --grant bank=member,admin --grant dealer=member,admin
  $ chancery channel proposals trade
  $ chancery channel approve trade 9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d"
    )]
    Channel(channel::Command),
    /// A channel's blocks, for other programs
    #[command(
        subcommand,
        after_help = "\
Example:
  $ chancery block export trade --file trade.blocks"
    )]
    Block(block::Command),
    /// Make, show and recover account keys
    #[command(
        subcommand,
        after_help = "\
Examples:
  $ chancery key new
  $ chancery key show"
    )]
    Key(key::Command),
    /// Who may sign on a channel
    #[command(
        subcommand,
        after_help = "\
Examples:
  $ chancery participant admit --channel trade
  $ chancery participant list --organization bank --channel trade"
    )]
    Participant(participant::Command),
    /// Define, mint, move and show assets
    #[command(
        subcommand,
        after_help = "\
Examples:
  $ chancery asset define coin --title 'Harbour coin' --decimals 2 --channel trade
  $ chancery asset balance --channel trade
  $ chancery asset items deed --channel trade"
    )]
    Asset(asset::Command),
    /// Show accounts, create joint accounts
    #[command(
        subcommand,
        after_help = "\
Examples:
  $ chancery account show --channel trade
  $ chancery account items --channel trade"
    )]
    Account(account::Command),
    /// Append and list log records
    #[command(
        subcommand,
        after_help = "\
Examples:
  $ chancery log append shipments.arrived --body 'container 7, seal intact' --channel trade
  $ chancery log list --topic shipments.arrived --channel trade"
    )]
    Log(log::Command),
    /// Publish and show applications
    #[command(
        subcommand,
        after_help = "\
Examples:
  $ chancery app list --channel trade
  $ chancery app show lending-desk --channel trade"
    )]
    App(app::Command),
    /// Deploy, call and show contracts
    #[command(
        subcommand,
        after_help = "\
Examples:
  $ chancery contract deploy art-auction auction --channel trade
  $ chancery contract instances art-auction --channel trade
  $ chancery contract call lot-7 bid '{\"amount\": \"250\"}' --channel trade"
    )]
    Contract(contract::Command),
    /// Submit transactions, ask for outcomes and proofs
    #[command(
        subcommand,
        after_help = "\
Examples:
  $ chancery tx submit transfer.json
  $ chancery tx status 9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d --channel trade"
    )]
    Tx(tx::Command),
    /// Proofs of what a channel's state holds
    #[command(
        subcommand,
        after_help = "\
Example:
  $ chancery state proof --balance coin --channel trade --out proof.json"
    )]
    State(state::Command),
    Watch(watch::Watch),
    Verify(verify::Verify),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Status(status::Status),
}

/// Parses the program's arguments, runs the command, reports its end.
pub fn main() -> ExitCode {
    let parsed = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            let error = with_variable(error);
            // Help and version are answers, not mistakes. Nothing is left to say if they cannot be printed.
            let _ = error.print();
            if !error.use_stderr() {
                return ExitCode::SUCCESS;
            }
            // What does not parse cannot be asked whether it wanted JSON; the word says so wherever it stands.
            let failure = Failure::usage(reason(&error));
            if let Some(document) = failure.document().filter(|_| std::env::args().any(|word| word == "--json")) {
                let _ = writeln!(std::io::stdout(), "{}", output::ascii(&format!("{document:#}")));
            }
            return ExitCode::from(failure.exit_code());
        }
    };
    if !matches!(cli.command, Command::Serve(_)) {
        unknown_variables(&variables()).iter().for_each(|remark| output::note(remark));
    }
    let (json, serves) = (cli.global.json, matches!(cli.command, Command::Serve(_)));
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = ExitCode::from(failure.exit_code());
            if serves {
                // Whoever reads its log may be what it ends for.
                output::promptly(move || report(&failure, json));
            } else {
                report(&failure, json);
            }
            code
        }
    }
}

/// The command line, to which an empty variable is none.
fn command() -> clap::Command {
    fn without_empty(command: clap::Command) -> clap::Command {
        let is_empty = |arg: &clap::Arg| {
            let value = arg.get_env().and_then(std::env::var_os);
            value.is_some_and(|value| value.is_empty())
        };
        let command = command.mut_args(|arg| if is_empty(&arg) { arg.env(None::<&'static str>) } else { arg });
        command.mut_subcommands(without_empty)
    }
    without_empty(Cli::command())
}

/// The variables that commands read.
fn variables() -> BTreeSet<String> {
    fn of(command: &clap::Command, names: &mut BTreeSet<String>) {
        let variables = command.get_arguments().filter_map(clap::Arg::get_env);
        names.extend(variables.map(|name| name.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|command| of(command, names));
    }
    let mut names = BTreeSet::new();
    of(&Cli::command(), &mut names);
    names
}

/// A channel that is missing can be named by a variable, too.
fn with_variable(mut error: clap::Error) -> clap::Error {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let channel = |missing: &ContextValue| match missing {
        ContextValue::Strings(all) => all.iter().any(|one| one.starts_with("--channel ")),
        _ => false,
    };
    if error.kind() == ErrorKind::MissingRequiredArgument && error.get(ContextKind::InvalidArg).is_some_and(channel) {
        let tip = "the variable CHANCERY_CHANNEL names the channel for all commands".to_owned();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Why a command line does not parse, as people are told, without the usage below it.
fn reason(error: &clap::Error) -> String {
    use clap::error::ErrorKind;
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command is missing: --help lists them".into();
    }
    let text = error.render().to_string();
    let told = text.split("\n\nUsage:").next().unwrap_or(&text).split("\n\nFor more information").next();
    let told = told.unwrap_or_default().trim().trim_start_matches("error: ");
    told.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ").replace(":; ", ": ")
}

/// Says why a command failed: to people on standard error, to programs as the JSON document.
fn report(failure: &Failure, json: bool) {
    if let Some(message) = failure.message() {
        // Standard error may be closed; the exit code still tells.
        let _ = writeln!(std::io::stderr(), "chancery: {}", message.as_str());
    }
    if let Some(document) = failure.document().filter(|_| json) {
        let _ = writeln!(std::io::stdout(), "{}", output::ascii(&format!("{document:#}")));
    }
}

/// Runs a command to its end.
fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { global, command } = cli;
    let output = Output { json: global.json };
    match command {
        Command::Init(command) => command.run(output),
        Command::Serve(command) => command.run(&variables(), output),
        Command::Ca(command) => command.run(&global, output),
        Command::Demo(command) => command.run(output),
        Command::Key(command) => command.run(&global, output),
        Command::Verify(command) => command.run(output),
        Command::Backup(command) => command.run(output),
        Command::Restore(command) => command.run(output),
        Command::Channel(command) => with_session(&global, async |session| command.run(session).await),
        Command::Block(command) => with_session(&global, async |session| command.run(session).await),
        Command::Participant(command) => with_session(&global, async |session| command.run(session).await),
        Command::Asset(command) => with_session(&global, async |session| command.run(session).await),
        Command::Account(command) => with_session(&global, async |session| command.run(session).await),
        Command::Log(command) => with_session(&global, async |session| command.run(session).await),
        Command::App(command) => with_session(&global, async |session| command.run(session).await),
        Command::Contract(command) => with_session(&global, async |session| command.run(session).await),
        Command::Tx(command) => with_session(&global, async |session| command.run(session).await),
        Command::State(command) => with_session(&global, async |session| command.run(session).await),
        Command::Watch(command) => with_session(&global, async |session| command.run(session).await),
        Command::Status(command) => with_session(&global, async |session| command.run(session).await),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// Every command and group of commands, with the words that lead to it.
    fn all(command: &clap::Command, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, clap::Command)>) {
        path.push(command.get_name().to_owned());
        found.push((path.clone(), command.clone()));
        command.get_subcommands().for_each(|command| all(command, path, found));
        path.pop();
    }

    #[test]
    fn every_command_has_help_with_an_example_that_parses() {
        let mut found = Vec::new();
        let mut root = Cli::command();
        root.build();
        all(&root, &mut Vec::new(), &mut found);
        let found: Vec<_> = found.into_iter().filter(|(path, _)| !path.contains(&"help".to_owned())).collect();
        assert!(found.len() > 70, "{}", found.len());
        for (path, command) in found {
            let help = Cli::try_parse_from(path.iter().map(String::as_str).chain(["--help"])).unwrap_err();
            assert_eq!(help.kind(), clap::error::ErrorKind::DisplayHelp, "{path:?}");
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = examples.lines().filter_map(|line| line.trim().strip_prefix("$ ")).collect();
            assert!(!examples.is_empty(), "{path:?} has no example");
            for example in examples {
                let plain = example.split(" > ").next().unwrap().split(" < ").next().unwrap();
                let words = words(plain);
                assert_eq!(words[..path.len()], path, "an example of another command");
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("{example}\n{error}");
                }
            }
        }
    }

    /// Splits as a shell does, with single quotes only.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (at, part) in line.split('\'').enumerate() {
            match at % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        words
    }

    /// Programs were told the kind of the mistake, and not which word it was.
    #[test]
    fn a_mistake_is_named_with_its_word() {
        for (line, said) in [
            ("chancery asset mint coin -c trade", "required arguments were not provided: <TO>; <AMOUNT>"),
            ("chancery asset mint coin 0x1 5 -c trade", "invalid value '0x1' for '<TO>'"),
            ("chancery watch trade --untill now", "unexpected argument '--untill' found"),
            ("chancery nonsense", "unrecognized subcommand 'nonsense'"),
            ("chancery channel", "a command is missing"),
            ("chancery asset burn coin 5", "--channel <CHANNEL>; tip: the variable CHANCERY_CHANNEL"),
            ("chancery status --peer 127.0.0.1:7100", "a peer's address reads https://host:port"),
            ("chancery status --timeout 0", "'0' for '--timeout <SECONDS>'"),
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            let told = reason(&with_variable(error));
            assert!(told.contains(said) && !told.contains("Usage:"), "{line}: {told}");
        }
    }

    /// What is written to the wrong channel cannot be taken back.
    #[test]
    fn no_command_that_writes_has_a_default_channel() {
        let (mut found, mut root) = (Vec::new(), Cli::command());
        root.build();
        all(&root, &mut Vec::new(), &mut found);
        let has = |command: &clap::Command, id: &str| command.get_arguments().any(|arg| arg.get_id() == id);
        let writing: Vec<_> = found.iter().filter(|(_, command)| has(command, "memo")).collect();
        assert!(writing.len() > 30, "{}", writing.len());
        for (path, command) in writing {
            let channel = command.get_arguments().find(|arg| arg.get_id() == "channel");
            assert!(channel.is_some_and(|arg| arg.get_default_values().is_empty()), "{path:?}");
        }
    }

    #[test]
    fn a_command_without_profile_is_a_usage_error() {
        let cli = Cli::try_parse_from(["chancery", "status", "--profile", "/nonexistent"]).unwrap();
        assert_eq!(run(cli).unwrap_err().exit_code(), 2);
    }
}
