//! `tpmctl`: the provider's companion command.
//!
//! It uses the same key layer as the provider, [`keys`], and the same TSS client: what it says
//! about a TPM or a key is what the provider will find.
#![deny(unsafe_code)]

mod action;
mod cli;
mod cnf;
mod completions;
mod counter;
mod display;
mod doctor;
mod ek;
mod error;
mod family;
mod flush;
mod info;
mod interrupt;
mod key;
mod lockout;
mod nv;
mod offered;
mod output;
mod owner;
mod pcr;
mod policy;
mod print;
mod random;
mod seal;
mod selftest;
mod settings;
mod setup;
mod srk;
mod ssh;
mod state;
mod terminal;
mod tpm_tools;
mod ui;
mod version;

use std::process::ExitCode;

use keys::printable;
use tss::{tpm2, tpm12};

use cli::{Cli, Command, Help, KeyCommand, SrkCommand};
use error::Error;

fn main() -> ExitCode {
    let cli = Cli::read();
    let result = run(&cli);
    // Whatever became of the command, nothing of it stays in a TPM without a resource manager.
    tpm2::release_all_at_exit();
    tpm12::release_all_at_exit();
    match result {
        // What was asked for is done; whoever wanted an end hears of it.
        Ok(status) => ExitCode::from(interrupt::received().map_or(status, |signal| 128 + signal)),
        Err(error) => {
            output::note(&format!("tpmctl: {}", printable::line(&error.to_string())));
            ExitCode::from(error.status())
        }
    }
}

fn help(args: &Help) -> Result<(), Error> {
    if let [name] = &args.command[..]
        && let Some(text) = tpm_tools::help(name)
    {
        return output::print(&text);
    }
    output::print_as_is(&Cli::help(&args.command).map_err(Error::usage)?)
}

/// Runs the command; the status is other than 0 for a finding that is no failure of the command.
fn run(cli: &Cli) -> Result<u8, Error> {
    let global = &cli.global;
    settings::log(global.verbose)?;
    match &cli.command {
        Command::Doctor(args) => return doctor::run(global, args),
        Command::Selftest(args) => return selftest::run(global, args),
        Command::Key(KeyCommand::Test(args)) => return key::test::run(global, args),
        Command::Setup(args) => setup::run(global, args),
        Command::Info(args) => info::run(global, args),
        Command::Version => version::run(global),
        Command::Key(KeyCommand::New(args)) => key::new::run(global, args),
        Command::Key(KeyCommand::Import(args)) => key::import::run(global, args),
        Command::Key(KeyCommand::Finish(args)) => key::finish::run(global, args),
        Command::Key(KeyCommand::Wrap(args)) => key::wrap::run(global, args),
        Command::Key(KeyCommand::Persist(args)) => key::persist::persist(global, args),
        Command::Key(KeyCommand::Evict(args)) => key::persist::evict(global, args),
        Command::Key(KeyCommand::List(args)) => key::list::run(global, args),
        Command::Key(KeyCommand::Convert(args)) => key::convert::run(global, args),
        Command::Key(KeyCommand::Show(args)) => key::show::run(global, args),
        Command::Key(KeyCommand::Public(args)) => key::public::run(global, args),
        Command::Key(KeyCommand::Csr(args)) => key::csr::run(global, args),
        Command::Key(KeyCommand::Passwd(args)) => key::passwd::run(global, args),
        Command::Srk(SrkCommand::Show) => srk::show(global),
        Command::Srk(SrkCommand::Trust(args)) => srk::trust(global, args),
        Command::Srk(SrkCommand::Create) => srk::create(global),
        Command::Srk(SrkCommand::Export(args)) => srk::export(global, args),
        Command::Srk(SrkCommand::Remove(args)) => srk::remove(global, args),
        Command::Srk(SrkCommand::Restrict(args)) => srk::restrict(global, args),
        Command::Srk(SrkCommand::Passwd(args)) => srk::passwd(global, args),
        Command::Owner(command) => owner::run(global, command),
        Command::State(command) => state::run(global, command),
        Command::Ek(command) => return ek::run(global, command),
        Command::Counter(command) => counter::run(global, command),
        Command::Nv(command) => nv::run(global, command),
        Command::Pcr(command) => return pcr::run(global, command),
        Command::Random(args) => random::run(global, args),
        Command::Lockout(args) => lockout::run(global, args.command.as_ref()),
        Command::Policy(command) => policy::run(global, command),
        Command::Ssh(command) => ssh::run(global, command),
        Command::SshAgent(args) => ssh::agent::run(global, args),
        Command::Seal(args) => seal::make::run(global, args),
        Command::Unseal(args) => seal::unseal::run(global, args),
        Command::Ui(args) => ui::run(global, args),
        Command::Flush(args) => flush::run(global, args),
        Command::Completions(args) => completions::run(args),
        Command::Help(args) => help(args),
    }?;
    Ok(0)
}
