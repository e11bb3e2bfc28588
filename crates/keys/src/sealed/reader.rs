//! Other programs that read sealed files, and what each of them takes.
#![forbid(unsafe_code)]

use crypto::Secret;
use tss::tpm2::{Attributes, Policy, Public};

use super::{KeyFile, Options, template};
use crate::Error;
use crate::policy::compat;

/// Who shall read a sealed file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reader {
    /// We, and whoever reads `TSS2 PRIVATE KEY`.
    #[default]
    Any,
    /// GRUB's tpm2_key_protector: DER, used by its policy alone (no attributes), registers without their values.
    Grub,
    /// The kernel's trusted keys: DER in hexadecimal, no fields but emptyAuth, a persistent parent.
    Kernel,
}

/// Sizes of the kernel's keys (MIN_KEY_SIZE and MAX_KEY_SIZE in include/keys/trusted-type.h).
const KERNEL_KEYS: std::ops::RangeInclusive<usize> = 32..=128;
/// The longest `blobauth=` that the kernel takes as a password (SHA1_DIGEST_SIZE).
const KERNEL_AUTH: usize = 20;

impl Reader {
    /// Refuses what the reader does not take, before the TPM is asked.
    pub(super) fn check(self, size: usize, options: &Options) -> Result<(), Error> {
        let reason = match self {
            Self::Any => None,
            Self::Grub => not_for_grub(options),
            Self::Kernel => not_for_the_kernel(size, options),
        };
        reason.map_or(Ok(()), |reason| Err(Error::Setting(reason)))
    }

    /// Refuses a file that this reader would not read.
    pub fn check_size(self, size: usize) -> Result<(), Error> {
        let (reader, range) = match self {
            Self::Any => return Ok(()),
            Self::Grub => ("GRUB", 1..=super::MOST),
            Self::Kernel => ("the kernel", KERNEL_KEYS),
        };
        if range.contains(&size) {
            return Ok(());
        }
        Err(Error::Setting(format!(
            "{reader} reads sealed keys of {} to {} bytes, and this has {}: seal a key of that size, such as `head -c 32 \
             /dev/urandom` makes, and encrypt with it what is larger",
            range.start(),
            range.end(),
            match size {
                0 => "none".to_owned(),
                size if size > super::MOST => "more".to_owned(),
                size => size.to_string(),
            }
        )))
    }

    pub(super) fn template(self, auth: &Secret) -> Result<Public, Error> {
        let usual = template(auth)?;
        Ok(match self {
            Self::Any | Self::Kernel => usual,
            // As grub-protect makes them.
            Self::Grub => Public::sealed_template(Attributes(0))?,
        })
    }

    /// The policy as it is written for the reader.
    pub(super) fn policy(self, mut policy: Policy) -> Result<Policy, Error> {
        if self == Self::Grub {
            compat::open_for_grub(&mut policy.commands)?;
        }
        Ok(policy)
    }

    /// The file as the reader takes it.
    pub fn write(self, file: &KeyFile) -> Vec<u8> {
        match self {
            Self::Any => file.to_pem().into_bytes(),
            Self::Grub => file.to_der(),
            Self::Kernel => to_hex(file).into_bytes(),
        }
    }
}

fn not_for_grub(options: &Options) -> Option<String> {
    if !options.auth.is_empty() {
        return Some(
            "GRUB asks for no authorization value before it unseals: leave --auth out, and let registers protect the \
             secret (--pcr)"
                .into(),
        );
    }
    if options.policy.is_empty() {
        return Some(
            "GRUB unseals by a policy and nothing else: name the registers, with --pcr sha256:0,2,4,7 for example, or who \
             signs them, with --policy signed:KEY.pub"
                .into(),
        );
    }
    let parent = u32::from(options.parent);
    if parent != 0x4000_0001 && parent >> 24 != 0x81 {
        return Some(format!(
            "GRUB knows sealed files below the owner hierarchy or a persistent key, not below 0x{parent:08x}: leave \
             --parent out, or say --parent 0x81000001"
        ));
    }
    None
}

fn not_for_the_kernel(size: usize, options: &Options) -> Option<String> {
    if let Err(error) = Reader::Kernel.check_size(size) {
        return Some(error.to_string());
    }
    let parent = u32::from(options.parent);
    if parent >> 24 != 0x81 {
        return Some(
            "the kernel takes the parent for a handle as it is, so that it must be persistent: say --parent 0x81000001, \
             after `tpmctl srk create` if there is none yet"
                .into(),
        );
    }
    if !options.policy.is_empty() {
        return Some(
            "the kernel does not read files with a policy: leave --pcr and --policy out. A key that needs registers is \
             unsealed with `tpmctl unseal --keyring user:NAME` instead"
                .into(),
        );
    }
    let blank = |byte: &u8| byte.is_ascii_whitespace();
    if options.auth.len() > KERNEL_AUTH || options.auth.iter().any(blank) {
        return Some(format!(
            "the kernel is given the authorization value as a word of up to {KERNEL_AUTH} bytes (blobauth=), and this one \
             is longer or has blanks: take another one"
        ));
    }
    None
}

/// A file as the kernel writes and reads its keys (`keyctl pipe`, `keyctl add trusted NAME "load HEX"`): DER in
/// hexadecimal, one line without an end.
pub fn to_hex(file: &KeyFile) -> String {
    hex::encode(file.to_der())
}

/// The DER in a text of hexadecimal digits alone, whatever its end of line.
pub fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    hex::decode(text.trim_ascii())
        .ok()
        .filter(|der| !der.is_empty())
}
