//! The command line of `tpmctl nv`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum, ValueHint};

use crate::action::nv::parse_index;
use crate::cli::{Consent, in_file};

#[derive(Subcommand)]
pub(crate) enum NvCommand {
    /// List the indices, and say what they are
    #[command(after_help = "Examples:\n  \
        tpmctl nv list\n  \
        tpmctl nv list --json | jq -r '.indices[].index'")]
    List,
    /// Say everything about an index
    Show(Show),
    /// Define an index
    Define(Define),
    /// Read an index
    Read(Read),
    /// Write an index, or set bits of it
    Write(Write),
    /// Add one to a counter
    Increment(Increment),
    /// Extend an index of that type with a file
    Extend(Extend),
    /// Lock an index against reading or writing
    Lock(Lock),
    /// Release an index: what is in it is lost
    Release(Release),
}

#[derive(Args)]
#[command(
    after_help = "Examples:\n  tpmctl nv show 0x01c00002\n  tpmctl nv show 0x01800001 --json"
)]
pub(crate) struct Show {
    /// The index
    #[arg(value_name = "INDEX", value_parser = parse_index)]
    pub(crate) index: u32,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl nv define 0x01800001 --size 32\n  \
    tpmctl nv define 0x01800002 --type counter --read anyone --write owner\n  \
    tpmctl nv define 0x01800003 --size 64 --auth file:index.pin\n  \
    tpmctl nv define 0x01800004 --size 16 --dry-run")]
pub(crate) struct Define {
    /// The index, which is free: 0x01800000 to 0x017fffff are for the owner of the machine
    #[arg(value_name = "INDEX", value_parser = parse_index)]
    pub(crate) index: u32,

    /// Bytes of an ordinary index
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) size: Option<u16>,

    /// What it holds
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value_t = Kind::Ordinary)]
    pub(crate) kind: Kind,

    /// Its own authorization value: file:PATH, whose first line it is
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    /// Who may read it; may be repeated [default: value with --auth, else owner]
    #[arg(long, value_enum, value_name = "WHO")]
    pub(crate) read: Vec<Who>,

    /// Who may write it; may be repeated [default: value with --auth, else owner]
    #[arg(long, value_enum, value_name = "WHO")]
    pub(crate) write: Vec<Who>,

    /// nv lock can lock it: read or write until the TPM is restarted, forever against writing
    #[arg(long, value_enum, value_name = "LOCK")]
    pub(crate) lockable: Vec<Lockable>,

    /// Wrong values do not count as tries against the TPM's lockout
    #[arg(long)]
    pub(crate) no_lockout: bool,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Show what would be defined only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

/// What an index holds.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Bytes
    Ordinary,
    /// A number of 64 bits that only grows
    Counter,
    /// 64 bits that can be set and never taken back
    Bits,
    /// A digest that can only be extended, like a register
    Extend,
}

/// Who may use an index.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Who {
    /// Whoever has the owner's value
    Owner,
    /// Whoever has the index's own value
    Value,
    /// Everybody who reaches the TPM
    Anyone,
    /// TPM 1.2: somebody who stands before the machine
    Presence,
}

/// How an index can be locked.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lockable {
    /// Against reading, until the TPM is restarted
    Read,
    /// Against writing, until the TPM is restarted
    Write,
    /// Against writing, for ever
    Forever,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl nv read 0x01800001 -o data\n  \
    tpmctl nv read 0x01800003 --auth file:index.pin --hex")]
pub(crate) struct Read {
    /// The index
    #[arg(value_name = "INDEX", value_parser = parse_index)]
    pub(crate) index: u32,

    /// Where the data go; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,

    /// Replace the output if it exists
    #[arg(short, long)]
    pub(crate) force: bool,

    /// In hexadecimal
    #[arg(long)]
    pub(crate) hex: bool,

    /// The index's own value: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl nv write 0x01800001 -i data\n  \
    tpmctl nv write 0x01800003 -i data --offset 16 --auth file:index.pin\n  \
    tpmctl nv write 0x01800005 --bit 0 --bit 7")]
pub(crate) struct Write {
    /// The index
    #[arg(value_name = "INDEX", value_parser = parse_index)]
    pub(crate) index: u32,

    /// The data; `-` is standard input
    #[arg(short, long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) input: PathBuf,

    /// Where in the index they begin
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(crate) offset: u16,

    /// A bit to set in an index of that type, from 0; may be repeated
    #[arg(long, value_name = "N", conflicts_with_all = ["input", "offset"], value_parser = clap::value_parser!(u8).range(0..64))]
    pub(crate) bit: Vec<u8>,

    /// The index's own value: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    /// Show what would be written only
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl nv increment 0x01800002\n  \
    tpmctl nv increment 0x01800002 --json | jq .counter")]
pub(crate) struct Increment {
    /// The index
    #[arg(value_name = "INDEX", value_parser = parse_index)]
    pub(crate) index: u32,

    /// The index's own value: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    /// Show what would be changed only
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl nv extend 0x01800006 release.tar\n  \
    sha256sum release.tar | tpmctl nv extend 0x01800006 -")]
pub(crate) struct Extend {
    /// The index
    #[arg(value_name = "INDEX", value_parser = parse_index)]
    pub(crate) index: u32,

    /// The file whose SHA-256 digest goes in; `-` is standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// The index's own value: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    /// Show what would be changed only
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
#[command(
    group = ArgGroup::new("against").required(true),
    override_usage = "tpmctl nv lock <INDEX> <--read | --write> [OPTIONS]\n       tpmctl nv lock --rules [OPTIONS]",
    after_help = "Examples:\n  \
    tpmctl nv lock 0x01800001 --write\n  \
    tpmctl nv lock 0x01800003 --read --auth file:index.pin")]
pub(crate) struct Lock {
    /// The index, which was defined with --lockable
    #[arg(value_name = "INDEX", value_parser = parse_index, required_unless_present = "rules")]
    pub(crate) index: Option<u32>,

    /// Nobody reads it until the TPM is restarted
    #[arg(long, group = "against")]
    pub(crate) read: bool,

    /// Nobody writes it until the TPM is restarted; never again if it was defined so
    #[arg(long, group = "against")]
    pub(crate) write: bool,

    /// TPM 1.2: the TPM enforces the rules of its NV memory from now on, for ever
    #[arg(long, group = "against", conflicts_with = "index")]
    pub(crate) rules: bool,

    /// The index's own value: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl nv release 0x01800001\n  \
    tpmctl nv release 0x01800001 --yes --parent-auth file:/root/tpm-owner")]
pub(crate) struct Release {
    /// The index
    #[arg(value_name = "INDEX", value_parser = parse_index)]
    pub(crate) index: u32,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Show what would be lost only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}
