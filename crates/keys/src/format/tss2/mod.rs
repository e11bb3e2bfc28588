//! Key files of TPM 2.0: `TSS2 PRIVATE KEY` (draft-bottomley-tpm-keys-00), and its predecessor
//! `TSS2 KEY BLOB`.
//!
//! ```text
//! TPMKey ::= SEQUENCE {
//!   type        OBJECT IDENTIFIER,
//!   emptyAuth   [0] EXPLICIT BOOLEAN OPTIONAL,
//!   policy      [1] EXPLICIT SEQUENCE OF TPMPolicy OPTIONAL,
//!   secret      [2] EXPLICIT OCTET STRING OPTIONAL,
//!   authPolicy  [3] EXPLICIT SEQUENCE OF TPMAuthPolicy OPTIONAL,
//!   description [4] EXPLICIT UTF8String OPTIONAL,
//!   rsaParent   [5] EXPLICIT BOOLEAN OPTIONAL,
//!   branches    [6] EXPLICIT SEQUENCE OF SEQUENCE OF SEQUENCE OF TPMPolicy OPTIONAL,
//!   parent      INTEGER,
//!   pubkey      OCTET STRING,
//!   privkey     OCTET STRING }
//! ```
//!
//! `branches` is ours, since the draft has no place for them: the alternatives of each PolicyOR, in the order in which
//! these are met, `policy` first, then each authPolicy, and an alternative's own right behind it. No other reader
//! takes a file that has the field.
//!
//! A file is read strictly, except for what known writers did: a TRUE that is not 0xFF, a parent
//! written as a negative or zero-padded number, and parent 0 for the owner hierarchy. It is written
//! with nothing that an old reader might refuse.
#![forbid(unsafe_code)]

mod error;
mod pkcs8;
mod read;
mod rewrite;
mod write;

use std::fmt;

pub use error::FileError;

use super::pem;

/// PEM label of the format.
pub const LABEL: &str = "TSS2 PRIVATE KEY";
/// PEM label of a policy without a key: ours, with the fields of key files.
pub const POLICY_LABEL: &str = "TSS2 POLICY";
/// PEM label of its predecessor.
pub const LEGACY_LABEL: &str = "TSS2 KEY BLOB";

/// The owner hierarchy's handle.
pub const OWNER: u32 = 0x4000_0001;
/// The null hierarchy's handle: its keys end with the TPM's next restart.
pub const NULL: u32 = 0x4000_0007;
/// The endorsement hierarchy's handle.
pub const ENDORSEMENT: u32 = 0x4000_000b;
/// The platform hierarchy's handle.
pub const PLATFORM: u32 = 0x4000_000c;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A key that TPM2_Load takes.
    Loadable,
    /// A key wrapped for the parent elsewhere, for TPM2_Import.
    Importable,
    /// Data, not a key.
    Sealed,
}

/// A step of a policy that must be satisfied before the key can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyCommand {
    /// The command code (TPM_CC) of the policy command.
    pub code: u32,
    /// Its parameters, in a form that depends on the command.
    pub body: Vec<u8>,
}

impl PolicyCommand {
    /// The command's name in the TPM specification, `PolicyPCR` for 0x17F.
    pub fn name(&self) -> &'static str {
        match self.code {
            0x149 => "PolicyNV",
            0x151 => "PolicySecret",
            0x160 => "PolicySigned",
            0x16a => "PolicyAuthorize",
            0x16b => "PolicyAuthValue",
            0x16c => "PolicyCommandCode",
            0x16d => "PolicyCounterTimer",
            0x16e => "PolicyCpHash",
            0x16f => "PolicyLocality",
            0x170 => "PolicyNameHash",
            0x171 => "PolicyOR",
            0x172 => "PolicyTicket",
            0x17f => "PolicyPCR",
            0x187 => "PolicyPhysicalPresence",
            0x188 => "PolicyDuplicationSelect",
            0x18c => "PolicyPassword",
            0x18f => "PolicyNvWritten",
            0x190 => "PolicyTemplate",
            0x192 => "PolicyAuthorizeNV",
            0x196 => "PolicyAcSendSelect",
            0x19b => "PolicyCapability",
            0x19c => "PolicyParameters",
            _ => "unknown policy command",
        }
    }
}

/// A policy that the key's owner has signed, one of several to choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthPolicy {
    /// What its author calls it.
    pub name: Option<String>,
    /// Its steps; the last one carries the signature.
    pub policy: Vec<PolicyCommand>,
}

/// A key file's content.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// What the file holds.
    pub kind: Kind,
    /// Whether it is in the predecessor's form. The primary of such a key, if the parent is a
    /// hierarchy, lacks the attributes fixedTPM and fixedParent.
    pub legacy: bool,
    /// Whether the key has no authorization value; otherwise one must be asked for.
    pub empty_auth: bool,
    /// The policy's steps, in order; empty if the key has no policy.
    pub policy: Vec<PolicyCommand>,
    /// A whole TPM2B_ENCRYPTED_SECRET: the seed that an importable key was wrapped with.
    pub secret: Option<Vec<u8>>,
    /// Signed policies to choose from.
    pub auth_policies: Vec<AuthPolicy>,
    /// Free text.
    pub description: Option<String>,
    /// Whether the primary under a hierarchy is RSA-2048 instead of ECC P-256.
    pub rsa_parent: bool,
    /// The alternatives of each PolicyOR, in the order in which these are met; see [`crate::policy`].
    pub branches: Vec<Vec<Vec<PolicyCommand>>>,
    /// The parent: a persistent handle, or the hierarchy whose standard primary it is.
    pub parent: u32,
    /// A whole TPM2B_PUBLIC.
    pub public: Vec<u8>,
    /// A whole TPM2B_PRIVATE.
    pub private: Vec<u8>,
}

impl KeyFile {
    /// A loadable key without authorization value, policy or other extras.
    ///
    /// `public` and `private` are a whole TPM2B_PUBLIC and TPM2B_PRIVATE.
    pub fn loadable(parent: u32, public: Vec<u8>, private: Vec<u8>) -> Self {
        Self {
            kind: Kind::Loadable,
            legacy: false,
            empty_auth: true,
            policy: Vec::new(),
            secret: None,
            auth_policies: Vec::new(),
            description: None,
            rsa_parent: false,
            branches: Vec::new(),
            parent,
            public,
            private,
        }
    }

    /// Reads a file in DER, by itself or as what a PKCS#8 container holds.
    ///
    /// # Errors
    /// [`FileError`] for anything that is not exactly one key file or has an impossible parent. Sealed
    /// data is read; see [`Self::require_key`].
    pub fn from_der(der: &[u8]) -> Result<Self, FileError> {
        read::key_file(pkcs8::unwrap(der).unwrap_or(der))
    }

    /// Reads the first block of ours in a PEM file. Other blocks, text around them, and line ends of
    /// either kind do not matter.
    ///
    /// # Errors
    /// As [`Self::from_der`], and when there is no such block or its armour is broken.
    pub fn from_pem(text: &[u8]) -> Result<Self, FileError> {
        let block = match pem::find(text, &[LABEL, LEGACY_LABEL]) {
            Err(error @ FileError::NoBlock { .. }) => {
                // A software key is no block of ours.
                return match pem::find(text, &[pkcs8::LABEL]) {
                    Ok(block) if pkcs8::unwrap(&block.der).is_some() => Self::from_der(&block.der),
                    _ => Err(error),
                };
            }
            found => found?,
        };
        let file = read::key_file(&block.der)?;
        if file.legacy != (block.label == LEGACY_LABEL) {
            return Err(FileError::Armour {
                label: block.label,
                line: block.line,
                problem: "the label does not belong to this type of key",
            });
        }
        Ok(file)
    }

    /// The DER in the first PEM block of `text`, or `None` when that block is somebody else's.
    ///
    /// # Errors
    /// [`FileError`] for a block of ours with broken armour or a content that is no key file, and for
    /// a TPM 1.2 key.
    pub fn der_in_pem(text: &[u8]) -> Result<Option<Vec<u8>>, FileError> {
        match pem::find(text, &[LABEL, LEGACY_LABEL]) {
            Ok(block) if read::is_ours(&block.der) => Ok(Some(block.der)),
            // The label says that it is ours: what is wrong with it is worth saying.
            Ok(block) => read::key_file(&block.der).map(|_| Some(block.der)),
            Err(FileError::NoBlock { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a file in either form.
    ///
    /// # Errors
    /// As [`Self::from_pem`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FileError> {
        if Self::is_in_der(bytes) {
            Self::from_der(bytes)
        } else {
            Self::from_pem(bytes)
        }
    }

    /// The SEQUENCE's octet is also '0', with which a text might begin.
    fn is_in_der(bytes: &[u8]) -> bool {
        (bytes.first() == Some(&0x30) && !pem::has_block(bytes)) || Self::is_ours(bytes)
    }

    /// The file in DER: minimal numbers, and none of the fields from \[1\] on that has its default value,
    /// since several readers refuse the later ones.
    ///
    /// The predecessor's form, for a file with [`Self::legacy`], has no place for a secret, signed
    /// policies, a description or an RSA primary; they are not written.
    pub fn to_der(&self) -> Vec<u8> {
        write::key_file(self)
    }

    /// The file in PEM, with line feeds.
    pub fn to_pem(&self) -> String {
        pem::write(
            if self.legacy { LEGACY_LABEL } else { LABEL },
            &self.to_der(),
        )
    }

    /// The file in PEM as a PKCS#8 container, for programs that know a private key by its label: `PRIVATE KEY`. Other
    /// programs that know TPM keys do not read it.
    pub fn to_pkcs8_pem(&self) -> String {
        pem::write(pkcs8::LABEL, &pkcs8::wrap(&self.to_der()))
    }

    /// Whether `der` begins as a key file does: one SEQUENCE that spans it all, with a type of ours.
    ///
    /// Cheap, since it is asked about every foreign key. True also of a PKCS#8 container with a key file inside; false
    /// for any other PKCS#8, PKCS#1, SEC 1 and the like.
    pub fn is_ours(der: &[u8]) -> bool {
        read::is_ours(pkcs8::unwrap(der).unwrap_or(der))
    }

    /// Refuses sealed data, which is read but is no key.
    ///
    /// # Errors
    /// [`FileError::Sealed`].
    pub fn require_key(&self) -> Result<(), FileError> {
        match self.kind {
            Kind::Sealed => Err(FileError::Sealed),
            Kind::Loadable | Kind::Importable => Ok(()),
        }
    }

    /// Whether the parent is a hierarchy, in which a primary must be created first.
    pub fn parent_is_hierarchy(&self) -> bool {
        is_hierarchy(self.parent)
    }
}

/// A policy file's content: the fields of a key file that are about its policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFields {
    /// See [`KeyFile::policy`].
    pub policy: Vec<PolicyCommand>,
    /// See [`KeyFile::auth_policies`].
    pub auth_policies: Vec<AuthPolicy>,
    /// See [`KeyFile::branches`].
    pub branches: Vec<Vec<Vec<PolicyCommand>>>,
}

impl PolicyFields {
    /// Reads the first block of a policy in a PEM file.
    ///
    /// # Errors
    /// [`FileError`] when there is none, or it is damaged.
    pub fn from_pem(text: &[u8]) -> Result<Self, FileError> {
        read::policy_file(&pem::find(text, &[POLICY_LABEL])?.der)
    }

    /// Whether there is a block of a policy.
    pub fn is_in(text: &[u8]) -> bool {
        !matches!(
            pem::find(text, &[POLICY_LABEL]),
            Err(FileError::NoBlock { .. } | FileError::Tpm12)
        )
    }

    /// The file in PEM.
    pub fn to_pem(&self) -> String {
        pem::write(POLICY_LABEL, &write::policy_file(self))
    }
}

impl From<&KeyFile> for PolicyFields {
    fn from(file: &KeyFile) -> Self {
        Self {
            policy: file.policy.clone(),
            auth_policies: file.auth_policies.clone(),
            branches: file.branches.clone(),
        }
    }
}

impl fmt::Debug for KeyFile {
    /// Sizes instead of blobs: the private one is wrapped, but has no business in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile")
            .field("kind", &self.kind)
            .field("legacy", &self.legacy)
            .field("empty_auth", &self.empty_auth)
            .field(
                "policy",
                &self
                    .policy
                    .iter()
                    .map(PolicyCommand::name)
                    .collect::<Vec<_>>(),
            )
            .field("secret", &self.secret.as_ref().map(Vec::len))
            .field("auth_policies", &self.auth_policies.len())
            .field("description", &self.description)
            .field("rsa_parent", &self.rsa_parent)
            .field("parent", &format_args!("{:#010x}", self.parent))
            .field("public", &self.public.len())
            .field("private", &self.private.len())
            .finish()
    }
}

fn is_hierarchy(handle: u32) -> bool {
    matches!(handle, OWNER | NULL | ENDORSEMENT | PLATFORM)
}

/// 2.23.133.10.1.3.
const LOADABLE: &[u8] = &[0x67, 0x81, 0x05, 0x0a, 0x01, 0x03];

/// The types as object identifier values: 2.23.133.10.1.3, .4, .5, and the predecessor's 2.23.133.10.2.
const TYPES: [(&[u8], Kind, bool); 4] = [
    (LOADABLE, Kind::Loadable, false),
    (
        &[0x67, 0x81, 0x05, 0x0a, 0x01, 0x04],
        Kind::Importable,
        false,
    ),
    (&[0x67, 0x81, 0x05, 0x0a, 0x01, 0x05], Kind::Sealed, false),
    (&[0x67, 0x81, 0x05, 0x0a, 0x02], Kind::Loadable, true),
];

#[cfg(test)]
mod tests;
