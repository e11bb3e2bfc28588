//! The command line. The man page, docs/tpmctl.1.md, lists the same; a test compares them.

use std::convert::Infallible;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use crypto::{Curve, Hash};
use keys::{Family, KeyType, ParentChoice};
use tss::transport::Address;
use zeroize::Zeroizing;

/// Looks after TPMs and the keys that the OpenSSL provider `tpm` keeps in them.
#[derive(Parser)]
#[command(
    name = "tpmctl",
    version = env!("TPM_PROVIDER_BUILD"),
    propagate_version = false,
    disable_help_subcommand = true,
    after_help = "The TPM is the one of --tcti, else of TPM_TCTI in the environment, else of tcti in the \
                  provider's section of openssl.cnf, else the first of /dev/tpmrm0 and /dev/tpm0.\n\
                  See tpmctl(1)."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args, Default)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Global {
    /// The TPM, such as device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) tcti: Option<Address>,

    /// Authorization value of the parent key or hierarchy, or file:PATH
    #[arg(long, global = true, value_name = "VALUE", value_parser = secret)]
    pub(crate) parent_auth: Option<Zeroizing<String>>,

    /// Print the result as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Log to standard error; -vv and -vvv say more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show what the TPM is, can do and holds
    Info,
    /// Show the versions of the TPM, of its firmware and of its specification
    Version,
    /// Have the TPM test itself and show the result
    Selftest(Selftest),
    /// Look at everything between the TPM and OpenSSL, and say what to type
    Doctor(Doctor),
    /// Make and inspect key files
    #[command(subcommand)]
    Key(KeyCommand),
    /// Show and change which parent keys are trusted
    #[command(subcommand)]
    Srk(SrkCommand),
    /// Protect the TPM as a whole
    #[command(subcommand)]
    Owner(OwnerCommand),
    /// Remove transient objects and sessions from a TPM without a resource manager
    Flush(Flush),
    /// Print a completion script for a shell
    Completions(Completions),
}

#[derive(Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key in the TPM and write its key file
    New(New),
    /// Take a software RSA key into a TPM 1.2 and write its key file
    Import(Import),
    /// Write a key file in another form, without a TPM
    Convert(Convert),
    /// Say what is in a key file, without a TPM
    Show(Show),
}

#[derive(Subcommand)]
pub(crate) enum SrkCommand {
    /// Show which parents are trusted (parent-name = first-use), without a TPM command
    Show,
    /// Trust the parents that the TPM has now, and no others
    Trust(Trust),
}

#[derive(Subcommand)]
pub(crate) enum OwnerCommand {
    /// Set the authorization value of hierarchies
    Passwd(Passwd),
}

#[derive(Args)]
pub(crate) struct Selftest {
    /// How much is said besides the result
    #[arg(short, long, value_enum, value_name = "LEVEL", default_value_t = Level::Error)]
    pub(crate) log: Level,

    /// Test nothing, show the results of the last test only
    #[arg(short, long)]
    pub(crate) results: bool,
}

/// The levels of tpm_selftest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Level {
    /// The exit status alone tells a failure
    None,
    /// Failures are told
    Error,
    /// Success is told, too
    Info,
    /// Every command to the TPM is told
    Debug,
}

#[derive(Args)]
pub(crate) struct Doctor {
    /// Look at sysfs, /dev, /proc and /etc below DIR: a copy of another machine's
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,

    /// Whose permissions to judge, such as www-data [default: one's own]
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
}

#[derive(Args)]
pub(crate) struct New {
    /// Where the key file goes; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// Replace FILE if it exists
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Type of the key
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value_t = Type::Rsa)]
    pub(crate) key_type: Type,

    /// Size of an RSA key's modulus [default: 2048]
    #[arg(long)]
    pub(crate) bits: Option<u32>,

    /// Curve of an EC key, by any name that OpenSSL has for it: P-256, P-384, brainpoolP256r1 ... (what
    /// this TPM has, `tpmctl info` lists) [default: P-256]
    #[arg(long, value_parser = curve, conflicts_with = "bits")]
    pub(crate) curve: Option<Curve>,

    /// Parent: owner, null, endorsement, platform, or a persistent handle such as 0x81000001
    #[arg(long, default_value = "owner", value_parser = parent)]
    pub(crate) parent: ParentChoice,

    /// Authorization value of the new key, file:PATH (so that ps does not show it), or `-` to be asked
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) auth: Option<Zeroizing<String>>,

    /// Digest that the key is bound to; an RSA or EC key then only signs [default for rsa-pss: SHA2-256]
    #[arg(long, value_parser = digest)]
    pub(crate) digest: Option<Hash>,

    /// In what kind of TPM: 1.2 or 2.0, for a machine with both [default: the one that there is]
    #[arg(long, value_name = "VERSION", value_parser = family)]
    pub(crate) tpm: Option<Family>,

    /// A key of a TPM 1.2 that signs and does not decrypt
    #[arg(long)]
    pub(crate) sign_only: bool,

    /// Form of the key file
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Form::Tss2)]
    pub(crate) form: Form,
}

/// Forms of key files.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// TSS2 PRIVATE KEY, which all programs for TPM keys know (TSS KEY BLOB for a TPM 1.2)
    Tss2,
    /// The same inside PKCS#8 (PRIVATE KEY), for programs that go by the label
    Pkcs8,
}

#[derive(Args)]
pub(crate) struct Convert {
    /// The key file, PEM or DER; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Where the new file goes; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// Replace the output if it exists
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Form of the new file
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Form::Tss2)]
    pub(crate) form: Form,

    /// Have the file say that the key has an authorization value (yes) or none (no): tpm2_encodeobject before 5.8
    /// wrote the opposite
    #[arg(long, value_enum, value_name = "yes|no")]
    pub(crate) pin: Option<Pin>,
}

/// Whether a key has an authorization value.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pin {
    /// It has one
    Yes,
    /// It has none
    No,
}

#[derive(Args)]
pub(crate) struct Import {
    /// The private key: PKCS#8 or PKCS#1, PEM, not encrypted
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Where the key file goes; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// Replace the output if it exists
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Authorization value that the key shall have, file:PATH, or `-` to be asked
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) auth: Option<Zeroizing<String>>,

    /// The key signs and does not decrypt
    #[arg(long)]
    pub(crate) sign_only: bool,

    /// Secret of the TPM's owner, or file:PATH; needed unless `tpm_restrictsrk -a` was typed
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) owner_auth: Option<Zeroizing<String>>,
}

#[derive(Args)]
pub(crate) struct Show {
    /// The key file, PEM or DER; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Args)]
pub(crate) struct Flush {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// List only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,

    /// Objects only, unless --sessions is given, too
    #[arg(long)]
    pub(crate) objects: bool,

    /// Sessions only, unless --objects is given, too
    #[arg(long)]
    pub(crate) sessions: bool,
}

#[derive(Args)]
pub(crate) struct Trust {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Show what would be trusted only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,

    /// Trust nothing: the next use of the TPM is its first one
    #[arg(long, conflicts_with = "parent")]
    pub(crate) remove: bool,

    /// Another parent besides the storage root key and the owner's primaries: endorsement, platform, or a handle
    #[arg(long, value_parser = parent)]
    pub(crate) parent: Vec<ParentChoice>,
}

#[derive(Args)]
pub(crate) struct Passwd {
    /// Whose value: lockout (who may clear the TPM), owner (who may make primaries) or endorsement; may be repeated
    #[arg(long, value_enum, value_name = "HIERARCHY", required = true)]
    pub(crate) hierarchy: Vec<Hierarchy>,

    /// The new value: file:PATH, whose first line it is
    #[arg(long, value_name = "file:PATH", value_parser = in_file, required_unless_present = "random")]
    pub(crate) new: Option<PathBuf>,

    /// Make up a new value and write it to FILE, which must not exist, for its owner alone to read
    #[arg(long, value_name = "FILE", conflicts_with = "new")]
    pub(crate) random: Option<PathBuf>,

    /// The value that hierarchies have now, where one is set: file:PATH
    #[arg(long, value_name = "file:PATH", value_parser = in_file)]
    pub(crate) old: Option<PathBuf>,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Show what would be changed only
    #[arg(short = 'n', long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

/// Hierarchies whose authorization value the administrator sets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Hierarchy {
    /// Clears the TPM, and resets its lockout
    Lockout,
    /// Attestation and credentials
    Endorsement,
    /// Primaries, persistent keys and NV memory
    // Last: where there is no storage root key, sessions for the others need the value of before.
    Owner,
}

#[derive(Args)]
pub(crate) struct Completions {
    /// bash, zsh or fish
    #[arg(value_parser = shell)]
    pub(crate) shell: Shell,
}

/// The types as the command line spells them.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Type {
    /// Signatures with PKCS#1 v1.5 or PSS, and decryption
    Rsa,
    /// PSS signatures with one digest
    RsaPss,
    /// ECDSA signatures and ECDH
    Ec,
}

impl From<Type> for KeyType {
    fn from(key_type: Type) -> Self {
        match key_type {
            Type::Rsa => Self::Rsa,
            Type::RsaPss => Self::RsaPss,
            Type::Ec => Self::Ec,
        }
    }
}

/// A secret, or where it is. What stands on a command line is anybody's to see; the copy is wiped all the same.
fn secret(text: &str) -> Result<Zeroizing<String>, Infallible> {
    Ok(Zeroizing::new(text.to_owned()))
}

/// Where a secret is. One that stands on the command line, `ps` shows to everybody.
fn in_file(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("file:") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err("write file:PATH; the value is the file's first line".to_owned()),
    }
}

fn parent(text: &str) -> Result<ParentChoice, String> {
    ParentChoice::parse(text).map_err(|error| error.to_string())
}

fn family(text: &str) -> Result<Family, String> {
    keys::parse_family(text).map_err(|error| error.to_string())
}

fn digest(text: &str) -> Result<Hash, String> {
    Hash::from_name(text).ok_or_else(|| {
        let known: Vec<&str> = Hash::ALL.iter().map(|hash| hash.name()).collect();
        format!("known are {}", known.join(", "))
    })
}

fn curve(text: &str) -> Result<Curve, String> {
    Curve::from_name(text).ok_or_else(|| format!("known are {}", Curve::names()))
}

/// Only the shells that `make install` serves are promised.
fn shell(text: &str) -> Result<Shell, String> {
    match text {
        "bash" => Ok(Shell::Bash),
        "zsh" => Ok(Shell::Zsh),
        "fish" => Ok(Shell::Fish),
        _ => Err("known are bash, zsh and fish".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn clap_finds_no_fault() {
        Cli::command().debug_assert();
    }
}
