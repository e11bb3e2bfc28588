//! The command line of `tpmctl pcr`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueHint};

use crate::cli::Consent;

#[derive(Subcommand)]
pub(crate) enum PcrCommand {
    /// Show the values of registers
    Read(Read),
    /// Extend a register with a file, or with a digest
    Extend(Extend),
    /// Reset a register that programs may reset
    Reset(Reset),
    /// Say what the firmware has measured, and whether the registers agree
    Log(Log),
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl pcr read\n  \
    tpmctl pcr read sha256:0,7\n  \
    tpmctl pcr read sha256:16 --json | jq -r '.registers[0].value'")]
pub(crate) struct Read {
    /// Which, such as sha256:0,7 or sha256:0+sha1:4 [default: all of all banks]
    #[arg(value_name = "BANK:REGISTERS")]
    pub(crate) registers: Option<String>,
}

#[derive(Args)]
#[command(
    group = ArgGroup::new("what").required(true).multiple(true),
    override_usage = "tpmctl pcr extend <REGISTER> <FILE | --digest BANK=HEX...> [OPTIONS]",
    after_help = "Examples:\n  \
    tpmctl pcr extend 16 release.tar\n  \
    tpmctl pcr extend 16 --digest sha256=$(sha256sum release.tar | cut -c-64)")]
pub(crate) struct Extend {
    /// Its number
    #[arg(value_name = "REGISTER", value_parser = clap::value_parser!(u8).range(0..24))]
    pub(crate) register: u8,

    /// The file whose digests go in, one for each bank; `-` is standard input
    #[arg(value_name = "FILE", group = "what", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// The digest for a bank, such as sha256=HEX; may be repeated
    #[arg(long, value_name = "BANK=HEX", group = "what", conflicts_with = "file")]
    pub(crate) digest: Vec<String>,

    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  tpmctl pcr reset 16\n  tpmctl pcr reset 23 --dry-run")]
pub(crate) struct Reset {
    /// Its number: 16 and 23 can be reset by programs
    #[arg(value_name = "REGISTER", value_parser = clap::value_parser!(u8).range(0..24))]
    pub(crate) register: u8,

    /// Show what would be changed only
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    sudo tpmctl pcr log\n  \
    tpmctl pcr log binary_bios_measurements --no-tpm")]
pub(crate) struct Log {
    /// The log in the firmware's form; `-` is standard input [default: the kernel's]
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// Do not compare it with the registers: it is another machine's
    #[arg(long, requires = "file")]
    pub(crate) no_tpm: bool,
}
