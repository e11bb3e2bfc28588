//! The attacks as values, with what each does to which commands.

use super::alteration::Alteration;
use super::impostor::{Impostor, Manner, Parents};
use super::impostor12::Impostor12;
use super::loot::Known;
use super::replies;
use super::session::Forgery;
use super::strategy::{PassOn, Posing, Speaking12, Strategy};
use super::wire;
use crate::tpm::cc;
use std::sync::Arc;

/// What somebody between the module and its TPM may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attack {
    /// Nothing: the control.
    None,
    ExchangedKey,
    ExchangedArea,
    ExchangedParent,
    ForeignSrk,
    LoadedKey,
    FalseTpm,
    OtherFamily,
    ExchangedName,
    ExchangedAttributes,
    ExchangedSize,
    ExchangedScheme,
    ExchangedInput,
    ExchangedContent,
    OtherHandle,
    ReusedHandle,
    Replayed,
    Truncated,
    Stripped,
    OtherAnswer,
    Delayed,
    NoSessions,
    OwnUse,
}

/// All of them, the control aside, in the order of the table.
pub const ATTACKS: [Attack; 22] = [
    Attack::ExchangedKey,
    Attack::ExchangedArea,
    Attack::ExchangedParent,
    Attack::ForeignSrk,
    Attack::LoadedKey,
    Attack::FalseTpm,
    Attack::OtherFamily,
    Attack::ExchangedName,
    Attack::ExchangedAttributes,
    Attack::ExchangedSize,
    Attack::ExchangedScheme,
    Attack::ExchangedInput,
    Attack::ExchangedContent,
    Attack::OtherHandle,
    Attack::ReusedHandle,
    Attack::Replayed,
    Attack::Truncated,
    Attack::Stripped,
    Attack::OtherAnswer,
    Attack::Delayed,
    Attack::NoSessions,
    Attack::OwnUse,
];

/// What an attack must know of the operation that it strikes.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    /// Whether the operation decrypts; a raw RSA operation is a signature otherwise.
    pub decrypting: bool,
    /// Whether what the TPM answers in the end is secret.
    pub secret: bool,
    /// A persistent key of the same TPM and type, for [`Attack::OtherHandle`].
    pub other: u32,
}

/// Commands that establish what is believed later.
const TRUST: [u32; 3] = [cc::CREATE_PRIMARY, cc::LOAD, cc::READ_PUBLIC];
const USES: [u32; 3] = [cc::SIGN, cc::RSA_DECRYPT, cc::ECDH_ZGEN];

impl Attack {
    pub fn title(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::ExchangedKey => "exchanged key",
            Self::ExchangedArea => "exchanged key under the true name",
            Self::ExchangedParent => "exchanged parent",
            Self::ForeignSrk => "foreign storage root key",
            Self::LoadedKey => "exchanged key, loaded into the TPM",
            Self::FalseTpm => "false TPM",
            Self::OtherFamily => "other family",
            Self::ExchangedName => "exchanged name",
            Self::ExchangedAttributes => "exchanged attributes",
            Self::ExchangedSize => "exchanged size",
            Self::ExchangedScheme => "exchanged scheme",
            Self::ExchangedInput => "exchanged input",
            Self::ExchangedContent => "exchanged content",
            Self::OtherHandle => "other handle",
            Self::ReusedHandle => "reused handle",
            Self::Replayed => "replayed reply",
            Self::Truncated => "truncated reply",
            Self::Stripped => "stripped session",
            Self::OtherAnswer => "answer of another command",
            Self::Delayed => "delayed reply",
            Self::NoSessions => "no sessions",
            Self::OwnUse => "use of its own",
        }
    }

    /// What it does, in a sentence.
    pub fn description(self) -> &'static str {
        match self {
            Self::None => "Every command and every answer passes as it is.",
            Self::ExchangedKey => {
                "Who knows the parent's true public area answers TPM2_Create, Load, Import, ReadPublic of a key, Sign, \
                 RSA_Decrypt, ECDH_ZGen and Unseal in the TPM's place, with software keys of their own; the rest passes."
            }
            Self::ExchangedArea => {
                "The same; ReadPublic gives the interposer's public area with the name of the true one."
            }
            Self::ExchangedParent => {
                "The interposer shows a parent of its own in the place of every parent, so that it can read what is \
                 salted to it, and answers everything that is done with it, with the right HMACs."
            }
            Self::ForeignSrk => {
                "It claims that a key of its own is the storage root key at 0x81000001, also where the TPM has none; \
                 primaries are the TPM's."
            }
            Self::LoadedKey => {
                "The interposer loads its own key into the TPM (TPM2_LoadExternal, both halves, which takes no \
                 authorization), has the TPM itself vouch for it when the public half of a key at a handle is read, and \
                 answers for it afterwards."
            }
            Self::FalseTpm => {
                "A false swtpm on TCP, with no TPM behind it, that has read the public area of the true parent."
            }
            Self::OtherFamily => {
                "It answers as a TPM 1.2 does whose storage root key has the well-known secret."
            }
            Self::ExchangedName => {
                "A bit of the name in answers to CreatePrimary, Load and ReadPublic is changed."
            }
            Self::ExchangedAttributes => {
                "The template of TPM2_Create is changed on its way: the TPM makes a key that may leave it (fixedTPM and \
                 fixedParent clear)."
            }
            Self::ExchangedSize => {
                "The same: RSA-1024 in the place of RSA-2048, P-384 in the place of P-256."
            }
            Self::ExchangedScheme => {
                "The same: the key gets a scheme that was not asked for, or loses the one that was."
            }
            Self::ExchangedInput => {
                "The digest to be signed, the ciphertext, the peer's point or the message is changed on its way."
            }
            Self::ExchangedContent => {
                "The content that TPM2_NV_Read gives is changed, and the values that TPM2_PCR_Read gives."
            }
            Self::OtherHandle => {
                "Commands for the key go to another key of the same TPM, and its true answers come back."
            }
            Self::ReusedHandle => "TPM2_Load answers with the handle of another key.",
            Self::Replayed => {
                "Each command is answered as the same command was in an earlier run of the operation."
            }
            Self::Truncated => {
                "Answers lose the second half of their parameters; their sizes are made to fit."
            }
            Self::Stripped => {
                "Answers come without their authorizations, with the tag of answers that have none."
            }
            Self::OtherAnswer => {
                "Each command is answered with what the command before it was answered."
            }
            Self::Delayed => {
                "The first answer comes after the client's patience has ended (timeout = 1)."
            }
            Self::NoSessions => {
                "TPM2_StartAuthSession is refused (TPM_RC_COMMAND_CODE), as if the TPM had no sessions."
            }
            Self::OwnUse => {
                "Everything passes; then the interposer has the TPM decrypt the same ciphertext once more, for itself, \
                 with an empty authorization value."
            }
        }
    }

    /// Whether keys or their parents are exchanged.
    pub fn is_of_keys(self) -> bool {
        matches!(
            self,
            Self::ExchangedKey
                | Self::ExchangedArea
                | Self::ExchangedParent
                | Self::ForeignSrk
                | Self::LoadedKey
                | Self::FalseTpm
                | Self::OtherFamily
                | Self::OtherHandle
        )
    }

    /// Whether the attack does something to one of these commands.
    pub fn concerns(self, codes: &[u32], aim: Aim) -> bool {
        if self == Self::OwnUse && !aim.secret {
            return false;
        }
        let has = |wanted: &[u32]| codes.iter().any(|code| wanted.contains(code));
        match self {
            Self::None => false,
            Self::ExchangedAttributes | Self::ExchangedSize | Self::ExchangedScheme => {
                has(&[cc::CREATE])
            }
            Self::ExchangedContent => has(&[cc::NV_READ, cc::PCR_READ]),
            Self::ExchangedName => has(&TRUST),
            Self::ExchangedInput => has(&USES) || has(&[cc::HASH]),
            Self::OtherHandle => has(&USES) || has(&[cc::READ_PUBLIC]),
            Self::ReusedHandle => has(&[cc::LOAD]),
            Self::NoSessions => has(&[cc::START_AUTH_SESSION]),
            Self::OwnUse => has(&[cc::RSA_DECRYPT, cc::ECDH_ZGEN]),
            Self::LoadedKey => has(&[cc::READ_PUBLIC]),
            _ => !codes.is_empty(),
        }
    }

    /// How it is done.
    pub fn strategy(self, known: &Arc<Known>, aim: Aim) -> Box<dyn Strategy> {
        let manner = Manner {
            parents: Parents::True,
            true_names: false,
            loads: false,
            forgery: Forgery::default(),
            alone: false,
            decrypting: aim.decrypting,
        };
        let pose = |manner| posing(known, manner);
        let alter = |alteration| -> Box<dyn Strategy> {
            Box::new(Alteration::new(alteration, Arc::clone(known), aim))
        };
        use super::alteration::What;
        match self {
            Self::None => Box::new(PassOn),
            Self::ExchangedKey => pose(manner),
            Self::ExchangedArea => pose(Manner {
                true_names: true,
                ..manner
            }),
            Self::ExchangedParent => pose(Manner {
                parents: Parents::Own,
                ..manner
            }),
            Self::ForeignSrk => pose(Manner {
                parents: Parents::OwnSrk,
                ..manner
            }),
            Self::LoadedKey => pose(Manner {
                loads: true,
                ..manner
            }),
            Self::FalseTpm => pose(Manner {
                alone: true,
                ..manner
            }),
            Self::OtherFamily => Box::new(Speaking12(Impostor12::new(Arc::clone(known)))),
            Self::ExchangedName => alter(What::Name),
            Self::ExchangedAttributes => alter(What::Attributes),
            Self::ExchangedSize => alter(What::Size),
            Self::ExchangedScheme => alter(What::Scheme),
            Self::ExchangedInput => alter(What::Input),
            Self::ExchangedContent => alter(What::Content),
            Self::OtherHandle => alter(What::Handle),
            Self::ReusedHandle => alter(What::LoadedHandle),
            Self::Replayed => Box::new(replies::Replay::default()),
            Self::Truncated => Box::new(replies::Truncate),
            Self::Stripped => Box::new(replies::Strip),
            Self::OtherAnswer => Box::new(replies::Shift::default()),
            Self::Delayed => Box::new(replies::Late::default()),
            Self::NoSessions => Box::new(replies::Refuse {
                code: cc::START_AUTH_SESSION,
                rc: 0x143,
            }),
            Self::OwnUse => Box::new(super::strategy::OwnUse),
        }
    }
}

/// An impostor of any manner.
pub fn posing(known: &Arc<Known>, manner: Manner) -> Box<dyn Strategy> {
    Box::new(Posing::new(Impostor::new(manner, Arc::clone(known))))
}

/// Commands that end something, which an impostor lets pass without counting them as struck.
pub fn is_housekeeping(code: u32) -> bool {
    matches!(
        code,
        cc::FLUSH_CONTEXT | cc::GET_CAPABILITY | wire::NV_READ_PUBLIC
    )
}
