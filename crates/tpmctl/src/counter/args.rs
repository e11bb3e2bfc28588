//! The command line of `tpmctl counter`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use crate::cli::in_file;

#[derive(Subcommand)]
pub(crate) enum CounterCommand {
    /// List the monotonic counters
    #[command(after_help = "Examples:\n  \
        tpmctl counter list\n  \
        tpmctl counter list --json | jq -r '.counters[].handle'")]
    List,
    /// Make a counter, by the owner
    Create(Create),
    /// Print a counter's value
    Read(Read),
    /// Add one to a counter
    Increment(Increment),
    /// Remove a counter
    Release(Release),
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl counter create --label logs --auth file:/root/counter --parent-auth file:/root/tpm-owner\n  \
    tpmctl counter create --label logs --dry-run")]
pub(crate) struct Create {
    /// Four characters to know it by
    #[arg(long, value_name = "LABEL", value_parser = label)]
    pub(crate) label: [u8; 4],

    /// Its own secret: file:PATH, whose first line it is [default: the well-known one of 20 zeros]
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Show what would be made only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl counter read 0x00000000\n  \
    tpmctl counter read 0x00000000 --json | jq .value")]
pub(crate) struct Read {
    /// Its handle, as the list has it
    #[arg(value_name = "HANDLE", value_parser = handle)]
    pub(crate) counter: u32,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl counter increment 0x00000000 --auth file:/root/counter\n  \
    tpmctl counter increment 0x00000000 --dry-run")]
pub(crate) struct Increment {
    /// Its handle, as the list has it
    #[arg(value_name = "HANDLE", value_parser = handle)]
    pub(crate) counter: u32,

    /// Its secret: file:PATH [default: the well-known one of 20 zeros]
    #[arg(long, value_name = "file:PATH", value_parser = in_file, value_hint = ValueHint::FilePath)]
    pub(crate) auth: Option<PathBuf>,

    /// Show what would be changed only
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl counter release 0x00000000 --auth file:/root/counter\n  \
    tpmctl counter release 0x00000000 --parent-auth file:/root/tpm-owner")]
pub(crate) struct Release {
    /// Its handle, as the list has it
    #[arg(value_name = "HANDLE", value_parser = handle)]
    pub(crate) counter: u32,

    /// Its secret: file:PATH; without it the owner's, of --parent-auth, counts
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Show what would be lost only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

fn label(text: &str) -> Result<[u8; 4], String> {
    text.as_bytes()
        .try_into()
        .map_err(|_| "a label has four characters".to_owned())
}

fn handle(text: &str) -> Result<u32, String> {
    keys::uri::parse_handle(text).ok_or_else(|| "expected a handle, such as 0x00000000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_four_octets() {
        assert_eq!(label("logs"), Ok(*b"logs"));
        for text in ["", "log", "longer", "\u{e9}\u{e9}\u{e9}"] {
            label(text).unwrap_err();
        }
    }
}
