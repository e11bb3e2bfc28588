//! Keys and parents as the caller knows them: values, not handles.
#![forbid(unsafe_code)]

use std::fmt;

use crypto::Secret;

use super::constants::{AlgId, handle};
use super::name::Name;
use super::public::{Public, Scheme};
use super::transaction::loaded::Fingerprint;
use super::wire::Malformed;

/// A key. Where it is loaded, if it is, is the client's business.
#[derive(Clone)]
pub struct Object {
    /// The public area.
    pub public: Public,
    /// Its name.
    pub name: Name,
    /// Where the private part is.
    pub source: Source,
}

impl Object {
    /// A key of a file: its two halves and its parent.
    pub fn from_blob(public: Public, private: Vec<u8>, parent: Parent) -> Result<Self, Malformed> {
        Ok(Self {
            name: public.name()?,
            public,
            source: Source::Blob { parent, private },
        })
    }

    /// What it is found by where it is loaded; `None` for a persistent key.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        match &self.source {
            Source::Blob { parent, private } => Some(Fingerprint::new(&self.name, parent, private)),
            Source::Persistent(_) => None,
        }
    }

    /// A key that is persistent in the TPM.
    pub fn persistent(handle: u32, public: Public) -> Result<Self, Malformed> {
        Ok(Self {
            name: public.name()?,
            public,
            source: Source::Persistent(handle),
        })
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("name", &self.name)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Where an object's private part is.
#[derive(Clone)]
pub enum Source {
    /// In a key file, encrypted by its parent.
    Blob {
        /// The parent.
        parent: Parent,
        /// The whole `TPM2B_PRIVATE`.
        private: Vec<u8>,
    },
    /// In the TPM, at this persistent handle.
    Persistent(u32),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob { parent, .. } => f
                .debug_struct("Blob")
                .field("parent", parent)
                .finish_non_exhaustive(),
            Self::Persistent(handle) => write!(f, "Persistent(0x{handle:08x})"),
        }
    }
}

/// Which primary stands under a hierarchy (key files: "standard primary").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PrimaryTemplate {
    /// ECC P-256: the default.
    #[default]
    Ecc,
    /// RSA-2048: files with `rsaParent`.
    Rsa,
    /// ECC P-256 without fixedTPM and fixedParent: `TSS2 KEY BLOB` files.
    Legacy,
    /// The primary that `tpm2_createprimary` makes where nothing is said, and tpm2-pkcs11 with it: RSA-2048 without noDA.
    ToolsRsa,
    /// What `tpm2_createprimary -G ecc` makes: ECC P-256 without noDA.
    ToolsEcc,
    /// ECC P-256 with a unique field of zeros: go-tpm-tools.
    ZerosEcc,
    /// RSA-2048 with a unique field of zeros: go-tpm-tools, and Windows.
    ZerosRsa,
}

impl PrimaryTemplate {
    /// All of them, those that most keys are below first.
    pub const ALL: [Self; 7] = [
        Self::Ecc,
        Self::ToolsRsa,
        Self::Rsa,
        Self::ToolsEcc,
        Self::Legacy,
        Self::ZerosEcc,
        Self::ZerosRsa,
    ];

    /// The template.
    pub fn public(self) -> Result<Public, Malformed> {
        match self {
            Self::Ecc => Public::ecc_primary(),
            Self::Rsa => Public::rsa_primary(),
            Self::Legacy => Public::legacy_primary(),
            Self::ToolsRsa => Public::tools_primary(&Public::rsa_primary()?),
            Self::ToolsEcc => Public::tools_primary(&Public::ecc_primary()?),
            Self::ZerosEcc => Public::zeros_primary(&Public::ecc_primary()?),
            Self::ZerosRsa => Public::zeros_primary(&Public::rsa_primary()?),
        }
    }

    /// Whether a public area is that of a primary made from one of the templates.
    pub(super) fn made(public: &Public) -> bool {
        Self::ALL.iter().any(|template| {
            template
                .public()
                .is_ok_and(|template| public.matches_template(&template))
        })
    }
}

impl fmt::Display for PrimaryTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecc => "the standard ECC P-256 primary",
            Self::Rsa => "the standard RSA-2048 primary (rsaParent)",
            Self::Legacy => "the ECC P-256 primary of TSS2 KEY BLOB files",
            Self::ToolsRsa => "the RSA-2048 primary that is tpm2_createprimary's default",
            Self::ToolsEcc => "the ECC P-256 primary of tpm2_createprimary",
            Self::ZerosEcc => "the ECC P-256 primary of go-tpm-tools (unique field of zeros)",
            Self::ZerosRsa => {
                "the RSA-2048 primary of Windows and go-tpm-tools (unique field of zeros)"
            }
        })
    }
}

/// The parent of a key: a persistent object, or the primary of a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// A persistent handle (0x81…) or a hierarchy (0x40000001, 0x40000007, 0x4000000b, 0x4000000c).
    pub handle: u32,
    /// The primary's template; unused with a persistent parent.
    pub template: PrimaryTemplate,
    /// The persistent object's authorization value, or the hierarchy's.
    pub auth: Secret,
}

impl Parent {
    /// The owner's primary, with the owner's authorization value.
    pub(super) fn of_owner(auth: &Secret) -> Self {
        Self {
            auth: auth.clone(),
            ..Self::new(handle::OWNER)
        }
    }

    /// The parent at `handle`, with the standard template and an empty authorization value.
    pub fn new(handle: u32) -> Self {
        Self {
            handle,
            template: PrimaryTemplate::default(),
            auth: Secret::empty(),
        }
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.handle {
            handle::OWNER => write!(f, "{} of the owner hierarchy (0x40000001)", self.template),
            handle::NULL => write!(f, "{} of the null hierarchy (0x40000007)", self.template),
            handle::ENDORSEMENT => write!(
                f,
                "{} of the endorsement hierarchy (0x4000000b)",
                self.template
            ),
            handle::PLATFORM => write!(
                f,
                "{} of the platform hierarchy (0x4000000c)",
                self.template
            ),
            handle => write!(f, "the persistent parent 0x{handle:08x}"),
        }
    }
}

/// How to sign (Part 2, 11.2.1.5, `TPMT_SIG_SCHEME`); the algorithm is the digest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignScheme {
    /// PKCS#1 v1.5.
    Rsassa(AlgId),
    /// PSS; the TPM chooses the salt's length.
    Rsapss(AlgId),
    /// ECDSA.
    Ecdsa(AlgId),
    /// SM2.
    Sm2(AlgId),
    /// The key's own scheme.
    Null,
}

impl From<SignScheme> for Scheme {
    fn from(scheme: SignScheme) -> Self {
        match scheme {
            SignScheme::Rsassa(hash) => Self::Hashed(AlgId::RSASSA, hash),
            SignScheme::Rsapss(hash) => Self::Hashed(AlgId::RSAPSS, hash),
            SignScheme::Ecdsa(hash) => Self::Hashed(AlgId::ECDSA, hash),
            SignScheme::Sm2(hash) => Self::Hashed(AlgId::SM2, hash),
            SignScheme::Null => Self::Null,
        }
    }
}

/// How to take the padding off (Part 2, 11.2.4.1, `TPMT_RSA_DECRYPT`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecryptScheme {
    /// The key's own scheme; if that is null too, the raw block.
    Null,
    /// PKCS#1 v1.5.
    Rsaes,
    /// OAEP with this hash for label and mask.
    Oaep(AlgId),
}

impl From<DecryptScheme> for Scheme {
    fn from(scheme: DecryptScheme) -> Self {
        match scheme {
            DecryptScheme::Null => Self::Null,
            DecryptScheme::Rsaes => Self::Plain(AlgId::RSAES),
            DecryptScheme::Oaep(hash) => Self::Hashed(AlgId::OAEP, hash),
        }
    }
}
