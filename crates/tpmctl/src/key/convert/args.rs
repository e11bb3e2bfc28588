//! The command line of `tpmctl key convert`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use keys::ParentChoice;
use zeroize::Zeroizing;

use crate::action::persistent;
use crate::cli::{PARENTS, parent, secret};
use crate::offered::Offered;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tpmctl key convert www.key --to pkcs8 -o wpa.key\n  \
    tpmctl key convert key.pub key.priv -o www.key\n  \
    tpmctl key convert ~/.tpm2_pkcs11 --label www --auth - -o www.key\n  \
    tpmctl key convert www.key --to pair -o www")]
pub(crate) struct Convert {
    /// The key: a file of any form, both files of a pair, a store of tpm2-pkcs11, or handle:HANDLE; `-` is standard input
    #[arg(value_name = "FILE", required = true, num_args = 1..=2, value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,

    /// Where the result goes; `-` is standard output. With --to pair OUT.pub and OUT.priv, with --to blobs the directory OUT
    #[arg(short, long, value_name = "OUT", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,

    /// Replace the output if it exists
    #[arg(short, long)]
    pub(crate) force: bool,

    /// Form of the result [default: tss2; uri for what names a persistent key]
    #[arg(long = "to", alias = "form", value_enum, value_name = "FORM")]
    pub(crate) form: Option<Form>,

    /// Have the file say that the key has an authorization value (yes) or none (no), instead of trying that:
    /// tpm2_encodeobject before 5.8 wrote the opposite
    #[arg(long, value_enum, value_name = "yes|no")]
    pub(crate) pin: Option<Pin>,

    /// The key's authorization value, with which it is tried, file:PATH, or `-` to be asked; of a store the user PIN, which
    /// becomes the key's
    #[arg(long, value_name = "VALUE", value_parser = secret, conflicts_with = "pin")]
    pub(crate) auth: Option<Zeroizing<String>>,

    /// Where the key's parent is, instead of looking for it: owner, null, endorsement, platform, or a persistent handle
    #[arg(long, value_parser = Offered::new(parent, PARENTS), hide_possible_values = true)]
    pub(crate) parent: Option<ParentChoice>,

    /// Make the parent persistent where a key file cannot name it otherwise [default HANDLE: the first free one from
    /// 0x81000002 on]
    #[arg(long, value_name = "HANDLE", num_args = 0..=1, require_equals = true, value_parser = persistent::parse)]
    pub(crate) persist_parent: Option<Option<u32>>,

    /// Do not load and try the key; a pair needs --parent then
    #[arg(long, conflicts_with_all = ["auth", "persist_parent"])]
    pub(crate) no_check: bool,

    /// Leave out the description, for which some programs refuse the file
    #[arg(long)]
    pub(crate) no_description: bool,

    /// The key's label in a store, or its id
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Option<String>,

    /// The label of the key's token in a store
    #[arg(long, value_name = "LABEL")]
    pub(crate) token: Option<String>,
}

/// Forms of keys.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// TSS2 PRIVATE KEY, which all programs for TPM keys know (TSS KEY BLOB for a TPM 1.2)
    Tss2,
    /// The same inside PKCS#8 (PRIVATE KEY), for programs that go by the label
    Pkcs8,
    /// Two files of tpm2-tools, TPM2B_PUBLIC and TPM2B_PRIVATE; tpm2_ptool link takes them as well
    Pair,
    /// Two files for SPIRE, devid.pub and devid.priv
    Blobs,
    /// A file for object: URIs and tpm2-tools, of a persistent key
    Object,
    /// The URI of a persistent key, with its name
    Uri,
    /// A file of simple-tpm-pk11, of a key of a TPM 1.2
    Stpm,
}

/// Whether a key has an authorization value.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pin {
    /// It has one
    Yes,
    /// It has none
    No,
}
