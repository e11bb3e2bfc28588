//! The command line of `tpmctl seal` and `tpmctl unseal`.

use std::ffi::CString;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use keys::sealed::Reader;
use keys::{Family, ParentChoice};
use zeroize::Zeroizing;

use crate::cli::{PARENTS, family, parent, secret};
use crate::offered::Offered;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl seal -i disk.key -o disk.sealed\n  \
    tpmctl seal -i disk.key -o disk.sealed --pcr sha256:0,7 --auth file:disk.pin\n  \
    tpmctl seal -i backup.tar -o backup.sealed\n  \
    tpmctl seal -i luks.key -o sealed.tpm --for grub --pcr sha256:0,2,4,7\n  \
    tpmctl seal -i token -o sealed --for node1.pem --for node2.pem")]
pub(crate) struct Seal {
    /// What is sealed; `-` is standard input
    #[arg(short, long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) input: PathBuf,

    /// Where the sealed file goes; `-` is standard output; a directory, for NAME.sealed for the machine of NAME.pem
    #[arg(short, long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,

    /// Replace the output if it exists
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Parent: owner, null, endorsement, platform, or a persistent handle such as 0x81000001
    #[arg(long, default_value = "owner", value_parser = Offered::new(parent, PARENTS), hide_possible_values = true)]
    pub(crate) parent: ParentChoice,

    /// Authorization value without which nothing is unsealed, file:PATH, or `-` to be asked
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) auth: Option<Zeroizing<String>>,

    /// Registers (PCRs) whose present values are needed to unseal, such as sha256:0,7; may be repeated
    #[arg(long, value_name = "BANK:REGISTERS")]
    pub(crate) pcr: Vec<String>,

    /// Policy for unsealing: a policy file, or words (see tpmctl policy new); may be repeated
    #[arg(long, value_name = "FILE|WORDS")]
    pub(crate) policy: Vec<String>,

    /// In what kind of TPM: 1.2 or 2.0, for a machine with both [default: the one that there is]
    #[arg(long, value_name = "VERSION", value_parser = Offered::new(family, &["1.2", "2.0"]), hide_possible_values = true)]
    pub(crate) tpm: Option<Family>,

    /// In the form of grub or kernel; or for another machine, by its storage key's file (tpmctl srk export); may be repeated
    #[arg(long = "for", value_parser = Offered::new(whom, READERS), hide_possible_values = true, value_name = "READER|SRK")]
    pub(crate) whom: Vec<Whom>,
}

/// For whom data are sealed.
#[derive(Clone)]
pub(crate) enum Whom {
    /// A reader with a form of its own, on this machine.
    Reader(Reader),
    /// Another machine, by the file of its storage key.
    Machine(PathBuf),
}

const READERS: &[&str] = &["grub", "kernel"];

fn whom(text: &str) -> Result<Whom, String> {
    Ok(match text {
        // GRUB 2.14, for its tpm2_key_protector.
        "grub" => Whom::Reader(Reader::Grub),
        // Trusted keys.
        "kernel" => Whom::Reader(Reader::Kernel),
        "" => return Err("expected grub, kernel, or the file of a storage key".to_owned()),
        path => Whom::Machine(path.into()),
    })
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl unseal -i disk.sealed -o disk.key\n  \
    tpmctl unseal -i disk.sealed | cryptsetup open -d - /dev/sdb1 data\n  \
    tpmctl unseal -i disk.sealed --keyring user:disk")]
pub(crate) struct Unseal {
    /// The sealed file: PEM, DER, or hexadecimal as the kernel's; `-` is standard input
    #[arg(short, long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) input: PathBuf,

    /// Where the data goes; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,

    /// Replace the output if it exists
    #[arg(short, long)]
    pub(crate) force: bool,

    /// The authorization value, file:PATH, or `-` to be asked [default: pin-source in openssl.cnf]
    #[arg(long, value_name = "VALUE", value_parser = secret)]
    pub(crate) auth: Option<Zeroizing<String>>,

    /// Put the data into the user's keyring in the kernel, as the key user:NAME, and show them to nobody
    #[arg(long, value_name = "user:NAME", value_parser = user_key, conflicts_with = "output")]
    pub(crate) keyring: Option<CString>,
}

/// The name of a key of the type `user`.
fn user_key(text: &str) -> Result<CString, String> {
    let named = text.strip_prefix("user:").filter(|name| !name.is_empty());
    let name = named.ok_or_else(|| {
        "write user:NAME; other types of keys the kernel makes itself, such as trusted ones of what seal --for kernel \
         wrote"
            .to_owned()
    })?;
    CString::new(name).map_err(|_| "the name of a key has no NUL".to_owned())
}
