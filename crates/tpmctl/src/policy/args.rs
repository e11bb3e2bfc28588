//! The command line of `tpmctl policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

/// The words of policies, for the helps that take some.
const WORDS: &str = "A policy is terms with + between them, all of which must hold:\n  \
    sha256:0,7            registers (PCRs), with the values that they have now;\n  \
    \u{20}                     sha256:0,7=DIGEST with others; sha256:0+sha1:4 in several banks\n  \
    pin                   the key's authorization value\n  \
    locality:0,3          where commands come from\n  \
    command:sign          the key signs only (or decrypt, agree, unseal)\n  \
    counter:resets<100    the TPM's clock and counters: time, clock, resets, restarts, safe\n  \
    nv:0x01500001>=05     what an NV index has; @OFFSET behind the index\n  \
    secret:owner          the authorization value of something else, or secret:0x81000002\n  \
    signed:KEY.pub        policies that this key signs, now or later (tpmctl policy sign)\n  \
    or(sha256:7|pin)      one of several\n  \
    file:FILE             what is in a policy file";

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    /// Write a policy file from words
    New(New),
    /// Say what a policy asks for, and whether it would hold now
    Show(Show),
    /// Sign a policy, for keys that trust the signer
    Sign(Sign),
    /// Put signed policies into a key file or a policy file
    Add(Add),
    /// List the signed policies of a file
    List(List),
    /// Take a signed policy out of a file
    Remove(Remove),
}

#[derive(Args)]
#[command(after_help = format!("{WORDS}\n\nExamples:\n  \
    tpmctl policy new sha256:0,7 pin -o boot.policy\n  \
    tpmctl policy new 'or(sha256:7|pin)' -o either.policy\n  \
    tpmctl policy new signed:vendor.pub -o updates.policy"))]
pub(crate) struct New {
    /// The policy's terms; all must hold
    #[arg(value_name = "TERM", required = true)]
    pub(crate) terms: Vec<String>,

    /// Where the policy file goes; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// Replace FILE if it exists
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Leave registers open: their values are those of the moment of use
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl policy show www.key\n  \
    tpmctl policy show --json boot.policy | jq .ways")]
pub(crate) struct Show {
    /// A key file or a policy file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl policy sign --key vendor.pem sha256:4,7 --name 'kernel 6.12' -o k612.policy\n  \
    tpmctl policy sign --key vendor.pem --policy boot.policy -o boot.signed\n  \
    tpmctl policy sign --key vendor.pem --for grub sha256:4,7 -o grub.policy")]
pub(crate) struct Sign {
    /// The policy's terms; see tpmctl policy new
    #[arg(value_name = "TERM", required_unless_present = "policy")]
    pub(crate) terms: Vec<String>,

    /// The policy: a policy file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "terms")]
    pub(crate) policy: Option<PathBuf>,

    /// The private key that signs: PEM, or a key file of a TPM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: PathBuf,

    /// That key's passphrase or authorization value, file:PATH, or `-` to be asked
    #[arg(long, value_name = "VALUE", value_parser = crate::cli::secret)]
    pub(crate) auth: Option<zeroize::Zeroizing<String>>,

    /// What the policy is called
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// The reference that the keys' policies name (signed:KEY.pub,ref=HEX) [default: none]
    #[arg(long, value_name = "HEX", conflicts_with = "no_policy_ref")]
    pub(crate) policy_ref: Option<String>,

    /// Without a reference, as GRUB wants it
    #[arg(long)]
    pub(crate) no_policy_ref: bool,

    /// For another reader of key files
    #[arg(
        long = "for",
        value_enum,
        value_name = "READER",
        conflicts_with = "policy_ref"
    )]
    pub(crate) reader: Option<Reader>,

    /// Where the signed policy goes; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    pub(crate) output: PathBuf,

    /// Replace FILE if it exists
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// Readers with forms of their own.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reader {
    /// GRUB 2.14 and pcr-oracle: no reference, registers with the values of the moment
    Grub,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl policy add www.key k612.policy\n  \
    tpmctl policy add www.key --pcr-signature /run/systemd/tpm2-pcr-signature.json --public-key /run/systemd/tpm2-pcr-public-key.pem")]
pub(crate) struct Add {
    /// The key file or policy file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// What `tpmctl policy sign` wrote; the first comes first, before those that the file has
    #[arg(value_name = "SIGNED", required_unless_present = "pcr_signature")]
    pub(crate) signed: Vec<PathBuf>,

    /// The signed policies of a unified kernel image, as systemd has them (tpm2-pcr-signature.json)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "public_key")]
    pub(crate) pcr_signature: Option<PathBuf>,

    /// The public key of that file's signatures, PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) public_key: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "Example:\n  tpmctl policy list www.key")]
pub(crate) struct List {
    /// The key file or policy file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Args)]
#[command(
    after_help = "Examples:\n  tpmctl policy remove www.key 2\n  tpmctl policy remove www.key 'kernel 6.1'"
)]
pub(crate) struct Remove {
    /// The key file or policy file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Which: its number in `tpmctl policy list`, or its name
    #[arg(value_name = "NUMBER|NAME")]
    pub(crate) which: String,
}
