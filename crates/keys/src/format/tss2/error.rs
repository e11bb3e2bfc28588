//! What can be wrong with a key file, said so that its owner knows what to do.
#![forbid(unsafe_code)]

use thiserror::Error;

/// Why a key file cannot be used. Offsets count from the start of the DER.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FileError {
    /// The DER is not what the format asks for.
    #[error(
        "key file: {field} at byte {offset}: expected {expected}, found {found}; the file is damaged \
         or incomplete, copy it again from where it was made"
    )]
    Malformed {
        /// Which field of the format.
        field: &'static str,
        /// Where it is.
        offset: usize,
        /// What the format wants there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The object identifier at the start names something else.
    #[error(
        "key file: type at byte {offset}: {oid} is not the type of a TPM 2.0 key (2.23.133.10.1.3 \
         loadable, 2.23.133.10.1.4 importable); this file needs another program or a newer version"
    )]
    UnknownType {
        /// Where the identifier is.
        offset: usize,
        /// The identifier in dotted form.
        oid: String,
    },
    /// The parent is a transient object's handle.
    #[error(
        "key file: parent {handle:#010x} names an object that is gone (at byte {offset}): transient \
         objects live until the TPM restarts or they are flushed; make the key again under a \
         persistent parent (0x81000001) or a hierarchy (owner)"
    )]
    TransientParent {
        /// Where the parent is.
        offset: usize,
        /// Its handle.
        handle: u32,
    },
    /// The parent is nothing under which a key can be loaded.
    #[error(
        "key file: parent {handle:#010x} (at byte {offset}) is no parent of keys: expected a \
         persistent handle (0x81......) or a hierarchy (0x40000001 owner, 0x40000007 null, 0x4000000b \
         endorsement, 0x4000000c platform); make the key again under one of these"
    )]
    InvalidParent {
        /// Where the parent is.
        offset: usize,
        /// Its handle.
        handle: u32,
    },
    /// An importable key lacks what it was wrapped with.
    #[error(
        "key file: importable key without a secret (field [2]): the TPM cannot unwrap it; wrap the \
         key for its TPM again"
    )]
    MissingSecret,
    /// A loadable key comes with an import secret.
    #[error(
        "key file: secret at byte {offset}: a loadable key has none; if the key was made for import, \
         its type should be 2.23.133.10.1.4: wrap the key for its TPM again"
    )]
    UnexpectedSecret {
        /// Where the secret is.
        offset: usize,
    },
    /// The file holds sealed data, and a key was asked for.
    #[error(
        "key file: this is sealed data (type 2.23.133.10.1.5), not a key; `tpmctl unseal` gives the data"
    )]
    Sealed,
    /// The file is for the older generation of TPMs.
    #[error("key file: TSS KEY BLOB is a TPM 1.2 key; a TPM 2.0 cannot load it")]
    Tpm12,
    /// A key file of simple-tpm-pk11 is wrong.
    #[error(
        "key file of simple-tpm-pk11: line {line}: {problem}; the file is damaged or incomplete, copy it \
         again from where it was made"
    )]
    Text {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// No PEM block of ours.
    #[error(
        "key file: no TSS2 PRIVATE KEY block found{}; give the file that the key was written to",
        .labels.iter().map(|l| format!(", there is {l}")).collect::<String>()
    )]
    NoBlock {
        /// The labels of the blocks that are there, at most a few, quoted.
        labels: Vec<String>,
    },
    /// The PEM armour is broken.
    #[error(
        "key file: {label} block at line {line}: {problem}; the file is damaged or incomplete, copy it \
         again from where it was made"
    )]
    Armour {
        /// The block's label.
        label: &'static str,
        /// The line of the file that is wrong, from 1.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
}
