//! The command line of `tpmctl ek`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use zeroize::Zeroizing;

use crate::cli::{Consent, in_file, secret};

#[derive(Subcommand)]
pub(crate) enum EkCommand {
    /// Show the endorsement keys
    Show(Show),
    /// Show the certificates, check them, write them
    Certificates(Certificates),
    /// Make the endorsement key, persistent in a TPM 2.0
    Create(Create),
    /// Have only the owner read the public half (TPM 1.2)
    Restrict(Restrict),
    /// Revoke a revocable endorsement key (TPM 1.2)
    Revoke(Revoke),
}

#[derive(Args)]
#[command(after_help = "Examples:\n  tpmctl ek show\n  tpmctl ek show --type rsa -o ek.pem")]
pub(crate) struct Show {
    /// Which one [default: all that there are]
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub(crate) kind: Option<EkType>,

    /// Write the public half in PEM to FILE, too
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// Replace the output if it exists
    #[arg(short, long, requires = "output")]
    pub(crate) force: bool,

    /// Authorization value of the endorsement hierarchy, or of a TPM 1.2's owner, where one is needed, or file:PATH
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) endorsement_auth: Option<Zeroizing<String>>,
}

/// Kinds of endorsement keys.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EkType {
    /// On P-256
    Ecc,
    /// RSA with 2048 bits
    Rsa,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl ek certificates\n  \
    tpmctl ek certificates --verify tpm-vendors.pem\n  \
    tpmctl ek certificates --out ek")]
pub(crate) struct Certificates {
    /// Check them with the authorities in this file in PEM; may be repeated
    #[arg(long, value_name = "CA.pem", value_hint = ValueHint::FilePath)]
    pub(crate) verify: Vec<PathBuf>,

    /// Write each to this directory in PEM, by its NV index
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) out: Option<PathBuf>,

    /// Replace files that exist
    #[arg(short, long, requires = "out")]
    pub(crate) force: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl ek create\n  \
    tpmctl ek create --type rsa --endorsement-auth file:/root/tpm-owner --parent-auth file:/root/tpm-owner")]
pub(crate) struct Create {
    /// Which one [default: ecc; TPM 1.2: rsa, the only one]
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub(crate) kind: Option<EkType>,

    /// Authorization value of the endorsement hierarchy, where one is set, or file:PATH
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) endorsement_auth: Option<Zeroizing<String>>,

    /// TPM 1.2: a key that can be revoked with the value that is made up and written to FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) revocable: Option<PathBuf>,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Show what would be made only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl --tcti device:/dev/tpm0 ek restrict --auth file:/root/tpm-owner\n  \
    tpmctl ek restrict --dry-run")]
pub(crate) struct Restrict {
    /// The owner's secret: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) consent: Consent,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl --tcti device:/dev/tpm0 ek revoke --auth file:/root/tpm-ek\n  \
    tpmctl ek revoke --dry-run")]
pub(crate) struct Revoke {
    /// The value with which the key was made: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) auth: Option<PathBuf>,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Show what would be lost only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}
